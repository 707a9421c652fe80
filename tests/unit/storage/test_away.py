"""A store that cannot be reached: all requests wait, one probes, and attempts are counted for other failures only."""

import random
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress

import anyio
import pytest

from roar_publisher.net.budget import UploadBudget
from roar_publisher.net.exchange import MAX_REPLY_BYTES, Reply
from roar_publisher.net.gate import FIRST_CONTACT_SECONDS
from roar_publisher.net.policy import MAX_ATTEMPTS, MAX_OUTAGES
from roar_publisher.net.route import Unreachable
from roar_publisher.report import Report, Retrying, Waiting
from roar_publisher.state.errors import Transient
from roar_publisher.storage.http import LONGEST_WORK_SECONDS, REPLY_SECONDS, StoreConnection, StoreRequest
from tests.support import virtual

URL = "https://bucket.example.com/a/key?partNumber=1"
AWAY = Unreachable("no connection", silent=False)
NO_HEADERS: Mapping[str, str] = {}


class Network:
    """What a Wire meets instead of sockets; each request takes a tenth of a second."""

    def __init__(
        self,
        away: Callable[[float], bool] = lambda now: False,
        answer: int | None = 200,
        headers: Mapping[str, str] = NO_HEADERS,
    ) -> None:
        self._away = away
        self._answer = answer
        self._headers = headers
        self.sent: list[str] = []
        self.probes: list[str] = []
        self.reports: list[Report] = []

    async def exchange(self, client: object, request: StoreRequest) -> Reply:
        self.sent.append(request.url)
        await self._travel()
        if self._answer is None:
            raise AWAY
        return Reply(self._answer, self._headers, b"")

    async def stream(self, client: object, request: StoreRequest, content: object) -> Reply:
        self.probes.append(f"{request.method} {request.url} {dict(request.headers)}")
        await self._travel()
        return Reply(403, {}, b"")

    @asynccontextmanager
    async def wire(self, patience: float = 300.0, budget: UploadBudget | None = None) -> AsyncIterator[StoreConnection]:
        wire = StoreConnection(
            connections=2, report=self.reports.append, patience=patience, budget=budget, rng=random.Random(1)
        )
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(wire, "_exchange", self.exchange)
            patched.setattr(wire, "_stream", self.stream)
            yield wire
        await wire.aclose()

    async def _travel(self) -> None:
        await anyio.sleep(0.1)
        if self._away(anyio.current_time()):
            raise AWAY


async def prepare() -> StoreRequest:
    return StoreRequest("PUT", URL, {"Authorization": "secret"}, b"")


def run(network: Network, scenario: Callable[[StoreConnection], Awaitable[None]], patience: float = 300.0) -> float:
    """The virtual seconds that it took."""

    async def main() -> float:
        async with network.wire(patience) as wire:
            await scenario(wire)
        return anyio.current_time()

    return virtual.run(main)


def test_a_long_outage_costs_no_attempts_and_its_end_is_noticed() -> None:
    network = Network(away=lambda now: 2 < now < 200)

    async def scenario(wire: StoreConnection) -> None:
        async with anyio.create_task_group() as tasks:
            for _ in range(100):
                tasks.start_soon(wire.call, prepare)

    assert 200 < run(network, scenario) < 210
    assert not any(isinstance(report, Retrying) for report in network.reports)
    assert {report.reason for report in network.reports if isinstance(report, Waiting)} == {"offline"}
    assert len(network.sent) <= 102, "only what was under way is sent again"


def test_a_probe_has_no_credential_and_goes_to_the_host_of_the_request() -> None:
    network = Network(away=lambda now: now < 1)

    async def scenario(wire: StoreConnection) -> None:
        await wire.call(prepare)

    run(network, scenario)
    assert set(network.probes) == {"HEAD https://bucket.example.com/ {}"}


def test_a_request_that_alone_gets_no_answer_runs_out_of_attempts() -> None:
    network = Network(answer=None)

    async def scenario(wire: StoreConnection) -> None:
        with pytest.raises(Transient, match="object store failed"):
            await wire.call(prepare)

    run(network, scenario)
    assert len(network.sent) == MAX_ATTEMPTS
    assert len(network.probes) == MAX_ATTEMPTS
    assert sum(isinstance(report, Retrying) for report in network.reports) == MAX_ATTEMPTS - 1


@pytest.mark.parametrize(("met", "patience", "least"), [(True, 60.0, 60), (False, 60.0, FIRST_CONTACT_SECONDS)])
def test_patience_ends(met: bool, patience: float, least: float) -> None:
    network = Network(away=lambda now: now > (0.15 if met else 0))

    async def scenario(wire: StoreConnection) -> None:
        if met:
            await wire.call(prepare)
        with pytest.raises(Transient, match="object store cannot be reached") as caught:
            await wire.call(prepare)
        assert caught.value.reason == "offline"

    assert least <= run(network, scenario, patience) < least + 10


def test_a_wait_ends_at_once_when_it_is_cancelled() -> None:
    network = Network(away=lambda now: True)

    async def scenario(wire: StoreConnection) -> None:
        with anyio.move_on_after(3):
            await wire.call(prepare)

    assert run(network, scenario) == 3


def test_a_request_that_crashes_its_store_each_time_fails() -> None:
    """The store is back a second later: no attempt is counted, and it would go on for ever."""
    deaths: list[float] = []

    class Fragile(Network):
        async def exchange(self, client: object, request: StoreRequest) -> Reply:
            deaths.append(anyio.current_time())
            raise AWAY

    network = Fragile(away=lambda now: now < deaths[-1] + 1)

    async def scenario(wire: StoreConnection) -> None:
        with pytest.raises(Transient, match="became unreachable 32 times") as caught:
            await wire.call(prepare)
        assert caught.value.reason == "server failing"

    run(network, scenario)
    assert len(deaths) == MAX_OUTAGES


@pytest.mark.parametrize("headers", [{}, {"retry-after": "0"}])
def test_a_busy_store_is_not_asked_again_at_once(headers: Mapping[str, str]) -> None:
    network = Network(answer=503, headers=headers)

    async def scenario(wire: StoreConnection) -> None:
        with pytest.raises(Transient, match="asks the client to wait"):
            await wire.call(prepare)

    run(network, scenario)
    assert len(network.sent) < 300, "every two seconds"


def test_a_request_is_signed_right_before_it_is_sent() -> None:
    """Else it would be too old after a while in the queue."""
    signed: dict[str, float] = {}
    lags: list[float] = []

    class Queue(Network):
        async def exchange(self, client: object, request: StoreRequest) -> Reply:
            lags.append(anyio.current_time() - signed[request.url])
            return await super().exchange(client, request)

    network = Queue(away=lambda now: 2 < now < 200)

    async def scenario(wire: StoreConnection) -> None:
        async def call(number: int) -> None:
            async def sign() -> StoreRequest:
                signed[f"{URL}&{number}"] = anyio.current_time()
                return StoreRequest("PUT", f"{URL}&{number}", {}, b"")

            await wire.call(sign)

        async with anyio.create_task_group() as tasks:
            for number in range(100):
                tasks.start_soon(call, number)

    run(network, scenario)
    assert len(lags) >= 100
    assert max(lags) == 0


@pytest.mark.parametrize(
    "troubled",
    [Network(away=lambda now: True), Network(answer=503, headers={"retry-after": "60"})],
    ids=["away", "throttled"],
)
def test_a_store_in_trouble_takes_no_slot_from_another(troubled: Network) -> None:
    healthy = Network()

    async def main() -> float:
        budget = UploadBudget.of(2, None)
        async with troubled.wire(budget=budget) as bad, healthy.wire(budget=budget) as good:
            async with anyio.create_task_group() as tasks:
                for _ in range(20):
                    tasks.start_soon(bad.call, prepare)
                await anyio.sleep(5)
                began = anyio.current_time()
                async with anyio.create_task_group() as uploads:
                    for _ in range(20):
                        uploads.start_soon(good.call, prepare)
                took = anyio.current_time() - began
                tasks.cancel_scope.cancel()
        return took

    assert virtual.run(main) == pytest.approx(1), "two at a time, a tenth of a second each"


def test_the_requests_of_all_stores_share_their_slots() -> None:
    first, second = Network(), Network()

    async def main() -> float:
        budget = UploadBudget.of(2, None)
        async with first.wire(budget=budget) as one, second.wire(budget=budget) as other:
            async with anyio.create_task_group() as tasks:
                for wire in (one, other):
                    for _ in range(10):
                        tasks.start_soon(wire.call, prepare)
        return anyio.current_time()

    assert virtual.run(main) == pytest.approx(1), "two at a time in all"


def reply_time(
    pieces: int, size: int, seconds: float, rate: int | None = None, *, method: str = "GET", byte: bytes = b"\0"
) -> tuple[int, int]:
    """Return when a reply of so many pieces, each after so many seconds, has arrived, and its size."""

    class Slow:
        status_code = 200
        headers: Mapping[str, str] = NO_HEADERS

        async def aiter_raw(self) -> AsyncIterator[bytes]:
            for _ in range(pieces):
                await anyio.sleep(seconds)
                yield byte * size

    @asynccontextmanager
    async def stream(*arguments: object, **options: object) -> AsyncIterator[Slow]:
        yield Slow()

    async def main() -> tuple[int, int]:
        budget = UploadBudget.of(1, rate)
        wire = StoreConnection(connections=1, report=lambda report: None, patience=300.0, budget=budget)
        size = -1
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(wire._client(URL, 0), "stream", stream)
            with suppress(Unreachable):
                size = len((await wire.send(StoreRequest(method, URL, {}, b""))).body)
        await wire.aclose()
        return round(anyio.current_time()), size

    return virtual.run(main)


def test_a_reply_that_drips_times_out() -> None:
    assert reply_time(1000, 1, 50.0) == (REPLY_SECONDS, -1)


def test_a_store_that_works_on_a_reply_keeps_it_alive_with_white_space() -> None:
    assert reply_time(20, 1, 20.0, method="POST", byte=b" ") == (400, 20)
    assert reply_time(1000, 1, 20.0, method="POST", byte=b" ") == (LONGEST_WORK_SECONDS, -1)
    assert reply_time(20, 1, 20.0, byte=b" ") == (REPLY_SECONDS, -1), "a file may hold white space"


def test_a_range_over_a_slow_network_arrives() -> None:
    assert reply_time(32, 65536, 10.0) == (320, 32 * 65536)


def test_a_reply_keeps_to_the_rate_limit_and_is_not_given_up_meanwhile() -> None:
    assert reply_time(32, 65536, 0.0, rate=4096) == (31 * 16, 32 * 65536)
    assert reply_time(4, 65536, 0.0, rate=64) == (3 * 1024, 4 * 65536)


def test_a_reply_without_an_end_is_cut_off() -> None:
    assert reply_time(10**9, 1024 * 1024, 0.0)[1] == MAX_REPLY_BYTES


def test_a_request_that_waited_for_a_slot_is_not_sent_during_an_outage() -> None:
    network = Network(away=lambda now: now < 5)

    async def main() -> None:
        async with network.wire(budget=UploadBudget.of(1, None)) as wire:
            async with anyio.create_task_group() as tasks:
                for _ in range(2):
                    tasks.start_soon(wire.call, prepare)

    virtual.run(main)
    assert len(network.sent) == 3, "one that met the absence, and both once it is over"
