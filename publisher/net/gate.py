"""The network gate: while the network is away, all requests wait together and one task probes the server.

An open gate costs nothing. The first request that gets no reply closes it and probes the server. If that answers at
once, only that request failed, and its caller counts an attempt. Otherwise the network is away: all requests wait
without counting attempts, and one task probes with a bounded backoff until it gets an answer or the patience ends.

A server that asks to wait (`Retry-After`) holds the same gate, so that no other request gets the same answer again.
"""

import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import TypeVar

import anyio
from msgspec import Struct

from roar_publisher.net.exchange import PROBE_SECONDS
from roar_publisher.net.route import Unreachable
from roar_publisher.report import Reporter, Waiting
from roar_publisher.state.errors import Transient
from roar_publisher.state.reasons import Reason

FIRST_PROBE_SECONDS = 0.5
LONGEST_PROBE_SECONDS = 4.0
"""The longest pause between two probes. A network that is back is noticed within five seconds."""
SHORTEST_PROBE_SECONDS = 0.5
"""The shortest timeout of a probe."""
FIRST_CONTACT_SECONDS = 15.0
"""Patience with a registry that has never answered this process, counted from the first request.

A wrong address is then more likely than a bad connection.
"""
S = TypeVar("S")


class GateState(Struct):
    """The gate state that all publishes to one server share. Times are anyio's.

    reopened: set when the task that probes has ended; None if no task probes. Only that task writes it.
    held_until, held_for: until when all requests wait, and the reason, such as a server that asks to wait.
    away_since: when the first request after the last answer got no reply.
    answered_before: whether anything ever answered. recognised: whether the server itself ever did.
    """

    reopened: anyio.Event | None = None
    held_until: float = 0.0
    held_for: Reason = Reason.THROTTLED
    away_since: float | None = None
    answered_before: bool = False
    recognised: bool = False


class Gate:
    """A gate shared by all tasks of one publish that send to one server.

    probe: sends one small request. It returns if anything answered and raises Unreachable otherwise. It gets
    PROBE_SECONDS.
    sleep: waits, or raises if the process should end.
    patience: seconds from the first request without a reply until waiting ends in Transient.
    server: how messages name it, such as `the registry https://glaas.example`.
    probe_url: a URL of that server, for a caller that keeps waiting after that. May be set later.
    state: shared with other publishes to the same server; private by default.
    """

    def __init__(
        self,
        probe: Callable[[], Awaitable[None]],
        *,
        patience: float,
        rng: random.Random,
        report: Reporter,
        server: str,
        probe_url: str = "",
        sleep: Callable[[float], Awaitable[None]] = anyio.sleep,
        state: GateState | None = None,
    ) -> None:
        self.probe_url = probe_url
        self._server = server
        self._probe = probe
        self._patience = patience
        self._rng = rng
        self._report = report
        self._sleep = sleep
        self._state = state or GateState()

    def answered(self) -> None:
        """Record that a reply came. Patience starts again."""
        self._state.away_since = None
        self._state.answered_before = True

    def recognise(self) -> None:
        """Record that a reply was the server's own. From now on, other answers come from something in front of it."""
        self._state.recognised = True

    @property
    def recognised(self) -> bool:
        """Whether the server itself ever answered."""
        return self._state.recognised

    def hold(self, seconds: float, reason: Reason = Reason.THROTTLED) -> None:
        """Make all requests wait, because the server asks for it or for another reason."""
        until = anyio.current_time() + seconds
        if until > self._state.held_until:
            self._state.held_until, self._state.held_for = until, reason

    @property
    def closed(self) -> bool:
        """Whether `wait_until_open` would wait."""
        return self._state.reopened is not None or self._state.held_until > anyio.current_time()

    @property
    def answered_before(self) -> bool:
        """Whether anything at the server's address ever answered."""
        return self._state.answered_before

    async def wait_until_open(self) -> None:
        """Wait until requests may be sent."""
        while True:
            if self._state.reopened is not None:
                await self._state.reopened.wait()
            elif (left := self._state.held_until - anyio.current_time()) > 0:
                self._report(Waiting(self._state.held_for, left))
                await self._sleep(left)
            else:
                return

    @asynccontextmanager
    async def open_slot(self, take: Callable[[], AbstractAsyncContextManager[S]]) -> AsyncIterator[S]:
        """Hold a slot while the gate is open. A request that waits at the gate holds none.

        take: returns a context manager that waits for a slot.
        """
        while True:
            await self.wait_until_open()
            async with take() as slot:
                if not self.closed:  # it may have closed while the request waited for a slot
                    yield slot
                    return

    async def wait_for_first_answer(self) -> None:
        """Wait until the server has answered something; probe it if necessary. Raises Transient when patience ends."""
        while not self._state.answered_before:
            await self.wait_for_answer(Unreachable("no answer", silent=False))

    async def wait_for_answer(self, cause: Unreachable, sent_at: float | None = None) -> bool:
        """Record that a request got no reply, and wait until the server answers again.

        sent_at: when that request was sent; now by default. Returns True if the network was away, and False if only
        this request failed.
        Raises Transient when patience ends. If the probing task is cancelled, the next failure starts a new probe.
        """
        if self._state.reopened is not None:
            await self._state.reopened.wait()
            return True
        self._state.reopened = reopened = anyio.Event()
        began = anyio.current_time() if sent_at is None or self._state.answered_before else sent_at
        try:
            return await self._probe_until_answered(cause, began)
        finally:
            self._state.reopened = None
            reopened.set()

    async def _probe_until_answered(self, cause: Unreachable, began: float) -> bool:
        """Probe until something answers. began: when the silence began, if this is its first probe."""
        delay, away = FIRST_PROBE_SECONDS, False
        while True:
            try:
                await self._probe_within(self._seconds_for_probe(began))
            except Unreachable as error:
                cause = error
            else:
                self.answered()
                return away
            # Not set at first, and reset if a running request got its reply in the meantime.
            if self._state.away_since is None:
                self._state.away_since = anyio.current_time() if away else began
            away = True
            left = self._patience_left(began)
            if left <= 0:
                what = f"{self._server} cannot be reached: {cause}"
                raise Transient(what, reason=Reason.OFFLINE, probe_url=self.probe_url)
            pause = min(delay * self._rng.uniform(0.5, 1.0), left)
            self._report(Waiting(Reason.OFFLINE, pause))
            await self._sleep(pause)
            delay = min(delay * 2, LONGEST_PROBE_SECONDS)

    def _patience_left(self, began: float) -> float:
        patience = self._patience if self._state.answered_before else min(self._patience, FIRST_CONTACT_SECONDS)
        since = began if self._state.away_since is None else self._state.away_since
        # From the end, so that sleeping for what is left reaches it: a sum of durations may round to just before it.
        return since + patience - anyio.current_time()

    def _seconds_for_probe(self, began: float) -> float:
        """Return PROBE_SECONDS, or less if less is left for the first contact."""
        left = began + FIRST_CONTACT_SECONDS - anyio.current_time()
        return PROBE_SECONDS if self._state.answered_before else max(SHORTEST_PROBE_SECONDS, min(PROBE_SECONDS, left))

    async def _probe_within(self, seconds: float) -> None:
        try:
            with anyio.fail_after(seconds):
                await self._probe()
        except TimeoutError as error:
            raise Unreachable("no answer in time", silent=True) from error
