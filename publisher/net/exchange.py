"""One HTTP exchange: send a request, read a reply of bounded size, and nothing else.

There are no retries, redirects or cookies: callers decide about retries, and the others are not wanted. Credentials are
sent only to the registry's own origin, because redirects are not followed. So the HTTP library's transports are used
without its client, which would take a sixth of the CPU time of a small request. `route` builds the transports and
interprets their errors.
"""

import logging
import os
import re
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from typing import Any, Self

import anyio
import httpx2
from msgspec import Struct

from roar_publisher import __version__
from roar_publisher.blocking import no_thread
from roar_publisher.net.certificates import TrustedCertificates
from roar_publisher.net.route import FAILURES, Route

MAX_REPLY_BYTES = 8 * 1024 * 1024
"""A GLaaS reply has some kilobytes. Only a whole lineage in one reply, from a registry without pages, may be larger."""
UNPACKED = {"gzip": "gzip", "x-gzip": "gzip", "deflate": "deflate"}
"""Content encodings that are undone, and their names in the library (RFC 9110 §8.4.1).

It knows more, but one read of zstd can expand to gigabytes. A body under any other word is read as it comes: some
servers write `utf-8` or nothing there, and what is packed in a way that was not asked for is no JSON.
"""
CONNECT_SECONDS = 10.0
IDLE_SECONDS = 3.0
"""How long an idle connection may be reused.

Many servers close theirs after 5 s, and a request that is in transit at that moment is lost.
"""
PROBE_SECONDS = 5.0
PROBE_CONNECT_SECONDS = 4.0
"""Connection timeout of a probe. Probes time out sooner than requests, because a caller waits for their result."""
ANSWER_SECONDS = 20.0
"""How long a reply may take to begin, and how far its body may fall behind MIN_BODY_RATE."""
MIN_BODY_RATE = 1_000
"""The minimum average rate of a reply's body in bytes per second."""
LONGEST_BODY_SECONDS = 300.0
"""The time limit for a body at any rate."""
PROTOCOL_RELEASE = "0.4.7"
"""The roar-cli release whose protocol this program implements: `X-Roar-Version` (protocol.md §2)."""
HEADERS = (
    (b"X-Roar-Version", PROTOCOL_RELEASE.encode()),
    (b"User-Agent", f"roar-publisher/{__version__}".encode()),
    (b"Accept", b"*/*"),
    (b"Accept-Encoding", b"gzip, deflate"),
    (b"Connection", b"keep-alive"),
)
"""Headers of every request."""
_SENT_AS_IT_IS = re.compile(r"(?:/(?!\.)[A-Za-z0-9._~-]*)+(?:\?[A-Za-z0-9._~=&-]*)?")
"""A path and query that parsing would not change."""

# The library's INFO lines print whole URLs and its DEBUG lines print Set-Cookie: neither may reach a log.
for _name in ("httpx2", "httpcore2"):
    logging.getLogger(_name).setLevel(logging.CRITICAL)


class Reply(Struct, frozen=True):
    """A reply. Header names are lower case. cut: whether only the first MAX_REPLY_BYTES of its body were read."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    cut: bool = False

    @property
    def ok(self) -> bool:
        return 200 <= self.status < 300


class Exchange:
    """Connections to one registry, as an async context manager. Any number of tasks may call `send`.

    Each connection has its own transport, created when it is first needed: the library's pool takes up to half of the
    CPU time of a small request if it holds many connections (`net.transport`).

    connections: how many are kept open. A request that finds all of them busy uses one that is closed afterwards.
    route: to the registry, if it is known; otherwise the first request finds it.
    """

    def __init__(
        self,
        registry: str,
        *,
        connections: int,
        transport: httpx2.AsyncBaseTransport | None = None,
        route: Route | None = None,
    ) -> None:
        self.registry = registry
        self.route = route  # created by the first request, whose caller can record its errors
        self._connections = connections
        self._transport = transport
        self._base: httpx2.URL | None = None  # parsed by the first request, whose caller can record its errors
        self._transports: list[httpx2.AsyncBaseTransport] = []
        self._in_flight: list[int] = []  # requests, by transport
        self._prober: httpx2.AsyncBaseTransport | None = None  # keeps no connection, because an old one may be dead

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close every connection, also when cancelled. Harmless if repeated."""
        with anyio.CancelScope(shield=True):
            for transport in [*self._transports, *([self._prober] if self._prober else [])]:
                await transport.aclose()

    async def send(
        self,
        method: str,
        path: str,
        body: bytes | None,
        authorization: str | None,
        *,
        encoding: str | None = None,
        within: float = ANSWER_SECONDS,
    ) -> Reply:
        """Send one request and read its whole reply.

        path: below the registry's address, with its query. encoding: that of a compressed body. within: seconds until
        the reply begins; its body has to arrive at MIN_BODY_RATE or faster.

        Raises Unreachable if no whole reply came, NeedsUser if a certificate, a proxy or their settings prevent the
        request, LocalProblem if this machine does. If cancelled, the server may still have carried out the request.
        """
        headers = {"Authorization": authorization} if authorization else {}
        if body is not None:
            headers["Content-Type"] = "application/json"
        if encoding is not None:
            headers["Content-Encoding"] = encoding
        chosen = self._least_busy()
        self._in_flight[chosen] += 1
        try:
            transport = self._transports[chosen]
            return await self._exchange(transport, method, path, body, headers, within, CONNECT_SECONDS)
        finally:
            self._in_flight[chosen] -= 1

    async def probe(self, path: str) -> None:
        """Request `path` over a new connection. Raises Unreachable unless a whole reply of any kind came."""
        if self._prober is None:
            self._prober = self._new_transport(idle_seconds=0)
        await self._exchange(self._prober, "GET", path, None, {}, PROBE_SECONDS, PROBE_CONNECT_SECONDS)

    async def _exchange(
        self,
        transport: httpx2.AsyncBaseTransport,
        method: str,
        path: str,
        body: bytes | None,
        headers: Mapping[str, str],
        within: float,
        connect: float,
    ) -> Reply:
        try:
            with anyio.fail_after(within) as limit:
                request = self._request(method, path, body, headers, connect)
                async with aclosing(await transport.handle_async_request(request)) as response:
                    self._known_route().check(response.status_code)
                    content = await _read(response, limit)
                    cut = len(content) > MAX_REPLY_BYTES
                    return Reply(response.status_code, response.headers, content[:MAX_REPLY_BYTES], cut)
        except FAILURES as error:
            self._known_route().raise_for(error)
        except RuntimeError as error:  # a name is looked up in a thread
            if problem := no_thread(error):
                raise problem from error
            raise

    def _request(
        self, method: str, path: str, body: bytes | None, headers: Mapping[str, str], connect: float
    ) -> httpx2.Request:
        """Return a request. The registry's address is parsed once, and its headers are complete.

        The library takes longer to do this for each request than for anything else that it makes of one
        (docs/figures.md). Raises httpx2.InvalidURL and UnicodeError.
        """
        extensions: dict[str, Any] = {"timeout": {"connect": connect}}  # `fail_after` limits the rest
        if self._transport is None and _SENT_AS_IT_IS.fullmatch(path):
            url = self._base = self._base or httpx2.URL(self.registry)
            extensions["target"] = url.raw_path.rstrip(b"/") + path.encode("ascii")
        else:  # a transport that was given may not know the extension
            url = httpx2.URL(self.registry + path)
        own = [(name.encode("ascii"), value.encode("ascii")) for name, value in headers.items()]
        length = [] if body is None and method == "GET" else [(b"Content-Length", b"%d" % len(body or b""))]
        return httpx2.Request(
            method,
            url,
            headers=[(b"Host", url.netloc), *HEADERS, *own, *length],
            stream=httpx2.ByteStream(body or b""),
            extensions=extensions,
        )

    def _new_transport(self, *, idle_seconds: float) -> httpx2.AsyncBaseTransport:
        return self._transport or self._known_route().transport(idle_seconds=idle_seconds)

    def _known_route(self) -> Route:
        self.route = self.route or Route(self.registry, TrustedCertificates.chosen(os.environ))
        return self.route

    def _least_busy(self) -> int:
        """Return the index of the transport with the fewest requests: a new one if all are busy and it may be made."""
        if min(self._in_flight, default=1) and len(self._transports) < self._connections:
            self._transports.append(self._new_transport(idle_seconds=IDLE_SECONDS))
            self._in_flight.append(0)
        return self._in_flight.index(min(self._in_flight))


async def _read(response: httpx2.Response, limit: anyio.CancelScope) -> bytes:
    """Return the body, or the beginning of one that is larger than MAX_REPLY_BYTES, with more bytes than that.

    limit: ends the exchange; its deadline moves as data arrives. Raises httpx2.DecodingError.
    """
    encoding = UNPACKED.get(response.headers.get("content-encoding", "").strip().lower())
    if encoding is not None:
        response.headers["content-encoding"] = encoding
    # A body that is not encoded needs none of the generators through which the library passes it.
    assert isinstance(response.stream, httpx2.AsyncByteStream)
    chunks = aiter(response.stream if encoding is None else response.aiter_bytes())
    began = anyio.current_time()
    limit.deadline = began + ANSWER_SECONDS
    content = bytearray()
    try:
        async for chunk in chunks:
            content += chunk
            if len(content) > MAX_REPLY_BYTES:
                break
            limit.deadline = began + min(ANSWER_SECONDS + len(content) / MIN_BODY_RATE, LONGEST_BODY_SECONDS)
    finally:
        if isinstance(chunks, AsyncGenerator):
            await chunks.aclose()
    return bytes(content)
