"""Verifies what was published (`[publisher] verify_every`), while there is nothing to publish."""

import logging
from collections.abc import Callable
from typing import Protocol

import anyio
from anyio.abc import TaskGroup

from roar_publisher.state.errors import Interrupted, PublisherError

PAUSE_SECONDS = 600.0
"""How long to wait until what is due is looked for again, if nothing was, or if that failed."""


class Checks(Protocol):
    """What is verified. `next` verifies what is due longest and returns a line for the log; None if nothing is due.

    stop: ends it soon, with Interrupted.
    """

    async def next(self, stop: anyio.Event) -> str | None: ...


class Verifying:
    """The checks of a daemon, if it makes any. Never beside a publish: `give_way` ends the one that is under way.

    checks: makes them when they are needed first, because their imports take memory; returns None to make none.
    """

    def __init__(self, checks: Callable[[], Checks | None], log: logging.Logger, wake: Callable[[], None]) -> None:
        self._make = checks
        self._checks: Checks | None = None
        self._log = log
        self._wake = wake
        self._stop: anyio.Event | None = None  # of the check that is under way
        self._not_before = 0.0  # anyio time

    @property
    def active(self) -> bool:
        """Whether a check is under way."""
        return self._stop is not None

    def start(self, tasks: TaskGroup) -> None:
        """Verify what is due longest in a task, unless a check is under way. Call if there is nothing to publish."""
        if self.active or anyio.current_time() < self._not_before:
            return
        self._checks = self._checks or self._make()
        if self._checks is None:
            self._not_before = float("inf")
            return
        self._stop = anyio.Event()
        tasks.start_soon(self._run, self._checks, self._stop)

    def give_way(self) -> None:
        """End the check that is under way soon; it is continued when there is nothing to publish."""
        if self._stop is not None:
            self._stop.set()

    async def _run(self, checks: Checks, stop: anyio.Event) -> None:
        done = None
        try:
            done = await checks.next(stop)
            if done is not None:
                self._log.info("%s", done)
        except Interrupted:
            return
        except PublisherError as problem:
            self._log.error("%s", problem.what)
        except Exception:  # whatever a check meets, the daemon goes on publishing
            self._log.exception("a defect keeps publishes from being verified")
        finally:
            self._stop = None
            if done is None and not stop.is_set():
                self._not_before = anyio.current_time() + PAUSE_SECONDS
        self._wake()
