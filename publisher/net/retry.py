"""The retry loop of all requests, to registries and to object stores: they are repeated until a reply is final.

The caller sends and judges; the loop waits. While the server is unreachable, requests wait at the gate (`net.gate`)
without counting attempts. A server that answers with failures gets a bounded number of attempts, one that asks to wait
gets as much time as the patience allows.
"""

import random
from collections.abc import Awaitable, Callable
from typing import TypeVar

import anyio
from msgspec import Struct

from roar_publisher.net.exchange import Reply
from roar_publisher.net.gate import Gate
from roar_publisher.net.policy import (
    MAX_ATTEMPTS,
    MAX_GARBLED,
    MAX_OUTAGES,
    THROTTLED_ATTEMPT,
    Verdict,
    backoff,
    intermediary_pause,
    retry_after,
)
from roar_publisher.net.route import Unreachable
from roar_publisher.report import Reporter, Retrying, Waiting
from roar_publisher.state.errors import Transient
from roar_publisher.state.reasons import Reason

J = TypeVar("J", bound="Judgement")


class Judgement(Struct, frozen=True):
    """What a reply means. text: why it is not accepted, for the user."""

    verdict: Verdict
    text: str


class Attempts(Struct):
    """What the attempts of one request have met so far.

    failures: replies FAILED, and attempts without a reply from a server that can be reached (`MAX_ATTEMPTS`).
    garbled: replies GARBLED (`MAX_GARBLED`). outages: how often the server went away meanwhile (`MAX_OUTAGES`).
    silences: attempts that timed out; the next one may wait longer. intermediaries: replies INTERMEDIARY.
    sent_at: anyio time of the last attempt, from which the patience with a first contact counts; None: from its end.
    waiting_since: anyio time of the first of the present series of replies BUSY or INTERMEDIARY; None without one.
    """

    failures: int = 0
    garbled: int = 0
    outages: int = 0
    silences: int = 0
    intermediaries: int = 0
    sent_at: float | None = None
    waiting_since: float | None = None


class RetryLoop:
    """Repeats the requests to one server. Any number of tasks may use it.

    server: how messages name it, as for its gate. gate: at which its requests wait.
    patience: seconds of throttling, or of answers from an intermediary, until a request fails. clock: Unix seconds, for
    a `Retry-After` date. sleep: waits, or raises if the process should end.
    unanswered: the reason if a reachable server does not answer one request.
    """

    def __init__(
        self,
        server: str,
        gate: Gate,
        *,
        patience: float,
        rng: random.Random,
        report: Reporter,
        clock: Callable[[], float],
        sleep: Callable[[float], Awaitable[None]] = anyio.sleep,
        unanswered: Reason = Reason.SERVER_FAILING,
    ) -> None:
        self._server = server
        self._gate = gate
        self._patience = patience
        self._rng = rng
        self._report = report
        self._clock = clock
        self._sleep = sleep
        self._unanswered = unanswered

    async def until_final(
        self,
        send: Callable[[], Awaitable[Reply]],
        judge: Callable[[Reply], J],
        attempts: Attempts,
        *,
        before_retry: Callable[[], Awaitable[None]] | None = None,
    ) -> tuple[Reply, J]:
        """Repeat `send` until its reply is final, and return the reply and its judgement.

        send: makes one attempt. Raises Unreachable if no reply came.
        before_retry: runs before each attempt but the first; may send requests itself.

        Final are ACCEPTED, REFUSED and REDIRECTED, GARBLED for the MAX_GARBLED-th time, and INTERMEDIARY after
        patience. An INTERMEDIARY in front of a server that never answered counts as GARBLED.

        Raises Transient when attempts or patience end, and what `send` and `sleep` raise. Cancellation ends every wait.
        """
        while True:
            try:
                reply = await send()
            except Unreachable as error:
                await self._wait_for_network(error, attempts)
            else:
                self._gate.answered()
                judgement = judge(reply)
                if await self._wait_unless_final(reply, judgement, attempts):
                    return reply, judgement
            if before_retry is not None:
                await before_retry()

    async def _wait_for_network(self, error: Unreachable, attempts: Attempts) -> None:
        """Wait until the server answers, or for a moment if only this request got no reply."""
        attempts.silences += error.silent
        if not await self._gate.wait_for_answer(error, attempts.sent_at):
            await self._pause_after_failure(str(error), attempts, self._unanswered)
            return
        attempts.outages += 1
        if attempts.outages >= MAX_OUTAGES:
            what = f"{self._server} became unreachable {attempts.outages} times during one request: {error}"
            raise Transient(what, reason=Reason.SERVER_FAILING) from error

    async def _wait_unless_final(self, reply: Reply, judgement: Judgement, attempts: Attempts) -> bool:
        """Return True if another attempt would not help; otherwise wait until it may be made, and return False."""
        verdict, text = judgement.verdict, judgement.text
        since = anyio.current_time() if attempts.waiting_since is None else attempts.waiting_since
        attempts.waiting_since = since if verdict in (Verdict.BUSY, Verdict.INTERMEDIARY) else None
        match verdict:
            case Verdict.ACCEPTED | Verdict.REFUSED:
                self._gate.recognise()
                return True
            case Verdict.REDIRECTED:
                return True
            case Verdict.BUSY:
                await self._wait_for_server(reply, since)
            case Verdict.INTERMEDIARY if self._gate.recognised:
                attempts.intermediaries += 1
                seconds = intermediary_pause(attempts.intermediaries, self._rng)
                if anyio.current_time() - since + seconds > self._patience:
                    return True
                self._gate.hold(seconds, Reason.INTERMEDIARY)
            case Verdict.FAILED:
                await self._pause_after_failure(text, attempts, Reason.SERVER_FAILING)
            case _:
                attempts.garbled += 1
                if attempts.garbled >= MAX_GARBLED:
                    return True
                await self._pause(attempts.garbled, text)
        return False

    async def _pause_after_failure(self, what: str, attempts: Attempts, reason: Reason) -> None:
        attempts.failures += 1
        if attempts.failures >= MAX_ATTEMPTS:
            raise Transient(f"{self._server} failed {attempts.failures} times: {what}", reason=reason)
        await self._pause(attempts.failures, what)

    async def _pause(self, attempt: int, what: str) -> None:
        seconds = backoff(attempt, self._rng)
        self._report(Retrying(f"{self._server}: {what}", attempt, seconds))
        await self._sleep(seconds)

    async def _wait_for_server(self, reply: Reply, since: float) -> None:
        asked = retry_after(reply.headers, self._clock())
        waited = anyio.current_time() - since
        if waited + (asked or 0.0) > self._patience:
            what = f"{self._server} asks the client to wait"
            raise Transient(what, reason=Reason.THROTTLED, retry_after=asked)
        if asked:
            self._gate.hold(asked * self._rng.uniform(1.0, 1.1))  # so that clients do not come back together
        else:
            seconds = backoff(THROTTLED_ATTEMPT, self._rng)
            self._report(Waiting(Reason.THROTTLED, seconds))
            await self._sleep(seconds)
