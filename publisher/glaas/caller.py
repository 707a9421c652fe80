"""Calls to the registry: each is sent until the answer is final, under the retry policy, the gate and the limit.

Requests are sent at least once. Every call made here is idempotent on the server (protocol.md §4), so its effect is
exactly once.
"""

import random
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass
from typing import Protocol, TypeVar

import anyio
from pydantic import BaseModel

from roar_publisher.glaas.answers import (
    WAITS,
    answered_by_front,
    document_of,
    judge_answer,
    not_glaas,
    read,
    redirected,
    shown,
)
from roar_publisher.glaas.lenient import refuses
from roar_publisher.glaas.policy import (
    FIRST_BACKOFF_SECONDS,
    MAX_ATTEMPTS,
    MAX_GARBLED,
    MAX_OUTAGES,
    Verdict,
    backoff,
    error_text,
    retry_after,
)
from roar_publisher.net.attempt import Sender, seconds_to_answer
from roar_publisher.net.connection import RegistryConnection
from roar_publisher.net.exchange import Reply
from roar_publisher.net.gate import Gate
from roar_publisher.net.limit import Slot
from roar_publisher.net.route import Unreachable
from roar_publisher.report import Reporter, Retrying, Waiting
from roar_publisher.state.errors import Interrupted, Rejected, Transient
from roar_publisher.state.reasons import Reason

HEALTH = "/api/v1/health"
UNAUTHORIZED = 401
MAX_RENEWALS = 2
"""How often one request may renew its credential. Another process may renew it, and it may expire again meanwhile."""
SMALL_BYTES = 8 * 1024
"""Only a body up to this size may be the first request to a registry.

Small requests take about the same time, whatever they ask. Larger ones are compared with each other.
"""
LONGEST_FRONT_SECONDS = 4.0
"""The longest pause between attempts while something else answers in the registry's place.

A registry that is back is noticed within five seconds.
"""
R = TypeVar("R", bound=BaseModel)


class Refused(Rejected):
    """The registry's final refusal.

    status: the HTTP status; steps turn some of them into events. date: the registry's own clock, as it wrote it.
    body: the JSON object of the reply, for programs; empty if it is not one.
    """

    def __init__(
        self, what: str, *, status: int, date: str | None = None, body: Mapping[str, object] | None = None
    ) -> None:
        super().__init__(what)
        self.status = status
        self.date = date
        self.body = body or {}


class Authorizer(Protocol):
    """Provides the `Authorization` header when a request is sent, so that no signature or token is stale."""

    async def header(self, method: str, path: str, body: bytes | None) -> str | None:
        """Return the header's value, or None for an anonymous request."""
        ...

    async def renew(self, rejected: str) -> bool:
        """Return whether `header` now gives another value, after a 401 to the header `rejected`."""
        ...


class Anonymous:
    """The Authorizer of anonymous requests."""

    async def header(self, method: str, path: str, body: bytes | None) -> None:
        return

    async def renew(self, rejected: str) -> bool:
        return False


ANONYMOUS = Anonymous()


@dataclass(slots=True)
class _Tries:
    """Counts of what the attempts of one request met.

    waiting_since: anyio time when the current series of waits began.
    """

    failures: int = 0
    garbled: int = 0
    renewals: int = 0
    outages: int = 0
    silences: int = 0
    fronts: int = 0
    waiting_since: float | None = None


class Caller:
    """Sends every call of one publish.

    line: the connection to the registry, shared by every publish of this process. patience: seconds. clock: Unix
    seconds, for a `Retry-After` date. stop: set it to end every wait. met_before: whether an earlier process met the
    registry at this address. If so, any other answer there comes from something in front of the registry.
    """

    def __init__(
        self,
        line: RegistryConnection,
        *,
        patience: float,
        rng: random.Random,
        clock: Callable[[], float],
        report: Reporter,
        stop: anyio.Event | None = None,
        met_before: bool = False,
    ) -> None:
        self.registry = line.exchange.registry
        self._sender = Sender(line.exchange, HEALTH, report)
        self._gate = Gate(
            self._sender.probe,
            patience=patience,
            rng=rng,
            report=report,
            probe_url=self.registry + HEALTH,
            sleep=self._sleep,
            door=line.door,
        )
        self._limit = line.limit
        self._patience = patience
        self._rng = rng
        self._clock = clock
        self._report = report
        self._stop = stop or anyio.Event()
        if met_before:
            self._gate.recognise()

    def reporting_silence(self) -> AbstractAsyncContextManager[None]:
        """Report requests that get no answer during the block (`net.silence`)."""
        return self._sender.silence.reported()

    async def call(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        *,
        expect: type[R],
        authorize: Authorizer = ANONYMOUS,
        beside_limit: bool = False,
        takes_long: bool = False,
        secret: str = "",
    ) -> R:
        """Send a request until the answer is final, and return it as an `expect` reply.

        beside_limit: for a call that another request needs before it can be sent. It takes no slot, because that
        request may hold the last one.
        takes_long: the registry may take `attempt.LONG_WORK_SECONDS`. Any other request times out after
        `exchange.ANSWER_SECONDS` and is sent again.
        secret: a credential in the body. If the server repeats it, it is cut out of the reply.

        Raises Refused for a final refusal, Interrupted if it would have to wait or send again although `stop` is set,
        Transient if the registry stays away, goes away, fails, throttles or sends garbage for too long. If something
        else answers in the place of a registry that was met (`answers.judge_answer`), the call waits as long.
        Cancelling stops waiting. The server may still have carried out the request.
        """
        tries = _Tries()
        while True:
            if self._stop.is_set():
                raise Interrupted
            await self._gate.passage()
            if takes_long or len(body or b"") > SMALL_BYTES:
                await self._gate.meet()
            async with nullcontext(Slot(0)) if beside_limit else self._limit.slot() as slot:
                if self._stop.is_set() or self._gate.shut:
                    continue  # stopped, or the gate closed while this call waited for a slot
                authorization = await authorize.header(method, path, body)
                sent_at = anyio.current_time()
                within = seconds_to_answer(takes_long=takes_long, met=self._gate.met, silences=tries.silences)
                reply = await self._attempt(slot, method, path, body, authorization, within)
                if isinstance(reply, Reply) and 200 <= reply.status < 300 and not takes_long:
                    slot.answered(len(body or b"") > SMALL_BYTES, anyio.current_time() - sent_at)
            if isinstance(reply, Unreachable):
                await self._went_away(reply, sent_at, tries)
                continue
            self._gate.answered()
            document = document_of(reply, shown(reply.status, authorization or "", secret))
            verdict = judge_answer(reply.status, document)
            if verdict is Verdict.REFUSED or (verdict is Verdict.ACCEPTED and refuses(document)):
                self._gate.recognise()
                if reply.status == UNAUTHORIZED and authorization and tries.renewals < MAX_RENEWALS:
                    tries.renewals += 1
                    if await authorize.renew(authorization):
                        continue
                raise _refused(reply, document)
            if verdict is Verdict.ACCEPTED and (accepted := read(expect, document)) is not None:
                self._gate.recognise()
                return accepted
            await self._wait_before_next(verdict, reply, document, tries)

    async def _went_away(self, error: Unreachable, sent_at: float, tries: _Tries) -> None:
        """Wait for the network, or for a moment if only this request got no reply."""
        tries.silences += error.silent
        if not await self._gate.no_reply(error, sent_at):
            tries.failures += 1
            await self._pause(tries.failures, str(error))
            return
        tries.outages += 1
        if tries.outages >= MAX_OUTAGES:
            raise _keeps_going_away(tries.outages, error)

    async def _wait_before_next(self, verdict: Verdict, reply: Reply, document: object, tries: _Tries) -> None:
        """Wait after a reply that neither accepts nor refuses. Raises if another attempt would not help."""
        since = anyio.current_time() if tries.waiting_since is None else tries.waiting_since
        tries.waiting_since = since if verdict in (Verdict.BUSY, Verdict.FRONT) else None
        match verdict:
            case Verdict.BUSY:
                await self._wait_for_server(reply, since)
            case Verdict.FRONT if self._gate.recognised:
                tries.fronts += 1
                self._wait_for_registry(reply, since, tries.fronts)
            case Verdict.REDIRECTED:
                raise redirected(reply)
            case Verdict.FAILED:
                tries.failures += 1
                await self._pause(tries.failures, error_text(document, reply.status))
            case _:
                tries.garbled += 1
                if tries.garbled >= MAX_GARBLED:
                    raise not_glaas(self.registry)
                await self._pause(tries.garbled, "an answer that is not GLaaS's")

    async def _attempt(
        self, slot: Slot, method: str, path: str, body: bytes | None, authorization: str | None, within: float
    ) -> Reply | Unreachable:
        try:
            reply = await self._sender.send(method, path, body, authorization, within=within)
        except Unreachable as error:
            if error.silent:
                slot.congested()
            return error
        if reply.status in WAITS:
            slot.congested()
        return reply

    async def _pause(self, failures: int, what: str) -> None:
        if failures >= MAX_ATTEMPTS:
            raise Transient(f"the registry failed {failures} times: {what}", reason=Reason.SERVER_FAILING)
        seconds = backoff(failures, self._rng)
        self._report(Retrying(what, failures, seconds))
        await self._sleep(seconds)

    async def _wait_for_server(self, reply: Reply, since: float) -> None:
        asked = retry_after(reply.headers, self._clock())
        waited = anyio.current_time() - since
        if waited + (asked or 0.0) > self._patience:
            what = "the registry asks the client to wait"
            raise Transient(what, reason=Reason.THROTTLED, retry_after=asked)
        if asked:
            self._gate.hold(asked * self._rng.uniform(1.0, 1.1))
        else:
            seconds = backoff(4, self._rng)
            self._report(Waiting(Reason.THROTTLED, seconds))
            await self._sleep(seconds)

    def _wait_for_registry(self, reply: Reply, since: float, fronts: int) -> None:
        """Make all requests wait for a registry that was met, because something else answers in its place."""
        ceiling = min(LONGEST_FRONT_SECONDS, FIRST_BACKOFF_SECONDS * 2.0 ** min(fronts, 16))
        seconds = ceiling * self._rng.uniform(0.5, 1.0)
        if anyio.current_time() - since + seconds > self._patience:
            raise answered_by_front(reply)
        self._gate.hold(seconds, Reason.FRONT)

    async def _sleep(self, seconds: float) -> None:
        """Wait, or raise Interrupted as soon as `stop` is set."""
        with anyio.move_on_after(seconds):
            await self._stop.wait()
            raise Interrupted


def _refused(reply: Reply, document: object) -> Refused:
    what = f"the registry refused: {error_text(document, reply.status)}"
    body = document if isinstance(document, dict) else None
    return Refused(what, status=reply.status, date=reply.headers.get("date"), body=body)


def _keeps_going_away(outages: int, cause: Unreachable) -> Transient:
    what = f"the registry went away {outages} times when it got one request: {cause}"
    return Transient(what, reason=Reason.SERVER_FAILING)
