"""Probes unreachable servers on behalf of all publishes that need them, with one probe at a time for each address."""

import random
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager

import anyio
from anyio.abc import TaskGroup

FIRST_PROBE_SECONDS = 1.0
LONGEST_PROBE_SECONDS = 4.0
"""A returning server is noticed within five seconds, including the answer to the probe."""

ReachabilityProbe = AbstractAsyncContextManager[Callable[[], Awaitable[bool]]]
"""A context manager that provides a function to ask whether anything answers at a URL."""


class ReachabilityMonitor:
    """Probes unreachable addresses until they answer, then calls `on_reachable`."""

    def __init__(
        self,
        tasks: TaskGroup,
        probe: Callable[[str], ReachabilityProbe],
        *,
        rng: random.Random,
        on_reachable: Callable[[], None],
    ) -> None:
        self._tasks = tasks
        self._probe = probe
        self._rng = rng
        self._on_reachable = on_reachable
        self._unreachable: dict[str, anyio.Event] = {}  # by URL; the event cuts short the pause before the next probe

    def is_unreachable(self, url: str) -> bool:
        """Return whether the URL is being probed."""
        return url in self._unreachable

    def watch(self, url: str) -> None:
        """Start to probe the URL, unless it is being probed already."""
        if url not in self._unreachable:
            self._unreachable[url] = anyio.Event()
            self._tasks.start_soon(self._keep_probing, url)

    def probe_now(self) -> None:
        """Probe all addresses now, because the network may be back."""
        for pause in self._unreachable.values():
            pause.set()

    async def _keep_probing(self, url: str) -> None:
        seconds = FIRST_PROBE_SECONDS
        async with self._probe(url) as anything_answers:
            while True:
                # Created before the probe, so that a `probe_now` during it takes effect.
                pause = self._unreachable[url] = anyio.Event()
                next_probe_at = anyio.current_time() + seconds * self._rng.uniform(0.5, 1.0)
                if await anything_answers():
                    break
                with anyio.CancelScope(deadline=next_probe_at):  # a slow probe counts toward the pause
                    await pause.wait()
                seconds = min(seconds * 2, LONGEST_PROBE_SECONDS)
        del self._unreachable[url]
        self._on_reachable()
