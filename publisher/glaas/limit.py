"""How many requests may be under way at once: grown while the server keeps up, halved when it does not.

It begins like TCP: doubling (one more a success) until the first sign of congestion, then additive (one more a round),
halved on 429, 503 and silence.  Everything that was sent before a halving belongs to the old round: its failures are
old news and halve nothing again.
"""

from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio

FIRST_LIMIT = 32


class Slot:
    """One request's share.  Call `congested` where the server could not keep up; without it, it went well."""

    __slots__ = ("round", "strained")

    def __init__(self, round_: int) -> None:
        self.round = round_
        self.strained = False

    def congested(self) -> None:
        self.strained = True


class AdaptiveLimit:
    """Shared by every task that sends.  `most`: what the user allows; never passed."""

    def __init__(self, most: int) -> None:
        self.most = most
        self._limit = float(min(FIRST_LIMIT, most))  # written by _learn alone
        self._in_flight = 0  # written by slot alone
        self._round = 0  # raised by each halving
        self._doubling = True  # until the first halving
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
        slot = Slot(self._round)
        try:
            yield slot
        finally:
            self._in_flight -= 1
            self._learn(slot)
            self._wake()

    def _learn(self, slot: Slot) -> None:
        if slot.strained:
            if slot.round == self._round:
                self._round += 1
                self._doubling = False
                self._limit = max(1.0, self._limit / 2)
        elif self._limit < self.most:
            self._limit = min(self.most, self._limit + (1.0 if self._doubling else 1.0 / self._limit))

    def _wake(self) -> None:
        room = self.current - self._in_flight
        while room > 0 and self._waiting:
            self._waiting.popleft().set()
            room -= 1
