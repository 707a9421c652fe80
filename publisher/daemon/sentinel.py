"""Waits for servers that are away, on behalf of every publish that needs them: one knock at a time for each address."""

import random
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager

import anyio
from anyio.abc import TaskGroup

FIRST_KNOCK_SECONDS = 1.0
LONGEST_KNOCK_SECONDS = 4.0
"""A server that comes back is noticed within five seconds, the answer to the knock included."""

Knocking = AbstractAsyncContextManager[Callable[[], Awaitable[bool]]]
"""A way to ask whether anything answers at a URL, over and over."""


class Sentinel:
    """Knocks at what is away until it answers, then calls `back`."""

    def __init__(
        self, tasks: TaskGroup, knocking: Callable[[str], Knocking], *, rng: random.Random, back: Callable[[], None]
    ) -> None:
        self._tasks = tasks
        self._knocking = knocking
        self._rng = rng
        self._back = back
        self._away: dict[str, anyio.Event] = {}  # by URL; the event cuts the pause before the next knock short

    @property
    def away(self) -> bool:
        """Whether there is anything to knock at."""
        return bool(self._away)

    def is_away(self, url: str) -> bool:
        return url in self._away

    def wait_for(self, url: str) -> None:
        """Begin to knock there, unless somebody does already."""
        if url not in self._away:
            self._away[url] = anyio.Event()
            self._tasks.start_soon(self._keep_knocking, url)

    def hurry(self) -> None:
        """The network may have come back: knock everywhere now."""
        for pause in self._away.values():
            pause.set()

    async def _keep_knocking(self, url: str) -> None:
        seconds = FIRST_KNOCK_SECONDS
        async with self._knocking(url) as anything_answers:
            while True:
                pause = self._away[url] = anyio.Event()  # before the knock: who hurries us meanwhile is heard after it
                next_knock = anyio.current_time() + seconds * self._rng.uniform(0.5, 1.0)
                if await anything_answers():
                    break
                with anyio.CancelScope(deadline=next_knock):  # a knock that hung has taken the pause already
                    await pause.wait()
                seconds = min(seconds * 2, LONGEST_KNOCK_SECONDS)
        del self._away[url]
        self._back()
