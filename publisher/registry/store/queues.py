"""Queues with a concurrency limit, one per key. An empty queue is removed."""

from collections.abc import AsyncIterator, Hashable
from contextlib import asynccontextmanager

import anyio
from msgspec import Struct, field


class _Queue(Struct):
    limiter: anyio.CapacityLimiter
    length: int = 0


class Queues(Struct):
    """The queues of one kind. Use them from the event loop's thread only."""

    _queues: dict[Hashable, _Queue] = field(default_factory=dict)

    def length(self, key: Hashable) -> int:
        """Return the number of callers in a queue, including those that hold a turn."""
        queue = self._queues.get(key)
        return 0 if queue is None else queue.length

    @asynccontextmanager
    async def turn(self, key: Hashable, at_once: int) -> AsyncIterator[None]:
        """Wait until fewer than `at_once` callers hold a turn for the key, then hold one for the duration of the block.

        Turns are granted in order of arrival. A cancelled caller leaves the queue.
        """
        queue = self._queues.setdefault(key, _Queue(anyio.CapacityLimiter(at_once)))
        queue.length += 1
        # One task may hold several turns, so each turn is a separate borrower.
        borrower = object()
        try:
            await queue.limiter.acquire_on_behalf_of(borrower)
            try:
                yield
            finally:
                queue.limiter.release_on_behalf_of(borrower)
        finally:
            queue.length -= 1
            if queue.length == 0:
                del self._queues[key]
