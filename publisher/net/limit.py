"""The number of concurrent requests: raised while the connection keeps up, reduced when it does not.

The limit begins like TCP: it doubles (plus one per success) until the first sign of congestion, then grows additively
(plus one per round). Two signs reduce it:

- 429, 503 and missing answers halve it.
- Growing latency (as in TCP Vegas and Netflix's gradient limits) divides it by the factor by which requests take longer
  than alone. Such requests wait for each other somewhere, and more of them at once would only wait longer.

Requests sent before a reduction belong to the old round and do not reduce the limit again.
"""

from collections import deque
from collections.abc import AsyncIterator, Hashable
from contextlib import asynccontextmanager

import anyio
from msgspec import Struct

FIRST_LIMIT = 16
FIRST_QUEUE_SECONDS = 4.0
"""An upper bound on how long the first requests sent together may wait for each other.

Fewer are sent if a connection that handles one at a time would keep the last of them for longer than this.
"""
TOLERATED_SECONDS = 0.15
TOLERATED_SHARE = 0.25
"""How much longer than alone a request may take: TOLERATED_SECONDS or this share, whichever is more.

A smaller difference is noise, or a queue that is too short to matter.
"""
MOST_ABOVE_FASTEST = 4.0
"""Bounds the expected time of a kind of request that was never sent alone, in multiples of the fastest request."""


class Slot(Struct):
    """One request's place in the limit.

    Call `congested` if the server could not keep up, `answered` if it took the request.

    round: the round it was sent in. in_flight: the number of running requests at that time, including this one.
    kind, seconds: what `answered` records; without it, the request says nothing about the connection.
    """

    round: int
    in_flight: int = 1
    was_congested: bool = False
    kind: Hashable = None
    seconds: float | None = None

    def congested(self) -> None:
        """Record that the server could not keep up."""
        self.was_congested = True

    def answered(self, kind: Hashable, seconds: float) -> None:
        """Record an accepted request.

        kind: requests are compared with others of the same kind. seconds: from sending the request to the end of its
        reply.
        """
        self.kind, self.seconds = kind, seconds


class _Latencies:
    """How long requests take that do not wait for others: the reference for those that run together."""

    def __init__(self) -> None:
        self._fastest: dict[Hashable, float] = {}
        self._measured: set[Hashable] = set()  # kinds that were sent alone at least once

    def stretch(self, kind: Hashable, seconds: float) -> float:
        """Return how a request's time beside others compares with the tolerated time (1: as long). Learns from it."""
        self._fastest[kind] = min(seconds, self._fastest.get(kind, seconds))
        return seconds / self._tolerated(kind)

    def alone(self, kind: Hashable, seconds: float) -> bool:
        """Learn from a request that ran alone: it measures the connection as it is now.

        Returns whether requests of its kind take longer than was tolerated, for another reason than waiting for others.
        """
        slower = kind in self._fastest and seconds > self._tolerated(kind)
        self._measured.add(kind)
        self._fastest[kind] = seconds
        return slower

    def _tolerated(self, kind: Hashable) -> float:
        expected = self._fastest[kind]
        if kind not in self._measured:  # the first request of a kind may have waited for others, too
            expected = min(expected, MOST_ABOVE_FASTEST * min(self._fastest.values()))
        return expected + max(TOLERATED_SECONDS, TOLERATED_SHARE * expected)


class AdaptiveLimit:
    """A limit shared by every task that sends. most: the user's maximum, which is never exceeded."""

    def __init__(self, most: int) -> None:
        self.most = most
        self._limit = float(min(FIRST_LIMIT, most))  # only _learn writes it
        self._in_flight = 0  # those that have a slot, or are about to begin with one
        self._round = 0  # incremented by each reduction
        self._doubling = True  # until the first reduction
        self._untried = True  # until several requests were sent together
        self._latencies = _Latencies()
        self._stretches: list[float] = []  # of this round's requests that are not judged yet
        self._waiting: deque[anyio.Event] = deque()

    @property
    def current(self) -> int:
        """The number of requests that may run now."""
        return int(self._limit)

    @asynccontextmanager
    async def slot(self) -> AsyncIterator[Slot]:
        """Wait for a slot in FIFO order. Leaving the block releases it, also on cancellation."""
        if self._waiting or self._in_flight >= self.current:
            await self._wait_for_slot()
        else:
            self._in_flight += 1
        slot = Slot(self._round, self._in_flight)
        try:
            yield slot
        finally:
            self._in_flight -= 1
            self._learn(slot)
            self._wake()

    async def _wait_for_slot(self) -> None:
        ready = anyio.Event()
        self._waiting.append(ready)
        try:
            await ready.wait()
        except BaseException:
            if ready.is_set():  # the slot that this task was given goes to another one
                self._in_flight -= 1
                self._wake()
            else:
                self._waiting.remove(ready)
            raise

    def _learn(self, slot: Slot) -> None:
        if slot.was_congested:
            if slot.round == self._round:
                self._shrink(0.5)
        elif slot.seconds is not None:
            self._compare(slot, slot.kind, slot.seconds)

    def _compare(self, slot: Slot, kind: Hashable, seconds: float) -> None:
        if slot.in_flight > 1:
            self._untried = False
            stretch = self._latencies.stretch(kind, seconds)
        else:
            stretch = 0.0
            if self._latencies.alone(kind, seconds):
                self._doubling = True  # requests took longer for another reason than congestion: find the limit again
            if self._untried:
                self._limit = float(min(FIRST_LIMIT, self.most, max(2, int(FIRST_QUEUE_SECONDS / max(seconds, 1e-3)))))
        if stretch <= 1 and 2 * slot.in_flight >= self._limit:  # a limit that is not used up proves nothing
            self._limit = min(self.most, self._limit + (1.0 if self._doubling else 1.0 / self._limit))
        if slot.round == self._round:
            self._judge(stretch)

    def _judge(self, stretch: float) -> None:
        """Reduce the limit if nearly all requests of a round took too long.

        In a queue all requests wait. Without one, only some are slow.
        """
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
        """Give free slots to those that wait, in turn: whoever comes before they run must not take them."""
        while self._in_flight < self.current and self._waiting:
            self._in_flight += 1
            self._waiting.popleft().set()
