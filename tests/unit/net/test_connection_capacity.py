"""Calls over a simulated connection of a fixed capacity, on virtual time: it is used and not congested."""

import random
from dataclasses import dataclass, field
from functools import partial
from itertools import product

import anyio
import httpx2
import pytest

from roar_publisher.glaas.replies import Receipt
from roar_publisher.net.limit import FIRST_LIMIT, AdaptiveLimit
from roar_publisher.report import Retrying
from roar_publisher.state.errors import Interrupted
from roar_publisher.state.limits import MOST_REQUESTS
from tests.support import virtual
from tests.support.glaas.scripted import OK, Calls, Script, reply
from tests.support.sampling import sample

NARROW = sample(
    "narrow connections",
    [
        (*line, jitter)
        for line in ((1, 0.25), (4, 0.25), (16, 0.25), (32, 0.5), (8, 1.0), (1, 1.0))
        for jitter in (0.0, 0.5)
    ],
    0,
    lambda line: line[:2],
    lambda line: line[2],
)
"""(requests at once, seconds each, jitter)."""
LARGE = sample(
    "large connections",
    list(product((0.001, 0.05, 0.25), (0.0, 1.0))),
    0,
    lambda line: line[0],
    lambda line: line[1],
)
"""(seconds each, jitter) of a connection that is wider than the limit."""


@dataclass
class SimulatedConnection(httpx2.AsyncBaseTransport):
    """Carries `capacity` requests at once, each for `seconds`; the others wait for their turn, first come first served.

    jitter: share of `seconds` by which one may take longer.
    """

    capacity: int
    seconds: float
    jitter: float = 0.0
    rng: random.Random = field(default_factory=lambda: random.Random(11))
    under_way: int = 0
    most_under_way: int = 0
    requests: int = 0

    def __post_init__(self) -> None:
        self.turns = anyio.CapacityLimiter(self.capacity)

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        self.requests += 1
        self.under_way += 1
        self.most_under_way = max(self.most_under_way, self.under_way)
        try:
            async with self.turns:
                await anyio.sleep(self.seconds * (1 + self.rng.uniform(0, self.jitter)))
        finally:
            self.under_way -= 1
        return httpx2.Response(200, content=OK)


@dataclass
class Outcome:
    """What came of it.  limits: after each request."""

    connection: SimulatedConnection
    calls: Calls
    limits: list[int]
    took: float

    @property
    def late(self) -> list[int]:
        """The limit in the last half of the run."""
        return self.limits[len(self.limits) // 2 :]


async def send(
    connection: SimulatedConnection, requests: int, *, probes: int = 3, most: int = MOST_REQUESTS
) -> Outcome:
    """First some requests one by one, as a publish begins, then all the others as fast as the limit lets them."""
    calls = Calls(Script([]), transport=connection, most=most)
    limits: list[int] = []

    async def call(body: bytes) -> None:
        await calls.client.call("POST", "/api/v1/thing", body, expect=Receipt)
        limits.append(calls.connection.limit.current)

    async with calls.client.reporting_silence():
        for _ in range(probes):
            await call(b"")
        began = anyio.current_time()
        async with anyio.create_task_group() as tasks:
            for number in range(requests):
                tasks.start_soon(call, b"x" * (10 + number % 50))
        return Outcome(connection, calls, limits, anyio.current_time() - began)


@pytest.mark.parametrize(("capacity", "seconds", "jitter"), NARROW)
def test_the_limit_settles_near_the_capacity_without_retries(capacity: int, seconds: float, jitter: float) -> None:
    async def scenario() -> None:
        connection = SimulatedConnection(capacity, seconds, jitter)
        done = await send(connection, 100 + 60 * capacity)
        late = sorted(done.late)
        assert capacity <= late[len(late) // 2] <= 1.8 * capacity + 2, done.limits
        assert not [report for report in done.calls.reports if isinstance(report, Retrying)]
        assert connection.requests == len(done.limits), "nothing was sent twice"
        assert connection.most_under_way <= FIRST_LIMIT + 2.2 * capacity
        ideal = (100 + 60 * capacity) / capacity * seconds * (1 + jitter / 2)
        assert done.took <= 1.1 * ideal + 4 * seconds

    virtual.run(scenario)


def test_300_jobs_of_600_requests_over_a_connection_that_takes_one_at_a_time() -> None:
    """The run of the report: 74 connections, and half of all requests sent twice."""

    async def scenario() -> None:
        done = await send(SimulatedConnection(1, 0.25), 600)
        assert not done.calls.reports
        assert done.took == pytest.approx(150.0)
        assert done.connection.requests == 603
        assert max(done.late) <= 3
        assert done.connection.most_under_way <= FIRST_LIMIT

    virtual.run(scenario)


@pytest.mark.parametrize(("seconds", "jitter"), LARGE)
def test_a_connection_of_large_capacity_is_used_fully_at_once(seconds: float, jitter: float) -> None:
    async def scenario() -> None:
        done = await send(SimulatedConnection(10_000, seconds, jitter), 1_500)
        assert min(done.late) == MOST_REQUESTS
        first = done.limits.index(MOST_REQUESTS)
        assert first <= 3 * MOST_REQUESTS
        ideal = 1_500 / MOST_REQUESTS * seconds * (1 + jitter / 2)
        assert done.took <= 1.1 * ideal + 4 * seconds

    virtual.run(scenario)


def test_the_limit_follows_a_changing_capacity() -> None:
    async def scenario() -> None:
        connection = SimulatedConnection(64, 0.25)
        calls = Calls(Script([]), transport=connection, most=MOST_REQUESTS)
        widths: list[int] = []

        async def keep_sending() -> None:
            while True:
                await calls.client.call("POST", "/api/v1/thing", b"x", expect=Receipt)

        async with anyio.create_task_group() as tasks:
            for _ in range(MOST_REQUESTS):
                tasks.start_soon(keep_sending)
            for capacity, seconds in ((64, 5), (4, 30), (64, 15)):
                connection.turns.total_tokens = capacity
                await anyio.sleep(seconds)
                widths.append(calls.connection.limit.current)
            tasks.cancel_scope.cancel()
        full, narrow, again = widths
        assert full == MOST_REQUESTS
        assert 4 <= narrow <= 9
        assert again >= 50

    virtual.run(scenario)


def test_a_server_that_becomes_slower_is_not_mistaken_for_congestion_forever() -> None:
    """Every request takes five times as long from now on, however few there are."""

    async def scenario() -> None:
        connection = SimulatedConnection(10_000, 0.2)
        calls = Calls(Script([]), transport=connection, most=MOST_REQUESTS)

        async def keep_sending() -> None:
            while True:
                await calls.client.call("POST", "/api/v1/thing", b"x", expect=Receipt)

        async with anyio.create_task_group() as tasks:
            for _ in range(MOST_REQUESTS):
                tasks.start_soon(keep_sending)
            await anyio.sleep(3)
            connection.seconds = 1.0
            await anyio.sleep(60)
            tasks.cancel_scope.cancel()
        assert calls.connection.limit.current == MOST_REQUESTS

    virtual.run(scenario)


@pytest.mark.parametrize("jobs", [1, 3, 20])
def test_the_users_maximum_is_never_exceeded(jobs: int) -> None:
    async def scenario() -> None:
        done = await send(SimulatedConnection(10_000, 0.05), 500, most=jobs)
        assert done.connection.most_under_way == jobs

    virtual.run(scenario)


def test_few_slow_requests_do_not_reduce_the_limit() -> None:
    async def scenario() -> None:
        limit = AdaptiveLimit(64)
        rng = random.Random(4)

        async def request() -> None:
            async with limit.slot() as slot:
                seconds = 5.0 if rng.random() < 0.2 else 0.05
                await anyio.sleep(seconds)
                slot.answered("thing", seconds)

        async with anyio.create_task_group() as tasks:
            for _ in range(3_000):
                tasks.start_soon(request)
            await anyio.sleep(20)
            assert limit.current == 64

    virtual.run(scenario)


def test_requests_are_compared_with_others_of_their_kind() -> None:
    async def scenario() -> None:
        limit = AdaptiveLimit(64)

        async def request(kind: str, seconds: float) -> None:
            async with limit.slot() as slot:
                await anyio.sleep(seconds)
                slot.answered(kind, seconds)

        await request("batch", 2.0)
        async with anyio.create_task_group() as tasks:
            for number in range(3_000):
                tasks.start_soon(request, *(("batch", 2.0) if number % 3 else ("link", 0.05)))
        assert limit.current == 64

    virtual.run(scenario)


def test_after_a_stop_only_running_requests_finish() -> None:
    """Requests that wait for a slot are not sent any more."""

    async def scenario() -> None:
        connection = SimulatedConnection(10_000, 1.0)
        calls = Calls(Script([]), transport=connection, most=4)
        stopped = 0

        async def call() -> None:
            nonlocal stopped
            try:
                await calls.client.call("POST", "/api/v1/thing", b"x", expect=Receipt)
            except Interrupted:
                stopped += 1

        async with anyio.create_task_group() as tasks:
            for _ in range(50):
                tasks.start_soon(call)
            await anyio.sleep(0.5)
            calls.stop.set()
        assert (connection.requests, stopped) == (4, 46)
        assert anyio.current_time() == 1.0

    virtual.run(scenario)


def test_requests_that_wait_for_a_slot_are_not_sent_into_a_pause_that_the_server_asked_for() -> None:
    async def scenario() -> None:
        busy = [reply(429, retry_after="60") for _ in range(4)]
        calls = Calls(Script(busy), most=4)
        async with anyio.create_task_group() as tasks:
            for _ in range(50):
                tasks.start_soon(partial(calls.client.call, "POST", "/api/v1/thing", b"x", expect=Receipt))
        assert sorted(calls.script.times)[4] >= 60

    virtual.run(scenario)
