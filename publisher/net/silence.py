"""Requests that get no answer: whoever watches hears of them long before they are given up on."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import NoReturn

import anyio

from roar_publisher.report import Reporter, Waiting
from roar_publisher.state.errors import PublisherError

NOTICE_SECONDS = 5.0
"""After so long without an answer a request is reported, and then as often again until it has one."""


@dataclass(frozen=True, slots=True, eq=False)
class _Asked:
    """A request under way.  Times are anyio's.  until: when it is given up on."""

    at: float
    until: float


class Silence:
    """The requests of one publish that are under way.  report: hears `Waiting("no answer", …)`."""

    def __init__(self, report: Reporter) -> None:
        self._report = report
        self._asked: dict[_Asked, None] = {}  # the oldest first
        self._some = anyio.Event()

    @contextmanager
    def asked(self, within: float) -> Iterator[None]:
        """A request is under way inside of the block.  within: seconds after which it is given up on."""
        now = anyio.current_time()
        asked = _Asked(now, now + within)
        self._asked[asked] = None
        self._some.set()
        try:
            yield
        finally:
            del self._asked[asked]

    @asynccontextmanager
    async def reported(self) -> AsyncIterator[None]:
        """While inside, the oldest request without an answer is reported every NOTICE_SECONDS."""
        failure: PublisherError | None = None
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._watch)
            try:
                yield
            except PublisherError as error:
                failure = error  # raised outside of the task group, which would wrap it
            tasks.cancel_scope.cancel()
        if failure is not None:
            raise failure

    async def _watch(self) -> NoReturn:
        reported_at = float("-inf")
        while True:
            oldest = next(iter(self._asked), None)
            if oldest is None:
                self._some = anyio.Event()
                await self._some.wait()
                continue
            left = max(oldest.at, reported_at) + NOTICE_SECONDS - anyio.current_time()
            if left > 0:
                await anyio.sleep(left)
                continue
            reported_at = anyio.current_time()
            self._report(Waiting("no answer", max(0.0, oldest.until - reported_at)))
