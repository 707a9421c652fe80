"""A store that can't be reached: everybody waits, one knocks, and the budget of attempts is for other trouble."""

import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import anyio
import pytest

from publisher.glaas.exchange import Unreachable
from publisher.glaas.gate import FIRST_CONTACT_SECONDS
from publisher.glaas.policy import MAX_ATTEMPTS
from publisher.report import Report, Retrying, Waiting
from publisher.storage.http import Reply, Request, Wire
from state.errors import Transient
from tests import virtual

URL = "https://bucket.example.com/a/key?partNumber=1"
AWAY = Unreachable("no connection", silent=False)


class Network:
    """What a Wire meets instead of sockets; each request takes a tenth of a second."""

    def __init__(self, away: Callable[[float], bool] = lambda now: False, answer: int | None = 200) -> None:
        self._away = away
        self._answer = answer
        self.sent: list[str] = []
        self.knocks: list[str] = []
        self.reports: list[Report] = []

    async def exchange(self, client: object, request: Request) -> Reply:
        self.sent.append(request.url)
        await self._travel()
        if self._answer is None:
            raise AWAY
        return Reply(self._answer, {}, b"")

    async def stream(self, client: object, request: Request, content: object) -> Reply:
        self.knocks.append(f"{request.method} {request.url} {dict(request.headers)}")
        await self._travel()
        return Reply(403, {}, b"")

    @asynccontextmanager
    async def wire(self, patience: float = 300.0) -> AsyncIterator[Wire]:
        wire = Wire(connections=2, report=self.reports.append, patience=patience, rng=random.Random(1))
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(wire, "_exchange", self.exchange)
            patched.setattr(wire, "_stream", self.stream)
            yield wire
        await wire.aclose()

    async def _travel(self) -> None:
        await anyio.sleep(0.1)
        if self._away(anyio.current_time()):
            raise AWAY


async def prepare() -> Request:
    return Request("PUT", URL, {"Authorization": "secret"}, b"")


def run(network: Network, scenario: Callable[[Wire], Awaitable[None]], patience: float = 300.0) -> float:
    """The virtual seconds that it took."""

    async def main() -> float:
        async with network.wire(patience) as wire:
            await scenario(wire)
        return anyio.current_time()

    return virtual.run(main)


def test_a_long_absence_costs_no_attempts_and_is_noticed_when_it_ends() -> None:
    network = Network(away=lambda now: 2 < now < 200)

    async def scenario(wire: Wire) -> None:
        async with anyio.create_task_group() as tasks:
            for _ in range(100):
                tasks.start_soon(wire.call, prepare)

    assert 200 < run(network, scenario) < 210
    assert not any(isinstance(report, Retrying) for report in network.reports)
    assert {report.reason for report in network.reports if isinstance(report, Waiting)} == {"offline"}
    assert len(network.sent) <= 102, "only what was under way is sent again"


def test_a_knock_names_nobody_and_goes_where_the_request_went() -> None:
    network = Network(away=lambda now: now < 1)

    async def scenario(wire: Wire) -> None:
        await wire.call(prepare)

    run(network, scenario)
    assert set(network.knocks) == {"HEAD https://bucket.example.com/ {}"}


def test_a_request_that_alone_gets_no_answer_runs_out_of_attempts() -> None:
    network = Network(answer=None)

    async def scenario(wire: Wire) -> None:
        with pytest.raises(Transient, match="object store failed"):
            await wire.call(prepare)

    run(network, scenario)
    assert len(network.sent) == MAX_ATTEMPTS
    assert len(network.knocks) == MAX_ATTEMPTS
    assert sum(isinstance(report, Retrying) for report in network.reports) == MAX_ATTEMPTS - 1


@pytest.mark.parametrize(("met", "patience", "least"), [(True, 60.0, 60), (False, 60.0, FIRST_CONTACT_SECONDS)])
def test_patience_ends(met: bool, patience: float, least: float) -> None:
    network = Network(away=lambda now: now > (0.15 if met else 0))

    async def scenario(wire: Wire) -> None:
        if met:
            await wire.call(prepare)
        with pytest.raises(Transient, match="object store can't be reached") as caught:
            await wire.call(prepare)
        assert caught.value.reason == "offline"

    assert least <= run(network, scenario, patience) < least + 10


def test_a_wait_ends_at_once_when_it_is_cancelled() -> None:
    network = Network(away=lambda now: True)

    async def scenario(wire: Wire) -> None:
        with anyio.move_on_after(3):
            await wire.call(prepare)

    assert run(network, scenario) == 3
