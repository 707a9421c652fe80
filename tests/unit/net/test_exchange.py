"""An exchange uses the HTTP library's transports alone: what it sends, and what it does not take part in."""

from collections.abc import AsyncIterator
from contextlib import suppress

import anyio
import h11
import httpx2
import pytest
from anyio.abc import SocketAttribute, SocketStream

from roar_publisher import __version__
from roar_publisher.net.event_loop import EventLoop
from roar_publisher.net.exchange import (
    CONNECT_SECONDS,
    HEADERS,
    IDLE_SECONDS,
    MAX_REPLY_BYTES,
    PROBE_CONNECT_SECONDS,
    Exchange,
)
from roar_publisher.net.route import Route, Unreachable
from roar_publisher.state.errors import LocalProblem
from tests.support.threads import no_more_threads

URL = "http://127.0.0.1:9"


class Kept(httpx2.AsyncBaseTransport):
    """Keeps the requests, and answers each with a cookie and 200."""

    def __init__(self) -> None:
        self.requests: list[httpx2.Request] = []
        self.closed = 0

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        self.requests.append(request)
        return httpx2.Response(200, headers={"Set-Cookie": "a=b"}, content=b"{}")

    async def aclose(self) -> None:
        self.closed += 1


def test_a_request_passes_no_client_of_the_library(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(httpx2, "AsyncClient", None)
    sent = Kept()

    async def scenario() -> None:
        async with Exchange(URL, connections=1, transport=sent) as exchange:
            for encoding in (None, "gzip"):
                await exchange.send("POST", "/a?b=c", b"[1]", "Bearer token", encoding=encoding)
            await exchange.probe("/health")

    anyio.run(scenario)
    plain, packed, probe = sent.requests
    usual = {
        "host": "127.0.0.1:9",
        "x-roar-version": "0.4.7",
        "user-agent": f"roar-publisher/{__version__}",
        "accept": "*/*",
        "accept-encoding": "gzip, deflate",
        "connection": "keep-alive",
    }
    body = {"content-type": "application/json", "content-length": "3", "authorization": "Bearer token"}
    assert dict(plain.headers) == usual | body
    assert dict(packed.headers) == usual | body | {"content-encoding": "gzip"}
    assert dict(probe.headers) == usual
    assert str(plain.url) == f"{URL}/a?b=c"
    assert [request.extensions["timeout"] for request in sent.requests] == [
        {"connect": CONNECT_SECONDS},
        {"connect": CONNECT_SECONDS},
        {"connect": PROBE_CONNECT_SECONDS},
    ]
    assert sent.closed == 2


async def on_the_wire(prefix: str, method: str, path: str, body: bytes | None) -> tuple[str, h11.Request]:
    """Send one request over a socket; return the server's address, and the request as it came."""
    came: list[h11.Request] = []

    async def answer(stream: SocketStream) -> None:
        server = h11.Connection(h11.SERVER)
        async with stream:
            while not isinstance(event := server.next_event(), h11.EndOfMessage):
                if isinstance(event, h11.Request):
                    came.append(event)
                elif event is h11.NEED_DATA:
                    server.receive_data(await stream.receive())
            await stream.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}")

    async with await anyio.create_tcp_listener(local_host="127.0.0.1") as listener, anyio.create_task_group() as tasks:
        address = f"127.0.0.1:{listener.extra(SocketAttribute.local_port)}"
        tasks.start_soon(listener.serve, answer)
        async with Exchange(f"http://{address}{prefix}", connections=1) as exchange:
            assert (await exchange.send(method, path, body, "Bearer token")).body == b"{}"
        tasks.cancel_scope.cancel()
    return address, came[0]


@pytest.mark.parametrize("prefix", ["", "/glaas"])
@pytest.mark.parametrize(
    "path",
    [
        "/api/v1/health",
        "/",
        "/a?b=c-d&e=",
        "/a?after=x%2Fy",
        "/jobs/a%20b/inputs",
        "/jobs/a b/inputs",
        "/jobs/é/inputs",
        "/a/./b",
        "/a/../b",
        "/a/.hidden",
        "//a",
        "/a:b@c",
        "/a#b",
        "/a?b#c",
    ],
)
def test_a_target_is_the_one_that_the_library_makes_of_the_whole_url(prefix: str, path: str) -> None:
    address, request = anyio.run(on_the_wire, prefix, "GET", path, None)
    assert request.target == httpx2.URL(f"http://{address}{prefix}{path}").raw_path


@pytest.mark.parametrize(("method", "body"), [("GET", None), ("POST", None), ("POST", b""), ("POST", b"[1]")])
def test_the_headers_are_complete(method: str, body: bytes | None) -> None:
    address, request = anyio.run(on_the_wire, "", method, "/a", body)
    length = {} if method == "GET" else {b"content-length": b"%d" % len(body or b"")}
    kind = {} if body is None else {b"content-type": b"application/json"}
    own = {b"host": address.encode(), b"authorization": b"Bearer token"}
    usual = {name.lower(): value for name, value in HEADERS}
    assert dict(request.headers) == usual | own | kind | length
    assert len(request.headers) == len(dict(request.headers))


@pytest.mark.parametrize("path", ["/a\r\nX: y", "/a\x00"])
def test_a_path_with_control_characters_is_not_sent(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    sent = Kept()
    monkeypatch.setattr(Route, "transport", lambda self, *, idle_seconds: sent)

    async def scenario() -> None:
        async with Exchange(URL, connections=1) as exchange:
            with pytest.raises(Unreachable):
                await exchange.send("GET", path, None, None)

    anyio.run(scenario)
    assert sent.requests == []


def test_a_credential_that_no_header_can_carry_is_an_error_of_the_request() -> None:
    sent = Kept()

    async def scenario() -> None:
        async with Exchange(URL, connections=1, transport=sent) as exchange:
            with pytest.raises(Unreachable):
                await exchange.send("GET", "/", None, "Bearer tökén")

    anyio.run(scenario)
    assert sent.requests == []


def test_connections_are_kept_for_requests_and_not_for_probes(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[float] = []
    monkeypatch.setattr(Route, "transport", lambda self, *, idle_seconds: asked.append(idle_seconds) or Kept())  # type: ignore[func-returns-value]

    async def scenario() -> None:
        async with Exchange(URL, connections=2) as exchange:
            await exchange.send("GET", "/", None, None)
            await exchange.send("GET", "/", None, None)
            await exchange.probe("/")

    anyio.run(scenario)
    assert asked == [IDLE_SECONDS, 0]


class Held(httpx2.AsyncBaseTransport):
    """Answers each request when it may."""

    def __init__(self) -> None:
        self.running = 0
        self.may_answer = anyio.Event()

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        self.running += 1
        await self.may_answer.wait()
        self.running -= 1
        return httpx2.Response(200, content=b"{}")


def test_a_request_takes_the_connection_with_the_fewest(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Held] = []

    def transport(route: Route, *, idle_seconds: float) -> Held:
        made.append(Held())
        return made[-1]

    monkeypatch.setattr(Route, "transport", transport)

    async def scenario() -> None:
        async with Exchange(URL, connections=3) as exchange, anyio.create_task_group() as tasks:

            async def send() -> list[int]:
                tasks.start_soon(exchange.send, "GET", "/", None, None)
                await anyio.wait_all_tasks_blocked()
                return [each.running for each in made]

            assert [await send() for _ in range(4)] == [[1], [1, 1], [1, 1, 1], [2, 1, 1]]
            made[1].may_answer.set()
            await anyio.wait_all_tasks_blocked()
            made[1].may_answer = anyio.Event()
            assert await send() == [2, 1, 1]
            for each in made:
                each.may_answer.set()

    anyio.run(scenario)


class Endless(httpx2.AsyncByteStream):
    """A body that is never read to its end."""

    def __init__(self) -> None:
        self.closed = self.ended = False

    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            while True:
                yield bytes(MAX_REPLY_BYTES)
        finally:
            self.ended = True

    async def aclose(self) -> None:
        self.closed = True


@pytest.mark.parametrize("encoding", ["identity", "zstd"])
def test_a_reply_that_is_not_read_to_its_end_gives_its_connection_back(encoding: str) -> None:
    body = Endless()

    class Answers(httpx2.AsyncBaseTransport):
        async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
            return httpx2.Response(200, headers={"Content-Encoding": encoding}, stream=body)

    async def scenario() -> None:
        async with Exchange(URL, connections=1, transport=Answers()) as exchange:
            with suppress(Unreachable):
                await exchange.send("GET", "/", None, None)
            assert body.closed
            assert body.ended

    anyio.run(scenario)


@pytest.mark.parametrize("loop", [None, EventLoop])
def test_a_name_that_cannot_be_looked_up_for_lack_of_a_thread_is_a_problem_of_this_machine(
    loop: type[EventLoop] | None,
) -> None:
    async def ask() -> None:
        async with Exchange("http://localhost:9", connections=1) as exchange:
            with no_more_threads(), pytest.raises(LocalProblem, match="may not start more threads"):
                await exchange.send("GET", "/", None, None)

    anyio.run(ask, backend_options={"loop_factory": loop})
