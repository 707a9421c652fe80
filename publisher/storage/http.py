"""All HTTP traffic with stores: single attempts (`send`), and attempts until there is a reply (`call`).

Every request of any store passes through here: the request limit, the rate limit, and the gate at which all requests
wait while the network is unreachable (`net.gate`).
"""

import logging
import os
import random
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, aclosing
from functools import partial
from math import inf
from time import time

import anyio
import httpcore2
import httpx2
from msgspec import Struct

from roar_publisher import __version__
from roar_publisher.guarded import Guarded
from roar_publisher.net.budget import UploadBudget
from roar_publisher.net.certificates import TrustedCertificates
from roar_publisher.net.exchange import CONNECT_SECONDS, MAX_REPLY_BYTES, MIN_BODY_RATE, Reply
from roar_publisher.net.gate import Gate, GateState
from roar_publisher.net.pace import Pace
from roar_publisher.net.policy import Verdict, judge
from roar_publisher.net.retry import Attempts, Judgement, RetryLoop
from roar_publisher.net.route import FAILURES, Route, Unreachable
from roar_publisher.report import Reporter
from roar_publisher.state.descriptors import connections_that_fit
from roar_publisher.state.reasons import Reason
from roar_publisher.storage.slices import HeldSlice, OnSent, chunks
from roar_publisher.storage.source import Slice

REPLY_SECONDS = 60.0
"""How long a store may take to reply. It needs some time to assemble a large object."""
LONGEST_WORK_SECONDS = 900.0
"""How long a store may work on a reply that has begun.

S3 sends the head at once when it assembles or copies an object, and then white space until the result is known, which
can take minutes.
"""
POOL_CONNECTIONS = 2
"""Connections per pool. Each request examines all connections of its pool several times (see `net.exchange`)."""
PROBER = -1
"""The pool for reachability probes."""

RECEIVED_BYTES = 256 * 1024
"""Bytes received at once, which is what asyncio reads from a socket. The library would cut it into four events."""
httpcore2.AsyncHTTP11Connection.READ_NUM_BYTES = RECEIVED_BYTES

# These loggers write URLs, signatures and headers, urllib3 also in warnings, when it retries. This silences them in the
# whole program.
for _name in ("botocore", "google.auth", "urllib3"):
    logging.getLogger(_name).setLevel(logging.CRITICAL)


class FileBody(Struct, frozen=True):
    """A slice as a request's body, from its byte `skip` on, between `head` and `tail`.

    sha256: set if it is signed. held: the slice in memory, if it is there.
    """

    slice: Slice
    sent: OnSent
    skip: int = 0
    head: bytes = b""
    tail: bytes = b""
    sha256: bytes = b""
    held: HeldSlice | None = None

    def __len__(self) -> int:
        return len(self.head) + self.slice.length - self.skip + len(self.tail)

    async def read(self) -> AsyncGenerator[bytes, None]:
        """Yield the bytes. Close it (`aclosing`), because it holds the file open."""
        if self.head:
            yield self.head
        async with aclosing(chunks(self.slice, self.sent, skip=self.skip, held=self.held)) as pieces:
            async for piece in pieces:
                yield piece
        if self.tail:
            yield self.tail


class StoreRequest(Guarded, frozen=True):
    """One authorized attempt.

    url: with a path, percent-encoded except for the unreserved characters; sent exactly as it was signed.
    """

    HIDDEN = ("url", "headers")
    method: str
    url: str
    headers: Mapping[str, str]
    body: bytes | FileBody = b""


def verdict(reply: Reply) -> Verdict:
    """Return the meaning of a reply by its status alone. Stores with more precise error codes have their own function.

    A redirect is a refusal: the store is elsewhere, and the error asks the user to configure its address.
    """
    found = judge(reply.status)
    return Verdict.REFUSED if found is Verdict.REDIRECTED else found


async def _without_credentials() -> None:
    """Do nothing: the requests need no credentials."""


class StoreConnection:
    """Connections to one store, spread over small pools (see `net.exchange`). Create it inside of an event loop.

    connections: maximum number of concurrent requests; others wait. Fewer, if this process may not open as many files.
    trust: the certificates, if the store has its own setting for them.
    pace: the rate limit for files, if there is one.
    budget, gate_state: the upload limits and gate state shared with this process's other uploads; its own by default.
    report: receives every wait.
    patience: seconds without any reply, or of throttling, until a call fails.
    """

    def __init__(
        self,
        *,
        connections: int,
        report: Reporter,
        patience: float,
        trust: TrustedCertificates | None = None,
        pace: Pace | None = None,
        budget: UploadBudget | None = None,
        gate_state: GateState | None = None,
        rng: random.Random | None = None,
        reply_seconds: float = REPLY_SECONDS,
    ) -> None:
        connections = connections_that_fit(connections)
        self._trust = trust or TrustedCertificates.chosen(os.environ)
        self._routes: dict[str, Route] = {}  # by origin; a bucket may turn out to be in another region
        self._clients: dict[tuple[str, int], httpx2.AsyncClient] = {}  # by origin and pool, created when first needed
        self._in_flight = [0] * -(-connections // POOL_CONNECTIONS)  # requests in flight, by pool
        self._reply_seconds = reply_seconds
        self.budget = budget or UploadBudget.of(connections, None)
        self._paces = [found for found in (pace, self.budget.pace) if found is not None]
        self._slots = anyio.CapacityLimiter(connections)
        rng = rng or random.Random()  # nosec B311  # jitter of waits, not a secret
        name = "the object store"
        self._gate = Gate(self._probe, patience=patience, rng=rng, report=report, server=name, state=gate_state)
        self._loop = RetryLoop(
            name, self._gate, patience=patience, rng=rng, report=report, clock=time, unanswered=Reason.OFFLINE
        )

    async def aclose(self) -> None:
        """Close every connection, also when cancelled."""
        with anyio.CancelScope(shield=True):
            for client in self._clients.values():
                await client.aclose()

    async def send(self, request: StoreRequest) -> Reply:
        """Make one attempt.

        Raises Unreachable if no complete reply arrived, NeedsUser if a certificate, a proxy or their settings prevent
        the request, FileChanged from a body that must not be sent.
        """
        route, chosen = self._route(request.url), self._in_flight.index(min(self._in_flight))
        self._in_flight[chosen] += 1
        try:
            reply = await self._exchange(self._client(request.url, chosen), request)
        except FAILURES as error:
            route.raise_for(error)
        finally:
            self._in_flight[chosen] -= 1
        route.check(reply.status)
        return reply

    def _route(self, url: str) -> Route:
        origin = _origin(url)
        if origin not in self._routes:
            self._routes[origin] = Route(url, self._trust)
        return self._routes[origin]

    def _client(self, url: str, pool: int) -> httpx2.AsyncClient:
        """Return the client of a pool; PROBER is the pool for probes.

        A probe needs no slot, because unanswered requests may hold all of them, and reuses no existing connection.
        """
        key = (_origin(url), pool)
        if key not in self._clients:
            probes = pool == PROBER
            seconds = min(self._reply_seconds, CONNECT_SECONDS) if probes else self._reply_seconds
            most, kept = (1, 0) if probes else (POOL_CONNECTIONS, POOL_CONNECTIONS)
            self._clients[key] = self._route(url).client(
                limits=httpx2.Limits(max_connections=most, max_keepalive_connections=kept),
                timeout=httpx2.Timeout(seconds, connect=CONNECT_SECONDS, pool=None),
                headers={"User-Agent": f"roar-publisher/{__version__}", "Accept-Encoding": "identity"},
            )
        return self._clients[key]

    async def call(
        self,
        prepare: Callable[[], Awaitable[StoreRequest]],
        judged: Callable[[Reply], Verdict] = verdict,
        *,
        authorize: Callable[[], Awaitable[object]] = _without_credentials,
        before_retry: Callable[[], Awaitable[None]] | None = None,
    ) -> Reply:
        """Send until there is a reply that is accepted or refused.

        `prepare` authorizes each attempt right before it is sent, because a signature would expire in a queue.
        `authorize` obtains the credentials for it before: their source may take long, and a slot is shared with the
        uploads of other publishes.
        `before_retry` may send requests itself. While the store's host is unreachable, the call waits at the gate
        without counting attempts, up to `MAX_OUTAGES` times.

        Raises Transient when attempts or patience end. Cancellation ends every wait at once.
        """

        async def attempt() -> Reply:
            await self._gate.wait_until_open()  # without a network, most sources have none, either
            await authorize()
            async with self._slots, self._gate.open_slot(lambda: self.budget.slots):
                request = await prepare()
                try:
                    return await self.send(request)
                except Unreachable:
                    self._gate.probe_url = f"{_origin(request.url)}/"
                    raise

        reply, _ = await self._loop.until_final(
            attempt, partial(_judgement, judged), Attempts(), before_retry=before_retry
        )
        return reply

    async def _exchange(self, client: httpx2.AsyncClient, request: StoreRequest) -> Reply:
        if not isinstance(request.body, FileBody):
            return await self._stream(client, request, request.body)
        async with aclosing(request.body.read()) as content:
            async with AsyncExitStack() as paced:
                for pace in self._paces:
                    content = await paced.enter_async_context(aclosing(pace.paced(content)))
                return await self._stream(client, request, content)

    async def _stream(
        self, client: httpx2.AsyncClient, request: StoreRequest, content: bytes | AsyncGenerator[bytes, None]
    ) -> Reply:
        headers = {**request.headers, "Content-Length": str(len(request.body))}
        # The target must match the signature, and httpx2 would normalise the path.
        exactly = {"target": request.url.removeprefix(_origin(request.url)).encode("ascii")}
        async with client.stream(
            request.method, request.url, headers=headers, content=content, extensions=exactly
        ) as response:
            reads = request.method == "GET"
            with anyio.fail_after(self._reply_seconds) as limit:  # the client's own limit applies to each read
                body = await _body(
                    response, limit, self._paces if reads else [], working=0.0 if reads else self._reply_seconds
                )
            return Reply(response.status_code, response.headers, body)

    async def _probe(self) -> None:
        """Send an unauthenticated request to the host. Raises Unreachable if no reply arrived."""
        url = self._gate.probe_url
        try:
            await self._stream(self._client(url, PROBER), StoreRequest("HEAD", url, {}), b"")
        except FAILURES as error:
            self._route(url).raise_for(error)


async def _body(response: httpx2.Response, limit: anyio.CancelScope, paces: Sequence[Pace], *, working: float) -> bytes:
    """Return the body as it is sent, cut off at MAX_REPLY_BYTES.

    limit: ends the exchange; its deadline moves as data arrives, and while the rate limit makes it wait.
    working: seconds that a store which has sent white space may work until it sends more.
    """
    chunks, left = list[bytes](), MAX_REPLY_BYTES  # a buffer that grows would copy large ranges several times
    latest = anyio.current_time() + LONGEST_WORK_SECONDS
    async with aclosing(response.aiter_raw()) as received:
        async for chunk in received:
            chunks.append(chunk[:left])
            left -= len(chunks[-1])
            if len(chunks[-1]) < len(chunk):
                break
            deadline, began, limit.deadline = limit.deadline, anyio.current_time(), inf
            for pace in paces:
                await pace.wait(len(chunk))
            limit.deadline = deadline + anyio.current_time() - began + len(chunk) / MIN_BODY_RATE
            if working and chunk.isspace():
                limit.deadline = min(anyio.current_time() + working, latest)
    return b"".join(chunks)


def _judgement(judged: Callable[[Reply], Verdict], reply: Reply) -> Judgement:
    """Return the judgement of a store's reply. One that is not the store's counts as a failure."""
    found = judged(reply)
    return Judgement(Verdict.FAILED if found is Verdict.GARBLED else found, f"HTTP {reply.status}")


def _origin(url: str) -> str:
    """Return scheme, host and port of a URL that has a path."""
    scheme, _, rest = url.partition("://")
    return f"{scheme}://{rest.partition('/')[0]}"
