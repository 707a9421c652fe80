"""Follows a publish that another process works on, or will work on.

It reads the journal a few times a second and changes nothing, so it works the same for every owner: the daemon,
another terminal, or several in turn.
"""

import time
from collections.abc import Callable, Generator
from pathlib import Path

from msgspec import Struct

from roar_publisher.lineage.project import find_project
from roar_publisher.publishing.changes import ChangeReporter
from roar_publisher.publishing.errors import Cancelled, Failed
from roar_publisher.publishing.finish import finish
from roar_publisher.publishing.observer import PublishObserver
from roar_publisher.publishing.result import Result, result_of
from roar_publisher.publishing.resuming import is_temporary, unreadable_error
from roar_publisher.publishing.status import explain, next_step
from roar_publisher.report import Noted
from roar_publisher.state.errors import Conclusion, Interrupted, LocalProblem, PublisherError, UsageProblem
from roar_publisher.state.machine import State
from roar_publisher.state.meanings import Turn
from roar_publisher.state.paths import PublishPaths, StateFolder
from roar_publisher.state.status import QUEUED, CountedStatus, JournalStatus
from roar_publisher.state.status_poller import StatusPoller
from roar_publisher.state.status_reader import read_all

POLL_SECONDS = 0.25
HANDOVER_SECONDS = 2.0
"""A pause without an owner that is longer than this is not a handover between two processes."""


class WatchStopped(Interrupted):
    """Watching was stopped, but the publish was not."""

    def __init__(self, status: CountedStatus) -> None:
        publish_id = status.plan.id
        continues = status.owner is not None or status.by_daemon
        kept = f"Publish {publish_id} {'continues' if continues else f'is not being worked on: {explain(status)}'}."
        super().__init__("stopped watching", kept=kept, next_step=f"roar publish --watch {publish_id}")
        self.publish_id = publish_id


class Halted(PublisherError):
    """No process will continue the publish unless the user acts. The exit code is that of publishing it."""

    def __init__(self, status: CountedStatus) -> None:
        publish_id, meaning = status.plan.id, status.meaning
        because = f"{status.reason}: {status.progress.detail or meaning.text}"
        if meaning.turn is Turn.USER:
            what, conclusion, or_else = "waits for you", meaning.conclusion, ""
        else:
            what, conclusion = "is not being worked on, and no daemon runs", Conclusion.INTERRUPTED
            or_else = "" if status.label == QUEUED else ", or: roar daemon start"
        super().__init__(
            f"publish {publish_id} {what} ({because})",
            kept="Everything that the registry acknowledged is kept.",
            next_step=f"{next_step(status)}{or_else}",
            reason=status.reason,
        )
        self.conclusion = conclusion
        self.publish_id = publish_id


class PublishWatch(Struct):
    """One publish that is followed. sleep: takes seconds. elapsed: seconds on a monotonic clock."""

    poller: StatusPoller
    observer: PublishObserver
    sleep: Callable[[float], None] = time.sleep
    elapsed: Callable[[], float] = time.monotonic

    def run(self, *, note: str = "") -> Result:
        """Poll until the publish ends, and return its result; see `steps`. KeyboardInterrupt raises WatchStopped."""
        steps = self.steps(note=note)
        try:
            while True:
                try:
                    next(steps)
                except StopIteration as end:
                    result: Result = end.value
                    return result
                self.sleep(POLL_SECONDS)
        except KeyboardInterrupt:
            raise WatchStopped(self.poller.poll().status) from None

    def steps(self, *, note: str = "") -> Generator[None, None, Result]:
        """Poll the publish once before each step, until it has ended, and return its result.

        note: a message to report first. Raises Failed, Cancelled or Unconfirmed if it ended so, and Halted if no
        process will continue it.
        """
        self.observer.watching(self.poller.plan())
        if note:
            self.observer.report(Noted(note))
        changes, owner_check = ChangeReporter(self.observer.report), _OwnerCheck(self.observer)
        seen = self.poller.poll()
        was_over = not seen.status.live
        while not was_over:
            changes.take(seen)
            self.observer.tick()
            if not seen.status.live or owner_check.finally_unowned(seen.status, self.elapsed()):
                break
            yield
            seen = self.poller.poll()
        return self._end(seen.status, was_over=was_over)

    def _end(self, status: CountedStatus, *, was_over: bool) -> Result:
        plan, progress = status.plan, status.progress
        match progress.state:
            case State.DONE:
                return finish(self.observer, result_of(status.paths, plan, progress, status.objects), again=was_over)
            case State.FAILED:
                raise Failed(plan.id, progress.detail, reason=progress.failure)
            case State.CANCELLED:
                raise Cancelled(plan.id)
            case _:
                raise Halted(status)


class _OwnerCheck:
    """Detects that no process will continue an unowned publish."""

    def __init__(self, observer: PublishObserver) -> None:
        self._observer = observer
        self._since: float | None = None
        self._reported = False

    def finally_unowned(self, status: CountedStatus, now: float) -> bool:
        """Return whether no process will continue it. now: seconds on a monotonic clock."""
        if status.owner is not None:
            self._since = None
            return False
        if status.parked:
            return True
        self._since = self._since or now
        if now - self._since < HANDOVER_SECONDS:
            return False
        if status.host.daemon is None:
            return True
        if not self._reported and status.next_attempt is None and status.meaning.turn is not Turn.NETWORK:
            self._reported = True
            self._observer.report(Noted("the daemon starts it when a slot is free"))
        return False


def newest_live(folder: StateFolder, cwd: Path) -> PublishPaths:
    """Return the newest live publish of the project around `cwd`.

    Raises UsageProblem if there is none, LocalProblem if a journal temporarily cannot be read.
    """
    project = find_project(cwd).root
    passing: tuple[PublishPaths, LocalProblem] | None = None
    for found in read_all(folder):
        if not isinstance(found, JournalStatus):
            passing = found if is_temporary(found[1]) else passing
        elif found.live and found.plan.project == str(project):
            return found.paths
    if passing is not None:
        raise unreadable_error(*passing)
    raise UsageProblem(f"no publish of {project} is in progress", next_step="roar publish, or: roar journal list")
