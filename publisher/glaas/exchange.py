"""One HTTP exchange: a request goes out, a reply of bounded size comes back, and nothing else happens.

No retry, no redirect, no cookie: those are decided above (`caller`) or not wanted at all.  Credentials only ever go to
the registry's own origin, because redirects are not followed.  This is the only module that knows the HTTP library; its
exceptions become `Unreachable` here.
"""

import logging
from collections.abc import Mapping
from contextlib import aclosing
from dataclasses import dataclass
from functools import partial
from http.cookiejar import CookieJar, DefaultCookiePolicy
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

import anyio
import httpx2

from roar_publisher import __version__
from roar_publisher.glaas.address import is_loopback

MAX_REPLY_BYTES = 8 * 1024 * 1024
"""A GLaaS reply is some kilobytes; more than this is no GLaaS."""
CONNECT_SECONDS = 10.0
KNOCK_SECONDS = 5.0
KNOCK_CONNECT_SECONDS = 4.0
"""How long a knock may take: less than a request, because somebody waits for what it finds out."""
ANSWER_SECONDS = 20.0
"""How long a reply may take to begin, and how far its body may fall behind SLOWEST_BODY."""
SLOWEST_BODY = 1_000
"""Bytes a second that the body of a reply has to keep up, on the average."""
LONGEST_BODY_SECONDS = 300.0
"""How long a body may take at any rate."""
SPEAKS_AS = "0.4.7"
"""The roar-cli release whose protocol we speak: `X-Roar-Version` (protocol.md §2)."""

# The library's INFO lines print whole URLs and its DEBUG lines print Set-Cookie: neither may reach a log.
for _name in ("httpx2", "httpcore2"):
    logging.getLogger(_name).setLevel(logging.CRITICAL)


class Unreachable(Exception):
    """No whole reply came: the request may or may not have been carried out.

    silent: it timed out.  connected: there was a connection to send it over.
    """

    def __init__(self, what: str, *, silent: bool, connected: bool = True) -> None:
        super().__init__(what)
        self.silent = silent
        self.connected = connected


@dataclass(frozen=True, slots=True)
class Reply:
    """What came back.  Header names are lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Exchange:
    """Connections to one registry.  Use it as an async context manager; any number of tasks may `send`.

    Each connection has a client of its own, made when it is first needed, because the library's pool looks at every
    idle connection twice a request: with many in one pool, that is up to half of the CPU of a small request.

    connections: how many are kept open; a request that finds all of them busy gets one that is closed afterwards.
    """

    def __init__(self, registry: str, *, connections: int, transport: httpx2.AsyncBaseTransport | None = None) -> None:
        self.registry = registry
        self._connections = connections
        self._new_client = partial(
            httpx2.AsyncClient,
            transport=transport,
            # Reading the certificates takes 20 ms, and a registry on loopback needs none of them.
            verify=httpx2.create_ssl_context() if registry.startswith("https:") else False,
            # Plain http:// is for this machine alone; a proxy of the environment would carry it off.
            trust_env=not is_loopback(urlsplit(registry).hostname or ""),
            limits=httpx2.Limits(max_connections=None, max_keepalive_connections=1),
            timeout=httpx2.Timeout(None, connect=CONNECT_SECONDS),  # the rest is limited by `send`
            headers={"X-Roar-Version": SPEAKS_AS, "User-Agent": f"roar-publisher/{__version__}"},
            follow_redirects=False,
        )
        self._clients: list[httpx2.AsyncClient] = []
        self._under_way: list[int] = []  # requests, by client
        self._knocker: httpx2.AsyncClient | None = None  # keeps no connection: one from before may lead nowhere

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with anyio.CancelScope(shield=True):
            for client in [*self._clients, *([self._knocker] if self._knocker else [])]:
                await client.aclose()

    async def send(
        self, method: str, path: str, body: bytes | None, authorization: str | None, *, within: float = ANSWER_SECONDS
    ) -> Reply:
        """Send one request and read its whole reply.

        path: below the registry's address, with its query.  within: seconds until the reply begins; its body has to
        arrive at SLOWEST_BODY or faster.  Raises Unreachable where no whole reply came.
        When cancelled, the request may have been carried out all the same.
        """
        headers = {"Authorization": authorization} if authorization else {}
        if body is not None:
            headers["Content-Type"] = "application/json"
        chosen = self._least_busy()
        self._under_way[chosen] += 1
        try:
            return await self._exchange(self._clients[chosen], method, path, body, headers, within)
        finally:
            self._under_way[chosen] -= 1

    async def knock(self, path: str, *, within: float = KNOCK_SECONDS) -> None:
        """Ask for `path` over a new connection.  Raises Unreachable unless a whole reply, whatever it is, came."""
        if self._knocker is None:
            connect = httpx2.Timeout(None, connect=KNOCK_CONNECT_SECONDS)
            self._knocker = self._new_client(
                limits=httpx2.Limits(max_keepalive_connections=0), timeout=connect, cookies=_no_cookies()
            )
        await self._exchange(self._knocker, "GET", path, None, {}, within)

    async def _exchange(
        self,
        client: httpx2.AsyncClient,
        method: str,
        path: str,
        body: bytes | None,
        headers: Mapping[str, str],
        within: float,
    ) -> Reply:
        try:
            with anyio.fail_after(within) as limit:
                async with client.stream(method, self.registry + path, content=body, headers=headers) as response:
                    return Reply(response.status_code, response.headers, await _read(response, limit))
        except (httpx2.TimeoutException, TimeoutError) as error:
            connected = not isinstance(error, httpx2.ConnectTimeout)
            raise Unreachable("no answer in time", silent=True, connected=connected) from error
        except (httpx2.HTTPError, httpx2.InvalidURL, OSError) as error:
            # The text of the library's errors can hold the URL; its kind says enough.
            connected = not isinstance(error, httpx2.ConnectError)
            raise Unreachable(_describe(error), silent=False, connected=connected) from None

    def _least_busy(self) -> int:
        """The place of the client that has the least to do: a new one where all are busy and there may be more."""
        if min(self._under_way, default=1) and len(self._clients) < self._connections:
            self._clients.append(self._new_client(cookies=_no_cookies()))
            self._under_way.append(0)
        return self._under_way.index(min(self._under_way))


def _no_cookies() -> CookieJar:
    """A jar that keeps none and sends none."""
    return CookieJar(DefaultCookiePolicy(allowed_domains=()))


async def _read(response: httpx2.Response, limit: anyio.CancelScope) -> bytes:
    """The body, cut off where it gets larger than any reply of a GLaaS.

    limit: ends the exchange; its deadline moves with what arrives.
    """
    began = anyio.current_time()
    limit.deadline = began + ANSWER_SECONDS
    content = bytearray()
    async with aclosing(response.aiter_bytes()) as chunks:
        async for chunk in chunks:
            content += chunk
            if len(content) > MAX_REPLY_BYTES:
                break
            limit.deadline = began + min(ANSWER_SECONDS + len(content) / SLOWEST_BODY, LONGEST_BODY_SECONDS)
    return bytes(content[:MAX_REPLY_BYTES])


def _describe(error: Exception) -> str:
    match error:
        case httpx2.ConnectError():
            return "no connection"
        case httpx2.ReadError() | httpx2.WriteError() | httpx2.RemoteProtocolError():
            return "the connection broke"
        case httpx2.DecodingError():
            return "the answer can't be decoded"
        case _:
            return f"the connection failed ({type(error).__name__})"
