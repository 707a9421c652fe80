"""Servers that take a request and do not answer: reported after 5 s, given up on after 20 s, 15 s at first contact."""

import itertools
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

import anyio
import httpx2
import pytest
import trio
from anyio.abc import SocketStream
from trio.testing import MockClock

from roar_publisher.glaas.client import HEALTH, RegistryClient
from roar_publisher.glaas.replies import Receipt
from roar_publisher.net.connection import RegistryConnection
from roar_publisher.net.exchange import ANSWER_SECONDS
from roar_publisher.net.gate import FIRST_CONTACT_SECONDS
from roar_publisher.net.policy import LONGEST_BACKOFF_SECONDS, MAX_ATTEMPTS
from roar_publisher.net.sender import LONG_WORK_SECONDS, LONGEST_ANSWER_SECONDS
from roar_publisher.net.silence import NOTICE_SECONDS
from roar_publisher.report import Report, Retrying, Waiting
from roar_publisher.state.errors import Transient
from tests.support import virtual

FINE = b'{"hash": "%s"}' % (b"a" * 64)
THING = "/api/v1/thing"
HOUR = 3600.0


class Server(httpx2.AsyncBaseTransport):
    """Answers each request after so many seconds, by its path; None is never.  connects: whether it can be reached."""

    def __init__(self, *, thing: list[float | None], health: float | None = 0.0) -> None:
        self.thing = thing
        self.health = health
        self.connects = True
        self.sent: list[float] = []

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        if not self.connects:
            raise httpx2.ConnectError("no network")
        if request.url.path.endswith(HEALTH):
            seconds = self.health
        else:
            self.sent.append(anyio.current_time())
            seconds = self.thing.pop(0) if len(self.thing) > 1 else self.thing[0]
        await (anyio.sleep_forever() if seconds is None else anyio.sleep(seconds))
        return httpx2.Response(200, content=FINE)


class Calls:
    """A RegistryClient over a transport, with its reports and when they came."""

    def __init__(self, registry: str, transport: httpx2.AsyncBaseTransport | None, *, met: bool = True) -> None:
        self.reports: list[tuple[float, Report]] = []
        self.connection = RegistryConnection(registry, most_requests=4, transport=transport)
        self.connection.gate_state.answered_before = met
        self.client = RegistryClient(
            self.connection, patience=300.0, rng=random.Random(5), clock=lambda: 0.0, report=self._report
        )

    def _report(self, report: Report) -> None:
        self.reports.append((anyio.current_time(), report))

    async def call(self, *, takes_long: bool = False, body: bytes = b"{}") -> Receipt:
        async with self.client.reporting_silence():
            return await self.client.call("POST", THING, body, expect=Receipt, takes_long=takes_long)

    @property
    def silences(self) -> list[tuple[float, float]]:
        """When `no answer` was reported, and how many seconds it had left."""
        return [(at, r.seconds) for at, r in self.reports if isinstance(r, Waiting) and r.reason == "no answer"]

    @property
    def longest_gap(self) -> float:
        """Seconds without any report, from the beginning to now."""
        times = [0.0, *(at for at, _ in self.reports), anyio.current_time()]
        return max(b - a for a, b in itertools.pairwise(times))


def met(server: Server) -> Calls:
    return Calls("http://registry.localhost", server)


def unmet(server: Server) -> Calls:
    return Calls("http://registry.localhost", server, met=False)


def test_a_request_without_an_answer_is_reported_after_5_s_and_sent_again_after_20() -> None:
    async def scenario() -> None:
        calls = met(server := Server(thing=[None, 0.0]))
        assert (await calls.call()).hash == "a" * 64
        assert calls.silences[:3] == [(5.0, 15.0), (10.0, 10.0), (15.0, 5.0)]
        first, second = server.sent
        assert ANSWER_SECONDS <= second - first < ANSWER_SECONDS + 2

    assert (NOTICE_SECONDS, ANSWER_SECONDS) == (5.0, 20.0)
    virtual.run(scenario)


def test_what_answers_soon_is_not_reported() -> None:
    async def scenario() -> None:
        calls = met(Server(thing=[4.9]))
        async with calls.client.reporting_silence(), anyio.create_task_group() as tasks:
            for _ in range(20):
                tasks.start_soon(calls.call)
        assert calls.reports == []

    virtual.run(scenario)


def test_each_further_attempt_has_more_time_because_the_connection_may_be_slow() -> None:
    async def scenario() -> None:
        calls = met(server := Server(thing=[50.0]))
        await calls.call()
        assert len(server.sent) == 3, "20 s, 40 s, and 60 s that were enough"

    virtual.run(scenario)


def test_a_request_that_is_never_answered_fails_and_is_reported_meanwhile() -> None:
    async def scenario() -> None:
        calls = met(server := Server(thing=[None]))
        with pytest.raises(Transient, match="no answer in time") as caught:
            await calls.call()
        assert caught.value.reason == "server failing"
        assert len(server.sent) == MAX_ATTEMPTS
        assert anyio.current_time() < MAX_ATTEMPTS * (LONGEST_ANSWER_SECONDS + 20)
        assert calls.longest_gap <= LONGEST_BACKOFF_SECONDS

    virtual.run(scenario)


def test_a_silent_registry_is_waited_for_until_patience_ends() -> None:
    async def scenario() -> None:
        calls = met(server := Server(thing=[None], health=None))
        with pytest.raises(Transient, match="cannot be reached: no answer in time") as caught:
            await calls.call()
        assert caught.value.reason == "offline"
        assert len(server.sent) == 1, "while the network is away nothing but probes is sent"
        assert 300 <= anyio.current_time() <= 340
        assert calls.longest_gap <= 10

    virtual.run(scenario)


@pytest.mark.parametrize("takes_long", [False, True])
@pytest.mark.parametrize("body", [b"{}", b" " * 90_000])
def test_first_contact_has_15_s(takes_long: bool, body: bytes) -> None:
    async def scenario() -> None:
        calls = unmet(Server(thing=[None], health=None))
        with pytest.raises(Transient, match="cannot be reached"):
            await calls.call(takes_long=takes_long, body=body)
        assert anyio.current_time() == pytest.approx(FIRST_CONTACT_SECONDS, abs=0.6)
        assert calls.longest_gap <= 10

    assert FIRST_CONTACT_SECONDS == 15.0
    virtual.run(scenario)


def test_a_registry_that_starts_within_the_first_contact_is_reached() -> None:
    async def scenario() -> None:
        calls = unmet(server := Server(thing=[12.0], health=4.0))
        assert (await calls.call()).hash == "a" * 64
        assert len(server.sent) == 2

    virtual.run(scenario)


def test_a_second_publish_over_the_same_connection_probes_for_itself() -> None:
    """The connection of a daemon outlives what failed on it an hour ago."""

    async def scenario() -> None:
        server = Server(thing=[0.0])
        server.connects = False
        calls = unmet(server)
        with pytest.raises(Transient):
            await calls.call()
        await anyio.sleep(HOUR)
        server.connects = True
        await calls.call(takes_long=True)

    virtual.run(scenario)


# ------------------------------------------------------------------------------------------- what takes long: finalize


@pytest.mark.parametrize("seconds", [40.0, 290.0])
@pytest.mark.parametrize("health", [0.0, None], ids=["answers beside it", "does one thing at a time"])
def test_a_finalize_that_always_takes_long_succeeds_at_once_and_is_reported(
    seconds: float, health: float | None
) -> None:
    async def scenario() -> None:
        calls = met(server := Server(thing=[seconds], health=health))
        assert (await calls.call(takes_long=True)).hash == "a" * 64
        assert len(server.sent) == 1
        assert anyio.current_time() == seconds
        assert calls.longest_gap <= NOTICE_SECONDS
        assert not [report for _, report in calls.reports if isinstance(report, Retrying)]

    virtual.run(scenario)


def test_a_finalize_ends_soon_after_the_network_vanished() -> None:
    async def scenario() -> None:
        calls = met(server := Server(thing=[None, 1.0]))

        async def lose_the_network() -> None:
            await anyio.sleep(10)
            server.connects = False
            await anyio.sleep(60)
            server.connects = True

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(lose_the_network)
            await calls.call(takes_long=True)
        assert len(server.sent) == 2
        assert 70 <= anyio.current_time() <= 76, "the network that is back is noticed within 5 s"

    virtual.run(scenario)


def test_a_finalize_without_any_answer_is_sent_again_after_five_minutes() -> None:
    async def scenario() -> None:
        calls = met(server := Server(thing=[None, 1.0]))
        await calls.call(takes_long=True)
        assert len(server.sent) == 2
        assert LONG_WORK_SECONDS <= anyio.current_time() < LONG_WORK_SECONDS + 5

    virtual.run(scenario)


# --------------------------------------------------------------------- real sockets, on a clock that skips what is idle

Handler = Callable[[SocketStream], Awaitable[None]]
IDLE_SECONDS = 0.05
"""Seconds of the wall clock without an event on any socket, after which time jumps to the next deadline. Both ends are
in this process, so nothing is on its way then. A clock that only runs fast would let probes time out on a busy
machine."""


def on_a_clock_that_skips(scenario: Callable[[], Awaitable[None]]) -> None:
    trio.run(scenario, clock=MockClock(autojump_threshold=IDLE_SECONDS))


@asynccontextmanager
async def listening(handler: Handler) -> AsyncIterator[str]:
    """A server on loopback: `handler` gets each connection once the head of a request has come."""

    async def serve(connection: SocketStream) -> None:
        async with connection:
            with suppress(anyio.BrokenResourceError, anyio.EndOfStream):  # the client has given up
                await connection.receive()
                await handler(connection)

    listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
    async with listener, anyio.create_task_group() as tasks:
        tasks.start_soon(listener.serve, serve)
        yield f"http://127.0.0.1:{listener.extra(anyio.abc.SocketAttribute.local_port)}"
        tasks.cancel_scope.cancel()


def test_a_socket_that_accepts_and_never_answers() -> None:
    async def never(connection: SocketStream) -> None:
        await anyio.sleep_forever()

    async def scenario() -> None:
        async with listening(never) as url:
            calls = Calls(url, None, met=False)
            began = anyio.current_time()
            async with calls.connection:
                with pytest.raises(Transient, match="cannot be reached: no answer in time"):
                    await calls.call()
            assert anyio.current_time() - began >= 14
            assert calls.silences

    on_a_clock_that_skips(scenario)


@pytest.mark.parametrize("head", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 999\r\n\r\n"], ids=["head", "body"])
def test_a_socket_that_drips_a_byte_a_second(head: bytes) -> None:
    connections = 0

    async def drip(connection: SocketStream) -> None:
        nonlocal connections
        connections += 1
        if connections > 1:
            await connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(FINE), FINE))
            return
        await connection.send(head or b"HTTP/1.1 200 OK\r\nX-Slow: ")
        while True:
            await anyio.sleep(1)
            await connection.send(b"x")

    async def scenario() -> None:
        async with listening(drip) as url:
            calls = Calls(url, None)
            began = anyio.current_time()
            async with calls.connection:
                assert (await calls.call()).hash == "a" * 64
            assert anyio.current_time() - began >= 20
            assert connections > 1, "the first is given up"
            assert calls.silences

    on_a_clock_that_skips(scenario)


def test_a_socket_that_answers_a_finalize_after_40_s() -> None:
    connections = 0

    async def slowly(connection: SocketStream) -> None:
        nonlocal connections
        connections += 1
        await anyio.sleep(40)
        await connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(FINE), FINE))

    async def scenario() -> None:
        async with listening(slowly) as url:
            calls = Calls(url, None)
            async with calls.connection:
                assert (await calls.call(takes_long=True)).hash == "a" * 64
            assert calls.silences
            assert not [report for _, report in calls.reports if isinstance(report, Retrying)]

    on_a_clock_that_skips(scenario)
