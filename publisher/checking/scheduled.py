"""Verifies the publishes of this machine one after another, for a daemon that has nothing else to do."""

import logging
from collections.abc import Callable
from contextlib import ExitStack

import anyio
from msgspec import Struct
from msgspec.structs import replace

from roar_publisher.blocking import in_thread
from roar_publisher.checking.checks import due_again, record_check
from roar_publisher.checking.service import ObjectOrder, verify
from roar_publisher.checking.targets import own_target
from roar_publisher.exit_codes import ExitCode
from roar_publisher.state.errors import Interrupted, PublisherError
from roar_publisher.state.limits import TransferLimits
from roar_publisher.state.paths import StateFolder
from roar_publisher.state.reasons import Reason

WAIT_FOR_NETWORK = 1 / 8
"""The part of the usual time after which a registry that was away is asked again."""


class ScheduledChecks(Struct, frozen=True):
    """The checks of a daemon. every: seconds between two checks of one publish. limits: of reading objects.

    log: receives where a defect occurred.
    """

    folder: StateFolder
    every: float
    limits: TransferLimits
    clock: Callable[[], float]
    log: logging.Logger

    async def next(self, stop: anyio.Event) -> str | None:
        """Verify the publish that is due longest, and return a line for the log; None if none is due.

        stop: ends it, with Interrupted; what was read is not read again. What cannot be checked counts as checked, so
        that it is tried again when it is due again: after WAIT_FOR_NETWORK of the time if its registry is away.
        """
        due = await in_thread(due_again, self.folder, self.every, self.clock())
        if not due:
            return None
        found = due[0]
        earlier = 0.0
        try:
            with ExitStack() as journals:
                order = await in_thread(own_target, found.paths, journals)
                if order is None:
                    return None
                order = replace(order, objects=ObjectOrder(resume=True, limits=self.limits))
                verdict = await verify(order, self.folder, stop)
        except Interrupted:
            raise
        except PublisherError as problem:
            code, text = ExitCode.UNCHECKED, f"cannot be verified: {problem.what}"
            if problem.reason is Reason.OFFLINE:  # as on a laptop in the evening
                earlier = self.every * (1 - WAIT_FOR_NETWORK)
        except Exception as defect:  # counts, too: it would otherwise come first again
            self.log.error("publish %s", found.plan.id, exc_info=defect)
            code, text = ExitCode.UNCHECKED, f"cannot be verified: a defect of roar-publisher ({type(defect).__name__})"
        else:
            code = verdict.exit_code
            text = "verified: proven"
            if code is not ExitCode.PUBLISHED:
                text = f"verified, and it {'differs' if code is ExitCode.FAILED else 'cannot all be read'}"
                text += f": roar verify {found.plan.id}"
        await in_thread(record_check, self.folder, found, int(code), self.clock() - earlier)
        return f"publish {found.plan.id} {text}"
