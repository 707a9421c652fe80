"""Calls to the registry: each is sent until the answer is final (`net.retry`), under the gate and the limit.

Requests are sent at least once. Every call made here is idempotent on the server (protocol.md §4), so its effect is
exactly once.
"""

import random
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager, nullcontext
from functools import partial
from typing import Protocol, TypeVar

import anyio
from msgspec import Struct, field
from msgspec.structs import replace

from roar_publisher.glaas.answers import WAITS, Answer, credentials_to_hide, no_answer
from roar_publisher.glaas.compression import Compression, may_refuse_compressed
from roar_publisher.glaas.protocol import API_ROOT
from roar_publisher.glaas.replies import ReplyBody
from roar_publisher.glaas.signature import has_signature
from roar_publisher.net.connection import RegistryConnection
from roar_publisher.net.exchange import Reply
from roar_publisher.net.gate import Gate
from roar_publisher.net.limit import Slot
from roar_publisher.net.policy import Verdict
from roar_publisher.net.retry import Attempts, RetryLoop
from roar_publisher.net.route import Unreachable
from roar_publisher.net.sender import Sender, seconds_to_answer
from roar_publisher.report import Reporter
from roar_publisher.state.errors import Interrupted, Rejected

HEALTH = f"{API_ROOT}/health"
UNAUTHORIZED = 401
MAX_RENEWALS = 2
"""How often one request may renew its credential. Another process may renew it, and it may expire again meanwhile."""
SMALL_BYTES = 8 * 1024
"""Only a body up to this size may be the first request to a registry.

Small requests take about the same time, whatever they ask. Larger ones are compared with each other.
"""
R = TypeVar("R", bound=ReplyBody)


class Refused(Rejected):
    """The registry's final refusal.

    status: the HTTP status; steps turn some of them into events. date: the registry's own clock, as it wrote it, if the
    request was signed for a time. body: the JSON object of the reply, for programs; empty if it is not one.
    """

    def __init__(
        self, what: str, *, status: int, date: str | None = None, body: Mapping[str, object] | None = None
    ) -> None:
        super().__init__(what)
        self.status = status
        self.date = date
        self.body = body or {}

    @property
    def may_hide(self) -> bool:
        """Whether a registry refuses like this what the credential may not see. Another one may see it."""
        return self.status in (401, 403, 404)


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


class RegistryClient:
    """Sends the calls of one publish, or of one command. Any number of tasks may use it.

    connection: to the registry; other clients of this process may share it. patience: seconds to wait for a registry
    that is away, asks to wait, or has an intermediary in its place, until a call fails. clock: Unix seconds, for a
    `Retry-After` date. report: receives every wait and retry. stop: set it to end every wait. recognised: whether an
    earlier process already found a registry at this address. If so, any other answer there comes from an intermediary.
    """

    def __init__(
        self,
        connection: RegistryConnection,
        *,
        patience: float,
        rng: random.Random,
        clock: Callable[[], float],
        report: Reporter,
        stop: anyio.Event | None = None,
        recognised: bool = False,
    ) -> None:
        self.registry = connection.exchange.registry
        self.compression = Compression(self.registry)
        self._sender = Sender(connection.exchange, HEALTH, report)
        server = f"the registry {self.registry}"
        self._gate = Gate(
            self._sender.probe,
            patience=patience,
            rng=rng,
            report=report,
            server=server,
            probe_url=self.registry + HEALTH,
            sleep=self._sleep,
            state=connection.gate_state,
        )
        self._loop = RetryLoop(
            server, self._gate, patience=patience, rng=rng, report=report, clock=clock, sleep=self._sleep
        )
        self._limit = connection.limit
        self._stop = stop or anyio.Event()
        if recognised:
            self._gate.recognise()

    def reporting_silence(self) -> AbstractAsyncContextManager[None]:
        """Report requests that get no answer during the block (`net.silence`)."""
        return self._sender.silence.reported()

    async def wait_until_there(self) -> None:
        """Wait until the registry has answered something, and is not known to be away.

        Call it before taking a lock that is held during a call. Raises Transient when patience ends, Interrupted.
        """
        await self._gate.wait_for_first_answer()
        await self._gate.wait_until_open()

    async def call(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        *,
        expect: type[R],
        authorize: Authorizer = ANONYMOUS,
        without_slot: bool = False,
        takes_long: bool = False,
        secret: str = "",
        early: Reply | None = None,
    ) -> R:
        """Send a request until the answer is final, and return it as an `expect` reply.

        without_slot: for a call that another request needs before it can be sent. It takes no slot, because that
        request may hold the last one.
        takes_long: the registry may take `sender.LONG_WORK_SECONDS`. When any other request times out, and is sent
        again, `sender.seconds_to_answer` says.
        secret: a credential in the body. If the server repeats it, it is cut out of the reply.
        early: the reply to a first attempt that was made already (`net.early`).
        A large body is compressed where that is of use (`compression`). If it is refused in a way that may be about the
        encoding, it is sent again as it is, and later ones are not compressed.

        Raises Refused for a final refusal, Interrupted if it would have to wait or send again although `stop` is set,
        Transient if the registry stays away, goes away, fails, throttles or sends garbage for too long. If an
        intermediary answers for a registry that was recognised (`answers.judge_answer`), the call waits as long.
        Cancelling stops waiting. The server may still have carried out the request.
        """
        sent, encoding = self.compression.applied(body)
        request = _Request(method, path, sent, encoding, authorize, len(body or b""), without_slot, takes_long, early)

        def judge(reply: Reply) -> Answer[R]:
            answer = Answer.of(reply, expect, credentials_to_hide(reply.status, request.authorization or "", secret))
            request.refused_compressed = request.encoding is not None and may_refuse_compressed(reply, answer.verdict)
            return replace(answer, verdict=Verdict.REFUSED) if request.refused_compressed else answer

        renewals = 0
        while True:
            reply, answer = await self._loop.until_final(partial(self._send, request), judge, request.attempts)
            if answer.accepted is not None:
                return answer.accepted
            if request.refused_compressed:
                self.compression.learn(accepted=False)
                request.body, request.encoding = body, None
                continue
            if answer.verdict is not Verdict.REFUSED:
                raise no_answer(answer.verdict, reply, self.registry, recognised=self._gate.recognised)
            if reply.status != UNAUTHORIZED or not request.authorization or renewals >= MAX_RENEWALS:
                raise _refused(request, reply, answer)
            renewals += 1
            if not await authorize.renew(request.authorization):
                raise _refused(request, reply, answer)

    async def _send(self, request: "_Request") -> Reply:
        """Make one attempt, as soon as the gate is open and a slot is free. Raises Unreachable, Interrupted."""
        self._check_stop()
        if request.early is not None:
            reply, request.early = request.early, None
            return reply
        if request.takes_long or request.is_large:
            await self._gate.wait_for_first_answer()
        async with self._gate.open_slot(_no_slot if request.without_slot else self._limit.slot) as slot:
            self._check_stop()
            request.authorization = await request.authorize.header(request.method, request.path, request.body)
            sent_at = request.attempts.sent_at = anyio.current_time()
            within = seconds_to_answer(
                takes_long=request.takes_long,
                answered_before=self._gate.answered_before,
                silences=request.attempts.silences,
            )
            try:
                reply = await self._sender.send(
                    request.method,
                    request.path,
                    request.body,
                    request.authorization,
                    encoding=request.encoding,
                    within=within,
                )
            except Unreachable as error:
                if error.silent:
                    slot.congested()
                raise
            if reply.status in WAITS:
                slot.congested()
            if 200 <= reply.status < 300 and not request.takes_long:
                slot.answered(request.is_large, anyio.current_time() - sent_at)
            return reply

    def _check_stop(self) -> None:
        if self._stop.is_set():
            raise Interrupted

    async def _sleep(self, seconds: float) -> None:
        """Wait, or raise Interrupted as soon as `stop` is set."""
        with anyio.move_on_after(seconds):
            await self._stop.wait()
            raise Interrupted


class _Request(Struct):
    """One call's request.

    body: as it is sent. encoding: that of a compressed body. size: of the body before it was compressed.
    authorization: the header of the last attempt. early: the reply to an attempt that was made before.
    refused_compressed: whether the last reply may be about the encoding.
    """

    method: str
    path: str
    body: bytes | None
    encoding: str | None
    authorize: Authorizer
    size: int
    without_slot: bool
    takes_long: bool
    early: Reply | None = None
    authorization: str | None = None
    refused_compressed: bool = False
    attempts: Attempts = field(default_factory=Attempts)

    @property
    def is_large(self) -> bool:
        return self.size > SMALL_BYTES


def _no_slot() -> AbstractAsyncContextManager[Slot]:
    return nullcontext(Slot(0))


def _refused(request: _Request, reply: Reply, answer: Answer[R]) -> Refused:
    body = answer.document if isinstance(answer.document, dict) else None
    what = f"the registry refused: {answer.text}"
    date = reply.headers.get("date") if has_signature(request.authorization or "") else None
    return Refused(what, status=reply.status, date=date, body=body)
