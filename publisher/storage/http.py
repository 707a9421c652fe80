"""The only place where bytes meet the network: one attempt (`Wire.send`), and attempts until an answer (`Wire.call`).

Everything that any store sends passes here: the limit of requests, the rate, and the gate at which all wait together
while the network is away (`glaas.gate`).
"""

import logging
import os
import random
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from dataclasses import dataclass, field
from time import time

import anyio
import httpx2

from roar_publisher import __version__
from roar_publisher.glaas.policy import MAX_ATTEMPTS, MAX_OUTAGES, Verdict, backoff, judge, retry_after
from roar_publisher.net.budget import Share
from roar_publisher.net.certificates import Trust
from roar_publisher.net.exchange import CONNECT_SECONDS, MAX_REPLY_BYTES
from roar_publisher.net.gate import Door, Gate
from roar_publisher.net.pace import Pace
from roar_publisher.net.route import FAILURES, Route, Unreachable
from roar_publisher.report import Reporter, Retrying
from roar_publisher.state.errors import Transient
from roar_publisher.storage.slices import Sent, chunks
from roar_publisher.storage.source import Slice

REPLY_SECONDS = 60.0
"""How long a store may stay silent; it takes its time to put a large object together."""
POOL_CONNECTIONS = 2
"""Connections of one pool: each request looks at all of them, several times (see `glaas.exchange`)."""
KNOCKER = -1
"""The place of the client that knocks."""
THROTTLED_ATTEMPT = 4
"""Where the backoff begins for a store that asks for patience without saying how long."""

# Below WARNING these write URLs, signatures and headers.
for _name in ("botocore", "google.auth", "urllib3"):
    logging.getLogger(_name).setLevel(logging.CRITICAL)


@dataclass(frozen=True, slots=True)
class Reply:
    """What came back.  Header names are lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def ok(self) -> bool:
        return 200 <= self.status < 300


@dataclass(frozen=True, slots=True)
class FileBody:
    """A slice as a request's body, from its byte `skip` on, between what frames it.  sha256: where it is signed."""

    slice: Slice
    sent: Sent
    skip: int = 0
    head: bytes = b""
    tail: bytes = b""
    sha256: bytes = b""

    def __len__(self) -> int:
        return len(self.head) + self.slice.length - self.skip + len(self.tail)

    async def read(self) -> AsyncGenerator[bytes, None]:
        """The bytes.  Close it (`aclosing`): it holds the file open."""
        if self.head:
            yield self.head
        async with aclosing(chunks(self.slice, self.sent, skip=self.skip)) as pieces:
            async for piece in pieces:
                yield piece
        if self.tail:
            yield self.tail


@dataclass(frozen=True, slots=True)
class Request:
    """One attempt, authorized.

    url: with a path, percent-encoded down to the unreserved characters; it is sent exactly as it was signed.
    """

    method: str
    url: str = field(repr=False)
    headers: Mapping[str, str] = field(repr=False)
    body: bytes | FileBody = b""


def verdict(reply: Reply) -> Verdict:
    """What a reply means by its status alone; a store overrides what its error codes say better.

    A redirect is a no: the store is elsewhere, which it explains, and a person says so in the configuration.
    """
    found = judge(reply.status, reply)
    return Verdict.REFUSED if found is Verdict.REDIRECTED else found


class Wire:
    """Connections to one store, spread over small pools (see `glaas.exchange`).  Made inside of an event loop.

    connections: requests that may be under way at once; more of them wait.  trust: the certificates, where the store
    has a setting of its own for them.  pace: the rate that files go at, if it is
    limited.  share, door: with the other uploads of this process; its own by default.  report: hears of every wait.
    patience: seconds without any answer, or of being asked to wait, until a call fails.
    """

    def __init__(
        self,
        *,
        connections: int,
        report: Reporter,
        patience: float,
        trust: Trust | None = None,
        pace: Pace | None = None,
        share: Share | None = None,
        door: Door | None = None,
        rng: random.Random | None = None,
        reply_seconds: float = REPLY_SECONDS,
    ) -> None:
        self._trust = trust or Trust.chosen(os.environ)
        self._routes: dict[str, Route] = {}  # by origin; a bucket may turn out to be in another region
        self._clients: dict[tuple[str, int], httpx2.AsyncClient] = {}  # by origin and place, made when first needed
        self._under_way = [0] * -(-connections // POOL_CONNECTIONS)  # requests, by place
        self._reply_seconds = reply_seconds
        self._door = ""  # the URL to knock at; written by call
        share = share or Share.of(connections, None)
        self._paces = [found for found in (pace, share.pace) if found is not None]
        self._slots = anyio.CapacityLimiter(connections)
        self._shared_slots = share.slots
        self._rng = rng or random.Random()  # nosec B311  # jitter of waits, no secret
        self._report = report
        self._patience = patience
        self._gate = Gate(self._knock, patience=patience, rng=self._rng, report=report, door=door)

    async def aclose(self) -> None:
        """Close every connection, also when cancelled."""
        with anyio.CancelScope(shield=True):
            for client in self._clients.values():
                await client.aclose()

    @asynccontextmanager
    async def _turn(self) -> AsyncIterator[None]:
        """A slot, once the gate is open.  Who waits at the gate holds none that another store could use."""
        async with self._slots:
            while True:
                await self._gate.passage()
                async with self._shared_slots:
                    if not self._gate.shut:  # nobody who waited for a slot runs into a network that is gone
                        yield
                        return

    async def send(self, request: Request) -> Reply:
        """One attempt.

        Raises Unreachable where no whole reply came, NeedsPerson where a certificate, a proxy or their settings are in
        the way, FileChanged from a body that may not be sent.
        """
        route, chosen = self._route(request.url), self._under_way.index(min(self._under_way))
        self._under_way[chosen] += 1
        try:
            reply = await self._exchange(self._client(request.url, chosen), request)
        except FAILURES as error:
            route.failed(error)
        finally:
            self._under_way[chosen] -= 1
        route.check(reply.status)
        return reply

    def _route(self, url: str) -> Route:
        origin = _origin(url)
        if origin not in self._routes:
            self._routes[origin] = Route(url, self._trust)
        return self._routes[origin]

    def _client(self, url: str, place: int) -> httpx2.AsyncClient:
        """The pool of a place; place KNOCKER is for knocks.

        A knock needs no slot, which a request that got no answer may hold, and trusts no connection from before.
        """
        key = (_origin(url), place)
        if key not in self._clients:
            knocks = place == KNOCKER
            seconds = min(self._reply_seconds, CONNECT_SECONDS) if knocks else self._reply_seconds
            most, kept = (1, 0) if knocks else (POOL_CONNECTIONS, POOL_CONNECTIONS)
            self._clients[key] = self._route(url).client(
                limits=httpx2.Limits(max_connections=most, max_keepalive_connections=kept),
                timeout=httpx2.Timeout(seconds, connect=CONNECT_SECONDS, pool=None),
                headers={"User-Agent": f"roar-publisher/{__version__}", "Accept-Encoding": "identity"},
            )
        return self._clients[key]

    async def call(
        self,
        prepare: Callable[[], Awaitable[Request]],
        judged: Callable[[Reply], Verdict] = verdict,
        *,
        before_retry: Callable[[], Awaitable[None]] | None = None,
    ) -> Reply:
        """Send until there is an answer, accepted or refused.

        `prepare` authorizes each attempt, when it is its turn: a signature that waits in a queue would grow too old.
        `before_retry` may send requests of its own.  While the store's host can't be reached at all, it waits at the
        gate and no attempt is counted, `MAX_OUTAGES` times.  Raises Transient when attempts or patience end.
        Cancelling ends every wait at once.
        """
        failures = outages = 0
        busy_since: float | None = None
        while True:
            try:
                async with self._turn():
                    request = await prepare()
                    reply = await self.send(request)
            except Unreachable as error:
                if not await self._was_away(request, error):
                    failures += 1
                    await self._pause(failures, str(error), "offline")
                elif (outages := outages + 1) >= MAX_OUTAGES:
                    what = "the object store goes away each time it gets this request"
                    raise Transient(what, reason="server failing") from error
                if before_retry is not None:
                    await before_retry()
                continue
            self._gate.answered()
            match judged(reply):
                case Verdict.ACCEPTED | Verdict.REFUSED:
                    return reply
                case Verdict.BUSY:
                    busy_since = anyio.current_time() if busy_since is None else busy_since
                    await self._wait_for_store(reply, busy_since)
                case Verdict.FAILED | Verdict.GARBLED:
                    failures += 1
                    await self._pause(failures, f"HTTP {reply.status}", "server failing")
            if before_retry is not None:
                await before_retry()

    async def _exchange(self, client: httpx2.AsyncClient, request: Request) -> Reply:
        if not isinstance(request.body, FileBody):
            return await self._stream(client, request, request.body)
        async with aclosing(request.body.read()) as content:
            async with AsyncExitStack() as paced:
                for pace in self._paces:
                    content = await paced.enter_async_context(aclosing(pace.paced(content)))
                return await self._stream(client, request, content)

    async def _stream(
        self, client: httpx2.AsyncClient, request: Request, content: bytes | AsyncGenerator[bytes, None]
    ) -> Reply:
        headers = {**request.headers, "Content-Length": str(len(request.body))}
        # As it was signed: the library would normalise what it takes for a path.
        exactly = {"target": request.url.removeprefix(_origin(request.url)).encode("ascii")}
        async with client.stream(
            request.method, request.url, headers=headers, content=content, extensions=exactly
        ) as response:
            received = bytearray()
            with anyio.fail_after(self._reply_seconds):  # the client's own limit is for each read
                async for chunk in response.aiter_raw():
                    received += chunk
                    if len(received) > MAX_REPLY_BYTES:
                        break
            return Reply(response.status_code, response.headers, bytes(received[:MAX_REPLY_BYTES]))

    async def _pause(self, failures: int, what: str, reason: str) -> None:
        if failures >= MAX_ATTEMPTS:
            raise Transient(f"the object store failed {failures} times: {what}", reason=reason)
        seconds = backoff(failures, self._rng)
        self._report(Retrying(f"the object store: {what}", failures, seconds))
        await anyio.sleep(seconds)

    async def _was_away(self, request: Request, error: Unreachable) -> bool:
        """Return when the store's host answers; whether it was away, or just this request failed."""
        self._door = f"{_origin(request.url)}/"
        try:
            return await self._gate.no_reply(error)
        except Transient:  # it speaks of the registry
            what = f"the object store can't be reached: {error}"
            raise Transient(what, reason="offline", knock_at=self._door) from None

    async def _knock(self) -> None:
        """Ask the host for anything at all, unauthenticated.  Raises Unreachable where no reply came."""
        try:
            await self._stream(self._client(self._door, KNOCKER), Request("HEAD", self._door, {}), b"")
        except FAILURES as error:
            self._route(self._door).failed(error)

    async def _wait_for_store(self, reply: Reply, busy_since: float) -> None:
        asked = retry_after(reply.headers, time())
        waited = anyio.current_time() - busy_since
        if waited + (asked or 0.0) > self._patience:
            what = "the object store asks to be left alone for a while"
            raise Transient(what, reason="throttled", retry_after=asked)
        if not asked:
            await anyio.sleep(backoff(THROTTLED_ATTEMPT, self._rng))
        else:
            self._gate.hold(asked)


def _origin(url: str) -> str:
    """Scheme, host and port of a URL that has a path."""
    scheme, _, rest = url.partition("://")
    return f"{scheme}://{rest.partition('/')[0]}"
