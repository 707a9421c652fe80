"""The network gate: when the network is gone, everybody waits together while one of them knocks.

Open, it costs nothing.  The first request that gets no reply closes it and asks the registry for its health.  If that
answers at once, only the request was unlucky, and its owner counts an attempt.  If not, the network is away: all wait,
no attempt is counted, and one task knocks with a bounded backoff until it answers or patience ends.

A server that asks for patience (`Retry-After`) holds the same gate, so nobody runs into the same answer again.
"""

import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import anyio

from roar_publisher.net.exchange import KNOCK_SECONDS
from roar_publisher.net.route import Unreachable
from roar_publisher.report import Reporter, Waiting
from roar_publisher.state.errors import Transient
from roar_publisher.state.reasons import Reason

FIRST_KNOCK_SECONDS = 0.5
LONGEST_KNOCK_SECONDS = 4.0
"""Between two knocks: the network that comes back is noticed within five seconds."""
SHORTEST_KNOCK_SECONDS = 0.5
"""What a knock is given at the least."""
FIRST_CONTACT_SECONDS = 15.0
"""Patience with a registry that has never answered this process, from the sending of the first request: more likely a
wrong address than a bad link."""


@dataclass(slots=True)
class Door:
    """What every publish to one server shares of its gate.  Times are anyio's.

    closed: set while one task knocks; written by that task alone.
    held_until, held_for: until when everybody waits, and why: the server asked for patience, say.
    away_since: the first request without a reply since the last answer.
    met: whether anything ever answered.  recognised: whether the server itself ever did.
    """

    closed: anyio.Event | None = None
    held_until: float = 0.0
    held_for: str = Reason.THROTTLED
    away_since: float | None = None
    met: bool = False
    recognised: bool = False


class Gate:
    """Shared by every task of one publish that sends to one server.

    knock: sends one small request; returns if anything answered, raises Unreachable if not.  It is given KNOCK_SECONDS.
    sleep: waits, or raises where the process should end.
    patience: seconds from the first request without a reply after which waiting ends in Transient.
    knock_at: a URL of that server, for whoever waits on after that.
    door: shared with the other publishes to the same server; its own by default.
    """

    def __init__(
        self,
        knock: Callable[[], Awaitable[None]],
        *,
        patience: float,
        rng: random.Random,
        report: Reporter,
        knock_at: str = "",
        sleep: Callable[[float], Awaitable[None]] = anyio.sleep,
        door: Door | None = None,
    ) -> None:
        self._knock = knock
        self._patience = patience
        self._rng = rng
        self._report = report
        self._sleep = sleep
        self._knock_at = knock_at
        self._door = door or Door()

    def answered(self) -> None:
        """A reply came: patience starts anew."""
        self._door.away_since = None
        self._door.met = True

    def recognise(self) -> None:
        """The reply was the server's own: what else answers from now on stands in its way."""
        self._door.recognised = True

    @property
    def recognised(self) -> bool:
        """Whether the server itself ever answered."""
        return self._door.recognised

    def hold(self, seconds: float, reason: str = Reason.THROTTLED) -> None:
        """Keep everybody waiting, because the server asks for it, or for another reason."""
        until = anyio.current_time() + seconds
        if until > self._door.held_until:
            self._door.held_until, self._door.held_for = until, reason

    @property
    def shut(self) -> bool:
        """Whether `passage` would wait."""
        return self._door.closed is not None or self._door.held_until > anyio.current_time()

    @property
    def met(self) -> bool:
        """Whether the server ever answered."""
        return self._door.met

    async def passage(self) -> None:
        """Return when requests may be sent."""
        while True:
            if self._door.closed is not None:
                await self._door.closed.wait()
            elif (left := self._door.held_until - anyio.current_time()) > 0:
                self._report(Waiting(self._door.held_for, left))
                await self._sleep(left)
            else:
                return

    async def meet(self) -> None:
        """Return once the server has answered something, a knock if need be.  Raises Transient when patience ends."""
        while not self._door.met:
            await self.no_reply(Unreachable("no answer", silent=False))

    async def no_reply(self, cause: Unreachable, sent_at: float | None = None) -> bool:
        """Tell that a request got no reply; return when the registry answers again.

        sent_at: when that request was sent; now by default.  Returns whether the network was away (True: nobody's
        fault), or just this request failed (False).
        Raises Transient when patience ends.  If the task that knocks is cancelled, the next failure knocks anew.
        """
        if self._door.closed is not None:
            await self._door.closed.wait()
            return True
        self._door.closed = reopened = anyio.Event()
        now = anyio.current_time()
        try:
            return await self._wait_for_answer(cause, now if sent_at is None or self._door.met else sent_at)
        finally:
            self._door.closed = None
            reopened.set()

    async def _wait_for_answer(self, cause: Unreachable, began: float) -> bool:
        """began: when the silence began, if this is its first knock."""
        delay, away = FIRST_KNOCK_SECONDS, False
        while True:
            try:
                await self._knock_within(self._seconds_for_knock(began))
            except Unreachable as error:
                cause = error
            else:
                self.answered()
                return away
            if self._door.away_since is None:  # at first, and when a request that was under way got its reply meanwhile
                self._door.away_since = anyio.current_time() if away else began
            away = True
            left = self._patience_left(began)
            if left <= 0:
                raise Transient(f"the registry can't be reached: {cause}", reason="offline", knock_at=self._knock_at)
            pause = min(delay * self._rng.uniform(0.5, 1.0), left)
            self._report(Waiting("offline", pause))
            await self._sleep(pause)
            delay = min(delay * 2, LONGEST_KNOCK_SECONDS)

    def _patience_left(self, began: float) -> float:
        patience = self._patience if self._door.met else min(self._patience, FIRST_CONTACT_SECONDS)
        since = began if self._door.away_since is None else self._door.away_since
        return patience - (anyio.current_time() - since)

    def _seconds_for_knock(self, began: float) -> float:
        """All of KNOCK_SECONDS, or what is left for the first contact."""
        left = began + FIRST_CONTACT_SECONDS - anyio.current_time()
        return KNOCK_SECONDS if self._door.met else max(SHORTEST_KNOCK_SECONDS, min(KNOCK_SECONDS, left))

    async def _knock_within(self, seconds: float) -> None:
        try:
            with anyio.fail_after(seconds):
                await self._knock()
        except TimeoutError as error:
            raise Unreachable("no answer in time", silent=True) from error
