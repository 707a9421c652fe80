"""A call to the registry: sent until it is answered for good, under the retry policy, the gate and the limit.

Requests are sent at least once; every call that is made here is idempotent on the server (protocol.md §4), which makes
their effect exactly once.
"""

import random
import re
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager, nullcontext
from typing import Any, Protocol, TypeVar
from urllib.parse import quote

import anyio
from pydantic import BaseModel, ValidationError

from roar_publisher.glaas.exchange import Reply
from roar_publisher.glaas.gate import Gate
from roar_publisher.glaas.lenient import refuses, unwrapped
from roar_publisher.glaas.limit import Slot
from roar_publisher.glaas.line import Line
from roar_publisher.glaas.policy import (
    MAX_ATTEMPTS,
    MAX_GARBLED,
    MAX_OUTAGES,
    Verdict,
    backoff,
    error_text,
    judge,
    parse,
    redirect_target,
    retry_after,
)
from roar_publisher.glaas.route import Unreachable
from roar_publisher.glaas.sending import Sender, seconds_to_answer
from roar_publisher.report import Reporter, Retrying
from roar_publisher.state.errors import Interrupted, Rejected, Transient

HEALTH = "/api/v1/health"
UNAUTHORIZED = 401
STOPPED = "stopped on request"
MAX_RENEWALS = 2
"""How often one request may renew its credential: it can be renewed by another process and expire again meanwhile."""
SHORTEST_CREDENTIAL = 16
"""Characters.  What is shorter is a word of the protocol, a time, or no credential worth the name."""
FIRST_ERROR = 400
NO_CONTENT = (204, 205)
SMALL_BYTES = 8 * 1024
"""A body up to this size may be the first thing that a registry is sent.  It takes about as long as any other small
one, whatever is asked; larger ones are compared with each other."""
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


class Caller:
    """Every call of one publish goes through here.

    line: to the registry, shared by every publish of this process.  patience: seconds.  clock: Unix seconds, to read a
    `Retry-After` date against.  stop: set it to end every wait.
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

        Raises Refused for a final no, Transient when the registry redirects, and when it stays away, goes away, fails,
        throttles or garbles for too long, Interrupted when it would have to wait or to send again although `stop` is
        set.
        Cancelling stops waiting; the request may have been carried out.
        """
        failures = garbled = renewals = outages = silences = 0
        busy_since: float | None = None
        while True:
            if self._stop.is_set():
                raise Interrupted(STOPPED)
            await self._gate.passage()
            if takes_long or len(body or b"") > SMALL_BYTES:
                await self._gate.meet()
            async with nullcontext(Slot(0)) if beside_limit else self._limit.slot() as slot:
                authorization = await authorize.header(method, path, body)
                sent_at = anyio.current_time()
                within = seconds_to_answer(takes_long=takes_long, met=self._gate.met, silences=silences)
                reply = await self._attempt(slot, method, path, body, authorization, within)
                if isinstance(reply, Reply) and 200 <= reply.status < 300 and not takes_long:
                    slot.answered(len(body or b"") > SMALL_BYTES, anyio.current_time() - sent_at)
            if isinstance(reply, Unreachable):
                silences += reply.silent
                if not await self._gate.no_reply(reply, sent_at):
                    failures += 1
                    await self._pause(failures, str(reply))
                elif (outages := outages + 1) >= MAX_OUTAGES:
                    raise _keeps_going_away(outages, reply)
                continue
            self._gate.answered()
            document = _document(reply, _shown(reply.status, authorization or "", secret))
            verdict = judge(reply.status, document)
            if verdict is not Verdict.BUSY:
                busy_since = None
            match verdict:
                case Verdict.ACCEPTED if refuses(document):
                    raise _refused(reply, document)
                case Verdict.ACCEPTED if (accepted := _read(expect, document)) is not None:
                    return accepted
                case Verdict.REFUSED:
                    if reply.status == UNAUTHORIZED and authorization and renewals < MAX_RENEWALS:
                        renewals += 1
                        if await authorize.renew(authorization):
                            continue
                    raise _refused(reply, document)
                case Verdict.REDIRECTED:
                    raise _redirected(reply)
                case Verdict.BUSY:
                    busy_since = anyio.current_time() if busy_since is None else busy_since
                    await self._wait_for_server(reply, busy_since)
                case Verdict.GARBLED | Verdict.ACCEPTED:
                    garbled += 1
                    if garbled >= MAX_GARBLED:
                        raise _not_glaas(self.registry)
                    await self._pause(garbled, "an answer that is not GLaaS's")
                case Verdict.FAILED:
                    failures += 1
                    await self._pause(failures, error_text(document, reply.status))

    async def _attempt(
        self, slot: Slot, method: str, path: str, body: bytes | None, authorization: str | None, within: float
    ) -> Reply | Unreachable:
        try:
            reply = await self._sender.send(method, path, body, authorization, within=within)
        except Unreachable as error:
            if error.silent:
                slot.congested()
            return error
        if judge(reply.status, None) is Verdict.BUSY:
            slot.congested()
        return reply

    async def _pause(self, failures: int, what: str) -> None:
        if failures >= MAX_ATTEMPTS:
            raise Transient(f"the registry failed {failures} times: {what}", reason="server failing")
        seconds = backoff(failures, self._rng)
        self._report(Retrying(what, failures, seconds))
        await self._sleep(seconds)

    async def _wait_for_server(self, reply: Reply, busy_since: float) -> None:
        asked = retry_after(reply.headers, self._clock())
        waited = anyio.current_time() - busy_since
        if waited + (asked or 0.0) > self._patience:
            what = "the registry asks to be left alone for a while"
            raise Transient(what, reason="throttled", retry_after=asked)
        if asked:
            self._gate.hold(asked * self._rng.uniform(1.0, 1.1))
        else:
            await self._sleep(backoff(4, self._rng))

    async def _sleep(self, seconds: float) -> None:
        """Wait, unless the process should end: then there is nothing to wait for."""
        with anyio.move_on_after(seconds):
            await self._stop.wait()
            raise Interrupted(STOPPED)


def _document(reply: Reply, hidden: set[str]) -> Any:
    """The JSON of a reply, `{}` for a success that says nothing; None where it is no JSON."""
    if reply.status in NO_CONTENT or reply.body.strip() == b"null":
        return {}
    return parse(reply.body, hidden)


def _read(expect: type[R], document: object) -> R | None:
    try:
        return expect.model_validate(unwrapped(document))
    except ValidationError:
        return None


def _shown(status: int, authorization: str, secret: str) -> set[str]:
    """The credentials of a request, plain and as URLs quote them, for a server may repeat them in its complaint."""
    shown = [part for part in re.split(r'[ "]', authorization) if not part.startswith("SHA256:")]
    if status >= FIRST_ERROR:  # else it may be the same credential, given once more
        shown.append(secret)
    credentials = [part for part in shown if len(part) >= SHORTEST_CREDENTIAL]
    return {form for part in credentials for form in (part, quote(part), quote(part, safe=""))}


def _refused(reply: Reply, document: object) -> Refused:
    what = f"the registry refused: {error_text(document, reply.status)}"
    body = document if isinstance(document, dict) else None
    return Refused(what, status=reply.status, date=reply.headers.get("date"), body=body)


def _redirected(reply: Reply) -> Transient:
    return Transient(
        f"the registry redirects to {redirect_target(reply.headers)}, which is not followed",
        next_step="check the address (--registry, GLAAS_URL), or whether this network wants a sign-in first",
        reason="not glaas",
    )


def _keeps_going_away(outages: int, cause: Unreachable) -> Transient:
    what = f"the registry went away {outages} times when it got one request: {cause}"
    return Transient(what, reason="server failing")


def _not_glaas(registry: str) -> Transient:
    return Transient(
        f"{registry} answers, but not as a GLaaS registry does",
        next_step="check the address (--registry, GLAAS_URL), or whether a proxy stands between",
        reason="not glaas",
    )
