"""Connections that are held without being used: over real sockets, on a clock that the test moves."""

import asyncio
import resource
import signal
import socket
from collections.abc import Callable, Coroutine
from contextlib import ExitStack
from pathlib import Path
from typing import Any, TypeVar

import httpx2
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from roar_publisher.registry.api.app import create_app
from roar_publisher.registry.api.bodies import BODY_SECONDS
from roar_publisher.registry.data import Store
from roar_publisher.registry.http.addresses import client_of, is_in, networks
from roar_publisher.registry.server.connections import RESERVED_DESCRIPTORS, ConnectionTable, allowed_connections
from roar_publisher.registry.server.protocol import DRAIN_SECONDS, HEAD_SECONDS, IDLE_SECONDS, WRITE_SECONDS
from tests.support.registry.harness import GIT, run_inline, succeeded
from tests.support.registry.http_server import HEALTH, Peer, Served, SteppedLoop, run_stepped, served
from tests.support.registry.processes import PATIENCE, PROGRAM, serving

T = TypeVar("T")
Scenario = Callable[[SteppedLoop, Served], Coroutine[Any, Any, None]]
BODY = b'{"hash": "%s"}' % (b"a" * 64)
HEAD = (
    b"POST /api/v1/sessions HTTP/1.1\r\nHost: registry\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
)


def run(scenario: Scenario, **options: Any) -> None:
    async def against_registry(loop: SteppedLoop) -> None:
        async with served(create_app(Store.in_memory(), run=run_inline), **options) as registry:
            await scenario(loop, registry)

    run_stepped(against_registry)


@pytest.mark.parametrize("before", [b"", HEALTH], ids=["a new connection", "a used connection"])
def test_a_head_sent_byte_by_byte_has_ten_seconds(before: bytes) -> None:
    async def scenario(loop: SteppedLoop, registry: Served) -> None:
        attacker = await registry.connect()
        if before:
            assert (await attacker.ask(before))[0] == 200
        for number in range(HEAD_SECONDS - 1):
            await attacker.send(HEALTH[number : number + 1])
            await loop.skip(1)
            assert not await attacker.is_closed()
        await loop.skip(1)
        assert (await attacker.answer())[0] == 408
        assert await attacker.is_closed()
        assert len(registry.table) == 0

    run(scenario)


def test_a_silent_connection_is_closed_as_soon_as_a_slow_head() -> None:
    async def scenario(loop: SteppedLoop, registry: Served) -> None:
        silent = await registry.connect()
        await loop.skip(HEAD_SECONDS - 1)
        assert not await silent.is_closed()
        await loop.skip(1)
        assert await silent.is_closed()

    run(scenario)


def test_an_idle_connection_is_kept_for_a_while() -> None:
    async def scenario(loop: SteppedLoop, registry: Served) -> None:
        idle = await registry.connect()
        for _ in range(2):
            assert (await idle.ask(HEALTH))[0] == 200
            await loop.skip(IDLE_SECONDS - 1)
        assert not await idle.is_closed()
        await loop.skip(1)
        assert await idle.is_closed()

    run(scenario)


def test_a_body_sent_byte_by_byte_is_408() -> None:
    async def scenario(loop: SteppedLoop, registry: Served) -> None:
        attacker = await registry.connect()
        await attacker.send(HEAD % 90_000)
        for _ in range(int(BODY_SECONDS) + 1):
            await attacker.send(b" ")
            await loop.skip(1)
        assert (await attacker.answer())[0] == 408
        assert await attacker.is_closed()

    run(scenario)


@pytest.mark.parametrize("speed", [2000, 700])
def test_ninety_kibibytes_over_a_slow_connection_arrive(speed: int) -> None:
    """Bytes a second; the slower line takes 132 s."""

    async def scenario(loop: SteppedLoop, registry: Served) -> None:
        publisher = await registry.connect()
        body = BODY + b" " * (90 * 1024 - len(BODY))
        await publisher.send(HEAD % len(body))
        for first in range(0, len(body), speed):
            await loop.skip(1)
            await publisher.send(body[first : first + speed])
        assert (await publisher.answer())[0] == 201

    run(scenario)


@pytest.mark.parametrize(
    "head", [HEAD.replace(b"/api/v1/sessions", b"/nowhere"), HEAD.replace(b"POST", b"DELETE")], ids=["404", "405"]
)
def test_an_unread_body_does_not_hold_the_connection(head: bytes) -> None:
    async def scenario(loop: SteppedLoop, registry: Served) -> None:
        attacker = await registry.connect()
        assert (await attacker.ask(head % 90_000))[0] in (404, 405)
        for _ in range(DRAIN_SECONDS):
            assert not await attacker.is_closed()
            await attacker.send(b" ")
            await loop.skip(1)
        assert await attacker.is_closed()

    run(scenario)


def test_an_endless_unread_body_is_cut_off() -> None:
    async def scenario(loop: SteppedLoop, registry: Served) -> None:
        attacker = await registry.connect()
        head = HEAD.replace(b"/api/v1/sessions", b"/nowhere")
        assert (await attacker.ask(head % 10**12))[0] == 404
        with pytest.raises(ConnectionError):
            await flood(attacker)

    async def flood(attacker: Peer) -> None:
        for _ in range(1000):
            await attacker.send(b" " * 65536)

    run(scenario)


@pytest.mark.parametrize("last", [b"", b"Connection: close\r\n"], ids=["kept", "closing"])
def test_a_client_that_does_not_read_its_reply_loses_its_connection(last: bytes) -> None:
    async def big(request: Request) -> Response:
        return Response(b"x" * (16 << 20))

    async def scenario(loop: SteppedLoop) -> None:
        async with served(Starlette(routes=[Route("/", big)])) as registry:
            attacker = await registry.connect()
            attacker.writer.transport.pause_reading()  # type: ignore[attr-defined]
            await attacker.send(b"GET / HTTP/1.1\r\nHost: registry\r\n" + last + b"\r\n")
            await loop.skip(0)
            await loop.skip(WRITE_SECONDS - 1)
            assert len(registry.table) == 1
            await loop.skip(1)
            assert len(registry.table) == 0

    run_stepped(scenario)


def test_a_client_that_holds_its_share_loses_its_own_oldest_connection_first() -> None:
    async def scenario(loop: SteppedLoop, registry: Served) -> None:
        held = [await registry.connect() for _ in range(20)]
        await loop.skip(0)
        assert len(registry.table) == 5
        assert [await connection.is_closed() for connection in held] == [True] * 15 + [False] * 5
        assert await registry.answers()
        assert len(registry.table) == 5

    run(scenario, connections=100, per_client=5)


def test_a_full_registry_closes_the_connection_that_has_waited_longest() -> None:
    async def scenario(loop: SteppedLoop, registry: Served) -> None:
        used, *held = [await registry.connect() for _ in range(10)]
        assert (await used.ask(HEALTH))[0] == 200
        assert await registry.answers()
        assert [await connection.is_closed() for connection in [used, *held]] == [False, True, *[False] * 8]

    run(scenario, connections=10, per_client=10)


def test_a_new_connection_is_sent_away_if_all_others_are_busy() -> None:
    async def scenario(loop: SteppedLoop) -> None:
        async with served(create_app(Store.in_memory(), run=stuck), connections=3, per_client=3) as registry:
            for _ in range(3):
                await (await registry.connect()).send(HEAD % len(BODY) + BODY)
            await loop.skip(0)
            refused = await registry.connect()
            assert (await refused.answer())[0] == 503
            assert await refused.is_closed()
            assert len(registry.table) == 3
            ready.set()
            await loop.skip(0)
            assert await registry.answers()

    async def stuck(call: Callable[[], T], /) -> T:
        await ready.wait()
        return call()

    ready = asyncio.Event()
    run_stepped(scenario)


class Held:
    """A connection that notes what became of it."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.open = True

    def evict(self) -> None:
        self.open = False

    def __repr__(self) -> str:
        return self.name


def test_a_connection_at_work_never_gives_way() -> None:
    table = ConnectionTable(3, 2)
    first, second, third, fourth, fifth = (Held(name) for name in "12345")
    assert table.admit(first, "a")
    assert table.admit(second, "a")
    table.mark_busy(first)
    table.mark_busy(second)
    assert not table.admit(third, "a")
    assert table.admit(third, "b")
    assert table.admit(fourth, "c")
    assert [first.open, second.open, third.open] == [True, True, False]
    table.mark_busy(fourth)
    assert not table.admit(fifth, "d")
    table.remove(first)
    table.remove(first)
    assert table.admit(fifth, "d")
    assert len(table) == 3


def test_a_proxy_may_have_all_connections() -> None:
    table = ConnectionTable(8, 2)
    assert all(table.admit(Held(str(number)), "proxy", bounded=False) for number in range(8))
    assert len(table) == 8


def test_closed_connections_are_forgotten() -> None:
    table = ConnectionTable(2, 1)
    for number in range(1000):
        table.admit(Held(str(number)), str(number))
        table.admit(Held(str(number)), str(number))
    assert len(table) == 2
    assert len(table._counts) == len(table._waiting_of) == 2


@pytest.mark.parametrize(
    ("host", "client"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2:ffff::1", "2001:db8:1:2::/64"),
        ("2001:db8:1:3::1", "2001:db8:1:3::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("192.0.2.7:51312", "192.0.2.7"),
        ("[2001:db8:1:2::3]:51312", "2001:db8:1:2::/64"),
        ("[2001:db8:1:2::3]", "2001:db8:1:2::/64"),
        ("192.0.2.7:x", "192.0.2.7:x"),
        ("::1", "::/64"),
        ("", ""),
        ("unknown" * 100, ("unknown" * 10)[:64]),
    ],
)
def test_a_client_is_an_address_or_its_prefix(host: str, client: str) -> None:
    assert client_of(host) == client


def test_proxies_are_networks() -> None:
    trusted = networks("10.0.0.0/8, 192.0.2.7,2001:db8::/32")
    assert [is_in(host, trusted) for host in ("10.1.2.3", "::ffff:10.1.2.3", "192.0.2.8", "2001:db8::1", "x")] == [
        True,
        True,
        False,
        True,
        False,
    ]
    for wrong in ("*", "", "proxy.example", "10.0.0.0/99"):
        with pytest.raises(ValueError, match=r".*"):
            networks(wrong)


@pytest.mark.parametrize(
    ("soft", "hard", "wanted", "allowed"),
    [
        (256, 256, 1024, 256 - RESERVED_DESCRIPTORS),
        (256, 4096, 1024, 1024),
        (256, resource.RLIM_INFINITY, 1024, 1024),
        (resource.RLIM_INFINITY, resource.RLIM_INFINITY, 1024, 1024),
        (64, 64, 1024, 32),
        (1024, 1024, 100, 100),
    ],
)
def test_there_are_fewer_connections_than_descriptors(
    monkeypatch: pytest.MonkeyPatch, soft: int, hard: int, wanted: int, allowed: int
) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (soft, hard))
    monkeypatch.setattr(resource, "setrlimit", lambda _, limits: None)
    assert allowed_connections(wanted) == allowed


@pytest.mark.parametrize("limit", [256, 48])
def test_more_connections_than_descriptors_leave_no_traceback_and_others_are_served(tmp_path: Path, limit: int) -> None:
    """48 descriptors are too few for what is being accepted, too: the system itself says no then."""
    program = f"import resource\nresource.setrlimit(resource.RLIMIT_NOFILE, ({limit}, {limit}))\n{PROGRAM}"
    with serving(tmp_path / "data", program=program) as process, ExitStack() as held:
        address = ("127.0.0.1", int(process.url.rpartition(":")[2]))
        for _ in range(3 * limit):
            held.enter_context(socket.create_connection(address)).sendall(b"GET / HT")
        with httpx2.Client(base_url=process.url, timeout=PATIENCE) as client:
            opened = client.post("/api/v1/registration-sessions", json={"mode": "anonymous_public"})
            assert succeeded(opened)["created"]
            body = {"hash": "a" * 64, **GIT}
            assert succeeded(client.post("/api/v1/sessions", json=body))["created"]
        status, out, err = process.stop(signal.SIGTERM)
    assert (status, out) == (0, "stopped\n")
    assert "Traceback" not in err
    assert len(err.splitlines()) < 10


def test_a_connection_that_is_gone_before_it_is_accepted_leaves_no_trace(tmp_path: Path) -> None:
    with serving(tmp_path / "data") as process:
        address = ("127.0.0.1", int(process.url.rpartition(":")[2]))
        for _ in range(300):
            with socket.create_connection(address) as connection:
                reset = b"\x01\x00\x00\x00\x00\x00\x00\x00"  # SO_LINGER of 0 s: closing resets
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, reset)
        assert succeeded(httpx2.get(f"{process.url}/api/v1/health", timeout=PATIENCE))["status"] == "healthy"
        assert process.stop() == (0, "stopped\n", "")
