"""A transport for one connection: when it is kept, when another one is opened, and what is raised."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from types import SimpleNamespace

import anyio
import httpcore2
import httpx2
import pytest
from anyio.abc import SocketAttribute, SocketStream

from roar_publisher.net.certificates import nothing_trusted
from roar_publisher.net.route import FAILURES
from roar_publisher.net.transport import SingleConnectionTransport, _library_errors

pytestmark = pytest.mark.anyio

IDLE_SECONDS = 3.0
REPLY = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"
HEAD_END = b"\r\n\r\n"


@dataclass
class Peer:
    """A server that replies to each request once it may, and counts connections.

    ends: how many connections the client has closed.
    """

    url: str = ""
    opened: int = 0
    ends: int = 0
    reply: bytes = REPLY
    then_close: bool = False
    may_reply: anyio.Event = field(default_factory=anyio.Event)
    changed: anyio.Event = field(default_factory=anyio.Event)

    async def serve(self, stream: SocketStream) -> None:
        self.opened += 1
        self._note()
        async with stream:
            try:
                while HEAD_END in await stream.receive():
                    await self.may_reply.wait()
                    await stream.send(self.reply)
                    if self.then_close:
                        return
            except (anyio.EndOfStream, anyio.BrokenResourceError):
                self.ends += 1
                self._note()

    def _note(self) -> None:
        self.changed.set()
        self.changed = anyio.Event()

    async def until(self, *, opened: int = 0, ends: int = 0) -> None:
        while self.opened < opened or self.ends < ends:
            await self.changed.wait()


@asynccontextmanager
async def peer(*, replies: bool = True) -> AsyncIterator[Peer]:
    served = Peer()
    if replies:
        served.may_reply.set()
    async with await anyio.create_tcp_listener(local_host="127.0.0.1") as listener, anyio.create_task_group() as tasks:
        served.url = f"http://127.0.0.1:{listener.extra(SocketAttribute.local_port)}/"
        tasks.start_soon(listener.serve, served.serve)
        yield served
        tasks.cancel_scope.cancel()


def transport(idle_seconds: float = IDLE_SECONDS) -> SingleConnectionTransport:
    return SingleConnectionTransport(nothing_trusted(), idle_seconds=idle_seconds)


async def get(over: SingleConnectionTransport, peer: Peer) -> bytes:
    response = await over.handle_async_request(httpx2.Request("GET", peer.url))
    return await response.aread()


async def test_requests_one_after_the_other_share_a_connection() -> None:
    async with peer() as server, transport() as over:
        assert [await get(over, server) for _ in range(3)] == [b"{}"] * 3
        assert server.opened == 1


async def test_the_connection_is_closed_with_the_transport() -> None:
    async with peer() as server:
        async with transport() as over:
            await get(over, server)
        await server.until(ends=1)


async def test_a_request_at_the_same_time_gets_a_connection_that_is_not_kept() -> None:
    async with peer(replies=False) as server, transport() as over:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(get, over, server)
            tasks.start_soon(get, over, server)
            await server.until(opened=2)
            server.may_reply.set()
        await server.until(ends=1)
        await get(over, server)
        assert (server.opened, server.ends) == (2, 1)


async def test_one_that_ends_after_the_transport_is_closed() -> None:
    async with peer() as server, transport() as over:
        response = await over.handle_async_request(httpx2.Request("GET", server.url))
        await over.aclose()
        await response.aread()
        await server.until(ends=1)


async def test_a_probe_keeps_no_connection() -> None:
    async with peer() as server, transport(idle_seconds=0) as over:
        await get(over, server)
        await server.until(ends=1)
        await get(over, server)
        assert server.opened == 2


async def test_an_old_connection_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr("httpcore2._async.http11.time", SimpleNamespace(monotonic=lambda: now))
    async with peer() as server, transport() as over:
        await get(over, server)
        now += IDLE_SECONDS
        await get(over, server)
        assert server.opened == 1
        now += IDLE_SECONDS + 0.1
        await get(over, server)
        assert server.opened == 2
        await server.until(ends=1)


async def test_a_connection_that_the_server_has_closed_is_not_used() -> None:
    async with peer() as server, transport() as over:
        server.then_close = True
        assert [await get(over, server) for _ in range(3)] == [b"{}"] * 3
        assert server.opened == 3


async def test_a_connection_whose_reply_was_not_read_is_closed() -> None:
    async with peer() as server, transport() as over:
        server.reply = REPLY[:-1]
        response = await over.handle_async_request(httpx2.Request("GET", server.url))
        await response.aclose()
        await server.until(ends=1)
        server.reply = REPLY
        assert await get(over, server) == b"{}"
        assert server.opened == 2


@pytest.mark.parametrize("begun", [False, True])
async def test_a_cancelled_request_closes_its_connection(begun: bool) -> None:
    async with peer(replies=begun) as server, transport() as over:
        server.reply = REPLY[:-1]
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(get, over, server)
            await server.until(opened=1)
            tasks.cancel_scope.cancel()
        await server.until(ends=1)


@pytest.mark.parametrize("reply", [b"", b"SSH-2.0\r\n", REPLY[:-1]])
async def test_a_reply_that_breaks_off_is_an_error_of_the_network(reply: bytes) -> None:
    async with peer() as server, transport() as over:
        server.reply, server.then_close = reply, True
        with pytest.raises(httpx2.RemoteProtocolError):
            await get(over, server)
        server.reply, server.then_close = REPLY, False
        assert await get(over, server) == b"{}"


async def test_a_refused_connection_is_an_error_of_the_network() -> None:
    async with peer() as server:
        pass
    async with transport() as over:
        with pytest.raises(httpx2.ConnectError):
            await get(over, server)


def _kinds(kind: type[Exception]) -> list[type[Exception]]:
    return [kind, *(below for direct in kind.__subclasses__() for below in _kinds(direct))]


@pytest.mark.parametrize(
    "kind",
    [
        kind
        for base in (httpcore2.NetworkError, httpcore2.ProtocolError, httpcore2.TimeoutException)
        for kind in _kinds(base)
    ],
)
async def test_each_error_is_raised_as_the_library_names_it(kind: type[Exception]) -> None:
    with pytest.raises(FAILURES) as raised, _library_errors():
        raise kind("why")
    assert (raised.type.__module__, raised.type.__name__, str(raised.value)) == ("httpx2", kind.__name__, "why")
