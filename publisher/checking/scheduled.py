"""Verifies the publishes of this machine one after another, for a daemon that has nothing else to do."""

import logging
from collections import deque
from collections.abc import Callable
from contextlib import ExitStack

import anyio
from msgspec.structs import replace

from roar_publisher.blocking import in_thread
from roar_publisher.checking.checks import DueCheck, due_again, record_check, still_due
from roar_publisher.checking.service import ObjectOrder, verify
from roar_publisher.checking.targets import own_target
from roar_publisher.exit_codes import ExitCode
from roar_publisher.state.errors import Interrupted, PublisherError
from roar_publisher.state.limits import TransferLimits
from roar_publisher.state.paths import StateFolder
from roar_publisher.state.reasons import Reason

WAIT_FOR_NETWORK = 1 / 8
"""The part of the usual time after which a registry that was away is asked again."""


class ScheduledChecks:
    """The checks of a daemon. The journals are read once for all checks that are due, not for each of them.

    every: seconds between two checks of one publish. limits: of reading objects. log: receives where a defect occurred.
    """

    def __init__(
        self,
        folder: StateFolder,
        every: float,
        limits: TransferLimits,
        clock: Callable[[], float],
        log: logging.Logger,
    ) -> None:
        self._folder = folder
        self._every = every
        self._limits = limits
        self._clock = clock
        self._log = log
        self._due = deque[DueCheck]()  # what becomes due meanwhile comes after these

    async def next(self, stop: anyio.Event) -> str | None:
        """Verify the publish that is due longest, and return a line for the log; None if none is due.

        stop: ends it, with Interrupted; what was read is not read again. What cannot be checked counts as checked, so
        that it is tried again when it is due again: after WAIT_FOR_NETWORK of the time if its registry is away.
        """
        found = await in_thread(self._take)
        if found is None:
            return None
        earlier = 0.0
        try:
            with ExitStack() as journals:
                order = await in_thread(own_target, found.paths, journals)
                if order is None:
                    return None
                order = replace(order, objects=ObjectOrder(resume=True, limits=self._limits))
                verdict = await verify(order, self._folder, stop)
        except Interrupted:
            self._due.appendleft(found)
            raise
        except PublisherError as problem:
            code, text = ExitCode.UNCHECKED, f"cannot be verified: {problem.what}"
            if problem.reason is Reason.OFFLINE:  # as on a laptop in the evening
                earlier = self._every * (1 - WAIT_FOR_NETWORK)
        except Exception as defect:  # counts, too: it would otherwise come first again
            self._log.error("publish %s", found.paths.id, exc_info=defect)
            code, text = ExitCode.UNCHECKED, f"cannot be verified: a defect of roar-publisher ({type(defect).__name__})"
        else:
            code = verdict.exit_code
            text = "verified: proven"
            if code is not ExitCode.PUBLISHED:
                text = f"verified, and it {'differs' if code is ExitCode.FAILED else 'cannot all be read'}"
                text += f": roar verify {found.paths.id}"
        await in_thread(record_check, self._folder, found, int(code), self._clock() - earlier)
        return f"publish {found.paths.id} {text}"

    def _take(self) -> DueCheck | None:
        """Take what is due longest out of the list, which is read again once it is used up."""
        if not self._due:
            self._due.extend(due_again(self._folder, self._every, self._clock()))
        while self._due:
            found = self._due.popleft()
            if still_due(self._folder, found, self._every, self._clock()):
                return found
        return None
