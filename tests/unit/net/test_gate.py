"""The gate: while the network is away all requests wait, one probes, and patience ends."""

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


class FakeServer:
    """A server that is probed: it does not answer while it is away."""

    def __init__(self, away: Callable[[float], bool] = lambda now: False) -> None:
        self._away = away
        self.probes: list[float] = []
        self.reports: list[Report] = []

    def gate(self, patience: float = 300.0) -> Gate:
        return Gate(self._probe, patience=patience, rng=random.Random(1), report=self.reports.append, server="it")

    async def _probe(self) -> None:
        self.probes.append(anyio.current_time())
        await anyio.sleep(0.01)
        if self._away(anyio.current_time()):
            raise CAUSE


def test_an_open_gate_never_waits() -> None:
    async def scenario() -> None:
        gate = FakeServer().gate()
        for _ in range(100):
            await gate.wait_until_open()
        assert anyio.current_time() == 0

    virtual.run(scenario)


def test_a_single_failure_does_not_close_the_gate() -> None:
    async def scenario() -> None:
        server = FakeServer()
        assert not await server.gate().wait_for_answer(CAUSE)
        assert len(server.probes) == 1

    virtual.run(scenario)


def test_while_the_network_is_away_one_request_probes_and_the_others_wait() -> None:
    async def scenario() -> None:
        server = FakeServer(away=lambda now: now < 60)
        gate = server.gate()
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
        assert verdicts == [True] * 20, "no attempt is counted"
        assert min(passed) >= 60
        assert max(passed) <= 60 + LONGEST_PROBE_SECONDS + 0.1, "the network that comes back is noticed soon"
        assert len(server.probes) < 40
        pauses = [b - a for a, b in zip(server.probes, server.probes[1:], strict=False)]
        assert max(pauses) <= LONGEST_PROBE_SECONDS + 0.1
        assert {type(report) for report in server.reports} == {Waiting}

    virtual.run(scenario)


@pytest.mark.parametrize(("met", "patience", "wait"), [(True, 300.0, 300.0), (False, 300.0, 15.0), (False, 5.0, 5.0)])
def test_patience_is_shorter_before_the_first_answer(met: bool, patience: float, wait: float) -> None:
    async def scenario() -> None:
        gate = FakeServer(away=lambda now: True).gate(patience)
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
        gate = FakeServer(away=lambda now: now < 3_600 + 30).gate(300)
        gate.answered()
        await anyio.sleep(3_600)
        assert await gate.wait_for_answer(CAUSE)
        assert anyio.current_time() < 3_600 + 30 + LONGEST_PROBE_SECONDS + 0.1

    virtual.run(scenario)


def test_a_late_reply_to_another_request_restarts_patience() -> None:
    async def scenario() -> None:
        gate = FakeServer(away=lambda now: True).gate(100)
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


@pytest.mark.parametrize("power", range(5, 20))
def test_patience_ends_whatever_the_waits_round_to(power: int) -> None:
    """A server that refuses at once takes no time, so the waits alone lead to the end. They round most at 2**power."""
    chance = random.Random(power)

    async def scenario() -> None:
        probes = 0

        async def refuse() -> None:
            nonlocal probes
            probes += 1
            assert probes < 100, f"it probes on at {anyio.current_time()!r}"
            raise CAUSE

        await anyio.sleep(2**power - chance.uniform(0, FIRST_CONTACT_SECONDS))
        gate = Gate(refuse, patience=300.0, rng=chance, report=lambda report: None, server="it")
        with pytest.raises(Transient):
            await gate.wait_for_first_answer()

    for _ in range(20):
        virtual.run(scenario)


def test_waiting_requests_probe_for_themselves_after_the_first_gave_up() -> None:
    async def scenario() -> None:
        gate = FakeServer(away=lambda now: True).gate(10)
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


def test_the_next_failure_probes_if_the_probing_request_is_cancelled() -> None:
    async def scenario() -> None:
        server = FakeServer(away=lambda now: now < 30)
        gate = server.gate()
        gate.answered()
        with anyio.move_on_after(5):
            await gate.wait_for_answer(CAUSE)
        await gate.wait_until_open()
        assert anyio.current_time() == 5
        assert await gate.wait_for_answer(CAUSE)
        assert 30 <= anyio.current_time() < 35

    virtual.run(scenario)


def test_retry_after_makes_all_requests_wait() -> None:
    async def scenario() -> None:
        server = FakeServer()
        gate = server.gate()
        gate.hold(100)
        gate.hold(7)
        async with anyio.create_task_group() as tasks:
            for _ in range(5):
                tasks.start_soon(gate.wait_until_open)
        assert anyio.current_time() == 100
        assert server.reports[0] == Waiting(Reason.THROTTLED, 100)
        assert not server.probes

    virtual.run(scenario)
