"""A call to the registry: sent until it is answered for good, under the retry policy, the gate and the limit.

Requests are sent at least once; every call that is made here is idempotent on the server (protocol.md §4), which makes
their effect exactly once.
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
from roar_publisher.net.connection import Line
from roar_publisher.net.exchange import Reply
from roar_publisher.net.gate import Gate
from roar_publisher.net.limit import Slot
from roar_publisher.net.route import Unreachable
from roar_publisher.report import Reporter, Retrying, Waiting
from roar_publisher.state.errors import Interrupted, Rejected, Transient
from roar_publisher.state.reasons import Reason

HEALTH = "/api/v1/health"
UNAUTHORIZED = 401
STOPPED = "stopped on request"
MAX_RENEWALS = 2
"""How often one request may renew its credential: it can be renewed by another process and expire again meanwhile."""
SMALL_BYTES = 8 * 1024
"""A body up to this size may be the first thing that a registry is sent.  It takes about as long as any other small
one, whatever is asked; larger ones are compared with each other."""
LONGEST_FRONT_SECONDS = 4.0
"""Between two attempts while something else answers: a registry that is back is noticed within five seconds."""
R = TypeVar("R", bound=BaseModel)


class Refused(Rejected):
    """The registry's final no.

    status: the HTTP status; steps turn some of them into events.  date: the registry's own clock, as it wrote it.
    body: what else the registry says, for programs; empty where that is no JSON object.
    """

    def __init__(
        self, what: str, *, status: int, date: str | None = None, body: Mapping[str, object] | None = None
    ) -> None:
        super().__init__(what)
        self.status = status
        self.date = date
        self.body = body or {}


class Authorizer(Protocol):
    """Gives the `Authorization` of a request, at the moment it is sent: no signature or token is ever stale."""

    async def header(self, method: str, path: str, body: bytes | None) -> str | None:
        """The header's value, None for a request that names nobody."""
        ...

    async def renew(self, rejected: str) -> bool:
        """After a 401 to the header `rejected`: whether `header` gives another one now."""
        ...


class Anonymous:
    """The Authorizer of a request that names nobody."""

    async def header(self, method: str, path: str, body: bytes | None) -> None:
        return

    async def renew(self, rejected: str) -> bool:
        return False


ANONYMOUS = Anonymous()


@dataclass(slots=True)
class _Tries:
    """What the attempts of one request have met.  waiting_since: anyio's time, of the first of the present waits."""

    failures: int = 0
    garbled: int = 0
    renewals: int = 0
    outages: int = 0
    silences: int = 0
    fronts: int = 0
    waiting_since: float | None = None


class Caller:
    """Every call of one publish goes through here.

    line: to the registry, shared by every publish of this process.  patience: seconds.  clock: Unix seconds, to read a
    `Retry-After` date against.  stop: set it to end every wait.  met_before: whether an earlier process met the
    registry at this address, so that anything else that answers there stands in its way.
    """

    def __init__(
        self,
        line: Line,
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
            self._sender.knock,
            patience=patience,
            rng=rng,
            report=report,
            knock_at=self.registry + HEALTH,
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
        """While inside, requests that get no answer are reported (`glaas.silence`)."""
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
        """What the registry answers, as the `expect`ed reply.

        beside_limit: for what another request needs before it can be sent; waiting for a slot, it would wait for
        itself.
        takes_long: the registry may work on it for `sending.LONG_WORK_SECONDS`; any other request has
        `exchange.ANSWER_SECONDS`, and is sent again then.
        secret: a credential in the body.  Where a server repeats what it was shown, that is cut out of its words.

        Raises Refused for a final no, Interrupted when it would have to wait or to send again although `stop` is set,
        Transient when the registry stays away, goes away, fails, throttles or garbles for too long.  What answers in
        the place of a registry that was met (`answers.judge_answer`) is waited out for as long.
        Cancelling stops waiting; the request may have been carried out.
        """
        tries = _Tries()
        while True:
            if self._stop.is_set():
                raise Interrupted(STOPPED)
            await self._gate.passage()
            if takes_long or len(body or b"") > SMALL_BYTES:
                await self._gate.meet()
            async with nullcontext(Slot(0)) if beside_limit else self._limit.slot() as slot:
                if self._stop.is_set() or self._gate.shut:
                    continue  # that came while it waited for a slot
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
        """Wait for the network, or for a moment where only this request got no reply."""
        tries.silences += error.silent
        if not await self._gate.no_reply(error, sent_at):
            tries.failures += 1
            await self._pause(tries.failures, str(error))
            return
        tries.outages += 1
        if tries.outages >= MAX_OUTAGES:
            raise _keeps_going_away(tries.outages, error)

    async def _wait_before_next(self, verdict: Verdict, reply: Reply, document: object, tries: _Tries) -> None:
        """After a reply that is neither taken nor refused.  Raises where another attempt would not help."""
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
            raise Transient(f"the registry failed {failures} times: {what}", reason="server failing")
        seconds = backoff(failures, self._rng)
        self._report(Retrying(what, failures, seconds))
        await self._sleep(seconds)

    async def _wait_for_server(self, reply: Reply, since: float) -> None:
        asked = retry_after(reply.headers, self._clock())
        waited = anyio.current_time() - since
        if waited + (asked or 0.0) > self._patience:
            what = "the registry asks to be left alone for a while"
            raise Transient(what, reason="throttled", retry_after=asked)
        if asked:
            self._gate.hold(asked * self._rng.uniform(1.0, 1.1))
        else:
            seconds = backoff(4, self._rng)
            self._report(Waiting(Reason.THROTTLED, seconds))
            await self._sleep(seconds)

    def _wait_for_registry(self, reply: Reply, since: float, fronts: int) -> None:
        """Keep everybody waiting for a registry that was met before, because something else answers in its place."""
        ceiling = min(LONGEST_FRONT_SECONDS, FIRST_BACKOFF_SECONDS * 2.0 ** min(fronts, 16))
        seconds = ceiling * self._rng.uniform(0.5, 1.0)
        if anyio.current_time() - since + seconds > self._patience:
            raise answered_by_front(reply)
        self._gate.hold(seconds, Reason.FRONT)

    async def _sleep(self, seconds: float) -> None:
        """Wait, unless the process should end: then there is nothing to wait for."""
        with anyio.move_on_after(seconds):
            await self._stop.wait()
            raise Interrupted(STOPPED)


def _refused(reply: Reply, document: object) -> Refused:
    what = f"the registry refused: {error_text(document, reply.status)}"
    body = document if isinstance(document, dict) else None
    return Refused(what, status=reply.status, date=reply.headers.get("date"), body=body)


def _keeps_going_away(outages: int, cause: Unreachable) -> Transient:
    what = f"the registry went away {outages} times when it got one request: {cause}"
    return Transient(what, reason="server failing")
