"""A limit on bytes a second, shared by whoever is given it: every request to a store, several stores of a process."""

from collections.abc import AsyncGenerator, AsyncIterable

import anyio

SHARES = 16
"""A second's bytes go out in at least so many pieces, so that no request stands still for long while others are served:
stores give up on one that does (S3: RequestTimeout)."""


class Pace:
    """At most `rate` bytes a second over time, in the order of asking.  Belongs to one event loop."""

    def __init__(self, rate: int) -> None:
        self._rate = rate
        self._piece_bytes = max(1, rate // SHARES)
        self._free_at = 0.0  # anyio time at which what was let through is paid for

    async def wait(self, size: int) -> None:
        """Return when `size` more bytes may go.  Cancelling gives no bytes back."""
        now = anyio.current_time()
        begin = max(now, self._free_at)
        self._free_at = begin + size / self._rate
        await anyio.sleep(begin - now)

    async def paced(self, body: AsyncIterable[bytes]) -> AsyncGenerator[bytes, None]:
        """The bytes of a body, in pieces that go out when they may."""
        async for chunk in body:
            for start in range(0, len(chunk), self._piece_bytes):
                piece = chunk[start : start + self._piece_bytes]
                await self.wait(len(piece))
                yield piece
