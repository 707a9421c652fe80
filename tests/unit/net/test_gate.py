"""The gate: when the network is gone everybody waits together, one knocks, and patience has an end."""

import random
from collections.abc import Callable

import anyio
import pytest

from roar_publisher.net.gate import FIRST_CONTACT_SECONDS, LONGEST_PROBE_SECONDS, Gate
from roar_publisher.net.route import Unreachable
from roar_publisher.report import Report, Waiting
from roar_publisher.state.errors import Transient
from roar_publisher.state.reasons import Reason
from tests.support import virtual

CAUSE = Unreachable("no connection", silent=False)


class GateState:
    """What is knocked at: nobody answers while it is away."""

    def __init__(self, away: Callable[[float], bool] = lambda now: False) -> None:
        self._away = away
        self.knocks: list[float] = []
        self.reports: list[Report] = []

    def gate(self, patience: float = 300.0) -> Gate:
        return Gate(self._probe, patience=patience, rng=random.Random(1), report=self.reports.append)

    async def _probe(self) -> None:
        self.knocks.append(anyio.current_time())
        await anyio.sleep(0.01)
        if self._away(anyio.current_time()):
            raise CAUSE


def test_open_it_lets_everybody_through_at_once() -> None:
    async def scenario() -> None:
        gate = GateState().gate()
        for _ in range(100):
            await gate.wait_until_open()
        assert anyio.current_time() == 0

    virtual.run(scenario)


def test_a_lonely_failure_is_the_requests_own_fault() -> None:
    async def scenario() -> None:
        door = GateState()
        assert not await door.gate().wait_for_answer(CAUSE)
        assert len(door.knocks) == 1

    virtual.run(scenario)


def test_while_the_network_is_away_all_wait_and_one_knocks() -> None:
    async def scenario() -> None:
        door = GateState(away=lambda now: now < 60)
        gate = door.gate()
        gate.answered()
        verdicts: list[bool] = []
        passed: list[float] = []

        async def fail() -> None:
            verdicts.append(await gate.wait_for_answer(CAUSE))

        async def pass_through() -> None:
            await gate.wait_until_open()
            passed.append(anyio.current_time())

        async with anyio.create_task_group() as tasks:
            for _ in range(20):
                tasks.start_soon(fail)
            await anyio.sleep(1)
            for _ in range(20):
                tasks.start_soon(pass_through)
        assert verdicts == [True] * 20, "nobody's fault, no attempt is counted"
        assert min(passed) >= 60
        assert max(passed) <= 60 + LONGEST_PROBE_SECONDS + 0.1, "the network that comes back is noticed soon"
        assert len(door.knocks) < 40
        pauses = [b - a for a, b in zip(door.knocks, door.knocks[1:], strict=False)]
        assert max(pauses) <= LONGEST_PROBE_SECONDS + 0.1
        assert {type(report) for report in door.reports} == {Waiting}

    virtual.run(scenario)


@pytest.mark.parametrize(("met", "patience", "wait"), [(True, 300.0, 300.0), (False, 300.0, 15.0), (False, 5.0, 5.0)])
def test_patience_ends_sooner_with_a_registry_that_was_never_met(met: bool, patience: float, wait: float) -> None:
    async def scenario() -> None:
        gate = GateState(away=lambda now: True).gate(patience)
        if met:
            gate.answered()
        with pytest.raises(Transient, match="cannot be reached") as caught:
            await gate.wait_for_answer(CAUSE)
        assert caught.value.reason == "offline"
        assert wait <= anyio.current_time() <= wait + LONGEST_PROBE_SECONDS + 1

    assert FIRST_CONTACT_SECONDS == 15
    virtual.run(scenario)


def test_patience_begins_with_the_first_request_that_gets_no_reply() -> None:
    """An hour of work elsewhere, a large upload, is no hour of silence."""

    async def scenario() -> None:
        gate = GateState(away=lambda now: now < 3_600 + 30).gate(300)
        gate.answered()
        await anyio.sleep(3_600)
        assert await gate.wait_for_answer(CAUSE)
        assert anyio.current_time() < 3_600 + 30 + LONGEST_PROBE_SECONDS + 0.1

    virtual.run(scenario)


def test_a_late_reply_to_somebody_else_starts_patience_anew() -> None:
    async def scenario() -> None:
        gate = GateState(away=lambda now: True).gate(100)
        gate.answered()
        async with anyio.create_task_group() as tasks:

            async def late() -> None:
                await anyio.sleep(60)
                gate.answered()

            tasks.start_soon(late)
            with pytest.raises(Transient):
                await gate.wait_for_answer(CAUSE)
        assert 160 <= anyio.current_time() <= 160 + 2 * LONGEST_PROBE_SECONDS

    virtual.run(scenario)


def test_those_who_waited_with_one_whose_patience_ended_find_out_for_themselves() -> None:
    async def scenario() -> None:
        gate = GateState(away=lambda now: True).gate(10)
        gate.answered()
        ends: list[str] = []

        async def send() -> None:
            try:
                while await gate.wait_for_answer(CAUSE):
                    await gate.wait_until_open()
            except Transient:
                ends.append("offline")

        async with anyio.create_task_group() as tasks:
            for _ in range(5):
                tasks.start_soon(send)
        assert ends == ["offline"] * 5
        assert anyio.current_time() < 30

    virtual.run(scenario)


def test_if_the_one_who_knocks_is_cancelled_the_next_failure_knocks_anew() -> None:
    async def scenario() -> None:
        door = GateState(away=lambda now: now < 30)
        gate = door.gate()
        gate.answered()
        with anyio.move_on_after(5):
            await gate.wait_for_answer(CAUSE)
        await gate.wait_until_open()
        assert anyio.current_time() == 5
        assert await gate.wait_for_answer(CAUSE)
        assert 30 <= anyio.current_time() < 35

    virtual.run(scenario)


def test_a_server_that_asks_for_patience_holds_everybody() -> None:
    async def scenario() -> None:
        door = GateState()
        gate = door.gate()
        gate.hold(100)
        gate.hold(7)
        async with anyio.create_task_group() as tasks:
            for _ in range(5):
                tasks.start_soon(gate.wait_until_open)
        assert anyio.current_time() == 100
        assert door.reports[0] == Waiting(Reason.THROTTLED, 100)
        assert not door.knocks

    virtual.run(scenario)
