"""Requests without an answer, reported to the observer long before they time out."""

from collections.abc import Iterator
from contextlib import AbstractAsyncContextManager, contextmanager
from typing import NoReturn

import anyio
from msgspec import Struct

from roar_publisher.report import Reporter, Waiting
from roar_publisher.state.reasons import Reason
from roar_publisher.tasks import background

NOTICE_SECONDS = 5.0
"""A request is reported after this time without an answer, and again each time it passes."""


class _RunningRequest(Struct, frozen=True, eq=False):
    """A running request. Times are anyio's. until: when it times out."""

    at: float
    until: float


class Silence:
    """The running requests of one publish. report: receives `Waiting(NO_ANSWER, …)`."""

    def __init__(self, report: Reporter) -> None:
        self._report = report
        self._running: dict[_RunningRequest, None] = {}  # oldest first
        self._any_running = anyio.Event()

    @contextmanager
    def running(self, within: float) -> Iterator[None]:
        """Register a running request for the length of the block. within: its timeout in seconds."""
        now = anyio.current_time()
        request = _RunningRequest(now, now + within)
        self._running[request] = None
        self._any_running.set()
        try:
            yield
        finally:
            del self._running[request]

    def reported(self) -> AbstractAsyncContextManager[None]:
        """Report the oldest request without an answer every NOTICE_SECONDS during the block."""
        return background(self._watch)

    async def _watch(self) -> NoReturn:
        reported_at = float("-inf")
        while True:
            oldest = next(iter(self._running), None)
            if oldest is None:
                self._any_running = anyio.Event()
                await self._any_running.wait()
                continue
            left = max(oldest.at, reported_at) + NOTICE_SECONDS - anyio.current_time()
            if left > 0:
                await anyio.sleep(left)
                continue
            reported_at = anyio.current_time()
            self._report(Waiting(Reason.NO_ANSWER, max(0.0, oldest.until - reported_at)))
