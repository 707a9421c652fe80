"""A limit on bytes a second, shared by every request to one store."""

from collections.abc import AsyncGenerator, AsyncIterable

import anyio


class Pace:
    """At most `rate` bytes a second over time; a single chunk goes out whole."""

    def __init__(self, rate: int) -> None:
        self._rate = rate
        self._free_at = 0.0  # anyio time at which what was let through is paid for

    async def wait(self, size: int) -> None:
        """Return when `size` more bytes may go.  Cancelling gives no bytes back."""
        now = anyio.current_time()
        begin = max(now, self._free_at)
        self._free_at = begin + size / self._rate
        await anyio.sleep(begin - now)

    async def paced(self, body: AsyncIterable[bytes]) -> AsyncGenerator[bytes, None]:
        """The chunks of a body, each when it may go."""
        async for chunk in body:
            await self.wait(len(chunk))
            yield chunk
