"""Probes unreachable servers on behalf of all publishes that need them, with one probe at a time for each address."""

import random
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager

import anyio
from anyio.abc import TaskGroup

FIRST_PROBE_SECONDS = 1.0
LONGEST_PROBE_SECONDS = 4.0
"""A returning server is noticed within five seconds, including the answer to the probe."""

Probing = AbstractAsyncContextManager[Callable[[], Awaitable[bool]]]
"""A context manager that provides a function to ask whether anything answers at a URL."""


class ReachabilityMonitor:
    """Probes unreachable addresses until they answer, then calls `back`."""

    def __init__(
        self, tasks: TaskGroup, probing: Callable[[str], Probing], *, rng: random.Random, back: Callable[[], None]
    ) -> None:
        self._tasks = tasks
        self._probing = probing
        self._rng = rng
        self._back = back
        self._away: dict[str, anyio.Event] = {}  # by URL; the event cuts short the pause before the next probe

    @property
    def away(self) -> bool:
        """Whether any address is being probed."""
        return bool(self._away)

    def is_away(self, url: str) -> bool:
        return url in self._away

    def wait_for(self, url: str) -> None:
        """Start to probe the URL, unless it is being probed already."""
        if url not in self._away:
            self._away[url] = anyio.Event()
            self._tasks.start_soon(self._keep_probing, url)

    def hurry(self) -> None:
        """Probe all addresses now, because the network may be back."""
        for pause in self._away.values():
            pause.set()

    async def _keep_probing(self, url: str) -> None:
        seconds = FIRST_PROBE_SECONDS
        async with self._probing(url) as anything_answers:
            while True:
                # Created before the probe, so that a `hurry` during it takes effect.
                pause = self._away[url] = anyio.Event()
                next_knock = anyio.current_time() + seconds * self._rng.uniform(0.5, 1.0)
                if await anything_answers():
                    break
                with anyio.CancelScope(deadline=next_knock):  # a slow probe counts toward the pause
                    await pause.wait()
                seconds = min(seconds * 2, LONGEST_PROBE_SECONDS)
        del self._away[url]
        self._back()
