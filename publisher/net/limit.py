"""How many requests may be under way at once: grown while the line keeps up, shrunk when it does not.

It begins like TCP: doubling (one more a success) until the first sign of congestion, then additive (one more a round).
Two signs shrink it:

- 429, 503 and silence halve it.
- Latency that grows (as in TCP Vegas, and Netflix's gradient limits): requests that take longer than they would alone
  are waiting for each other somewhere, and more of them at once would only wait longer.  The limit is divided by how
  much longer they take.

Everything that was sent before it shrank belongs to the old round, and shrinks nothing again.
"""

from collections import deque
from collections.abc import AsyncIterator, Hashable
from contextlib import asynccontextmanager

import anyio

FIRST_LIMIT = 16
FIRST_QUEUE_SECONDS = 4.0
"""The first requests that are sent together are fewer where a line that takes one at a time would keep the last of them
for longer than this."""
TOLERATED_SECONDS = 0.15
TOLERATED_SHARE = 0.25
"""How much longer than alone a request may take: that many seconds or that share, whichever is more.  What is below is
noise, or a queue that is too short to matter."""
MOST_ABOVE_FASTEST = 4.0
"""How many times as long as the fastest request of all one is expected to take, while its kind was never sent alone."""


class Slot:
    """One request's share.  Call `congested` where the server could not keep up, `answered` where it took the request.

    round: in which it was sent.  crowd: how many were under way then, with this one.
    """

    __slots__ = ("crowd", "kind", "round", "seconds", "strained")

    def __init__(self, round_: int, crowd: int = 1) -> None:
        self.round = round_
        self.crowd = crowd
        self.strained = False
        self.kind: Hashable = None
        self.seconds: float | None = None

    def congested(self) -> None:
        self.strained = True

    def answered(self, kind: Hashable, seconds: float) -> None:
        """kind: what requests are compared with.  seconds: from sending the request to the end of its reply."""
        self.kind, self.seconds = kind, seconds


class Latencies:
    """How long requests take that wait for no other: what is measured of those under way is compared with that."""

    def __init__(self) -> None:
        self._fastest: dict[Hashable, float] = {}
        self._measured: set[Hashable] = set()  # kinds of which one was sent alone

    def stretch(self, kind: Hashable, seconds: float) -> float:
        """How many times as long as is tolerated a request took, beside others; it is learned from."""
        self._fastest[kind] = min(seconds, self._fastest.get(kind, seconds))
        return seconds / self._tolerated(kind)

    def alone(self, kind: Hashable, seconds: float) -> bool:
        """Learn from a request that no other was beside: it measures the line as it is now.

        Returns whether requests of its kind take longer than was tolerated, for another reason than waiting for others.
        """
        slower = kind in self._fastest and seconds > self._tolerated(kind)
        self._measured.add(kind)
        self._fastest[kind] = seconds
        return slower

    def _tolerated(self, kind: Hashable) -> float:
        expected = self._fastest[kind]
        if kind not in self._measured:  # the first of a kind may have waited for others, too
            expected = min(expected, MOST_ABOVE_FASTEST * min(self._fastest.values()))
        return expected + max(TOLERATED_SECONDS, TOLERATED_SHARE * expected)


class AdaptiveLimit:
    """Shared by every task that sends.  `most`: what the user allows; never passed."""

    def __init__(self, most: int) -> None:
        self.most = most
        self._limit = float(min(FIRST_LIMIT, most))  # written by _learn alone
        self._in_flight = 0  # written by slot alone
        self._round = 0  # raised each time that the limit shrinks
        self._doubling = True  # until it shrinks
        self._untried = True  # until some were sent together
        self._latencies = Latencies()
        self._stretches: list[float] = []  # of this round's requests, as far as they are not judged yet
        self._waiting: deque[anyio.Event] = deque()

    @property
    def current(self) -> int:
        """Requests that may be under way now."""
        return int(self._limit)

    @asynccontextmanager
    async def slot(self) -> AsyncIterator[Slot]:
        """Wait for room, first come first served; give it back on leaving, also when cancelled."""
        while self._in_flight >= self.current:
            room = anyio.Event()
            self._waiting.append(room)
            try:
                await room.wait()
            except BaseException:
                if room.is_set():  # the room that was offered to us is somebody else's now
                    self._wake()
                else:
                    self._waiting.remove(room)
                raise
        self._in_flight += 1
        slot = Slot(self._round, self._in_flight)
        try:
            yield slot
        finally:
            self._in_flight -= 1
            self._learn(slot)
            self._wake()

    def _learn(self, slot: Slot) -> None:
        if slot.strained:
            if slot.round == self._round:
                self._shrink(0.5)
        elif slot.seconds is not None:
            self._compare(slot, slot.kind, slot.seconds)

    def _compare(self, slot: Slot, kind: Hashable, seconds: float) -> None:
        if slot.crowd > 1:
            self._untried = False
            stretch = self._latencies.stretch(kind, seconds)
        else:
            stretch = 0.0
            if self._latencies.alone(kind, seconds):
                self._doubling = True  # it was not for others that requests took longer: find the limit anew
            if self._untried:
                self._limit = float(min(FIRST_LIMIT, self.most, max(2, int(FIRST_QUEUE_SECONDS / max(seconds, 1e-3)))))
        if stretch <= 1 and 2 * slot.crowd >= self._limit:  # a limit that is not used proves nothing
            self._limit = min(self.most, self._limit + (1.0 if self._doubling else 1.0 / self._limit))
        if slot.round == self._round:
            self._judge(stretch)

    def _judge(self, stretch: float) -> None:
        """Shrink where nearly all requests of a round took too long: in a queue all wait, elsewhere some are slow."""
        self._stretches.append(stretch)
        if len(self._stretches) >= self.current:
            fast = sorted(self._stretches)[len(self._stretches) // 8]
            self._stretches.clear()
            if fast > 1:
                self._shrink(max(0.5, 1 / fast))

    def _shrink(self, factor: float) -> None:
        self._round += 1
        self._doubling = self._untried = False
        self._stretches.clear()
        self._limit = max(1.0, self._limit * factor)

    def _wake(self) -> None:
        room = self.current - self._in_flight
        while room > 0 and self._waiting:
            self._waiting.popleft().set()
            room -= 1
