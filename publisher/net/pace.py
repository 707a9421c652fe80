"""A limit on bytes per second, shared by every request that gets it: to one store or to several."""

from collections.abc import AsyncGenerator, AsyncIterable

import anyio

SHARES = 16
"""A second's bytes are sent in at least this many pieces, so that no request stalls while others are served.

Stores abort a request that stalls (S3: RequestTimeout).
"""


class Pace:
    """At most `rate` bytes per second over time, in FIFO order. Belongs to one event loop."""

    def __init__(self, rate: int) -> None:
        self._rate = rate
        self._piece_bytes = max(1, rate // SHARES)
        self._free_at = 0.0  # anyio time when the rate has caught up with the bytes sent

    async def wait(self, size: int) -> None:
        """Wait until `size` more bytes may be sent. Cancelling gives no bytes back."""
        now = anyio.current_time()
        begin = max(now, self._free_at)
        self._free_at = begin + size / self._rate
        await anyio.sleep(begin - now)

    async def paced(self, body: AsyncIterable[bytes]) -> AsyncGenerator[bytes, None]:
        """Yield the bytes of a body in pieces, each when it may be sent."""
        async for chunk in body:
            for start in range(0, len(chunk), self._piece_bytes):
                piece = chunk[start : start + self._piece_bytes]
                await self.wait(len(piece))
                yield piece
