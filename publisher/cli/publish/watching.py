"""`roar publish --watch`: follows a publish that another process works on, or will work on.

It reads the journal a few times a second and changes nothing, so it works the same for every owner: the daemon,
another terminal, or several in turn.
"""

import os
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from roar_publisher.cli.display.base import Display
from roar_publisher.cli.display.changes import Changes
from roar_publisher.cli.display.poller import Poller, Snapshot
from roar_publisher.cli.display.result import Result
from roar_publisher.cli.failure import Cancelled, Failed
from roar_publisher.cli.publish.displays import choose_display
from roar_publisher.cli.publish.finish import published
from roar_publisher.cli.publish.options import Options
from roar_publisher.cli.publish.plan_check import contradiction_error, differences
from roar_publisher.cli.publish.resuming import is_temporary, unreadable_error
from roar_publisher.cli.publish.signals import stop_by_exception
from roar_publisher.cli.status import QUEUED, Circumstances, Standing
from roar_publisher.lineage.project import current_folder, find_project
from roar_publisher.report import Noted
from roar_publisher.state.errors import ExitCode, Interrupted, LocalProblem, PublisherError, UsageProblem
from roar_publisher.state.lock import owner
from roar_publisher.state.machine import State
from roar_publisher.state.paths import PublishPaths, StateFolder
from roar_publisher.state.reasons import Turn
from roar_publisher.state.survey import Summary, look, survey

LOOK_SECONDS = 0.25
HANDOVER_SECONDS = 2.0
"""A pause without an owner that is longer than this is not a handover between two processes."""


def watch(options: Options) -> int:
    """Follow the publish that `options.watch` names to its end. Returns or raises the same as publishing it would.

    Raises UsageProblem if there is none or it contradicts the other options, StillGoing when asked to stop, and
    Halted if no process will continue it.
    """
    stop_by_exception()
    folder = StateFolder.from_environment(os.environ)
    paths = folder.find(options.watch) if options.watch else _newest(folder, current_folder())
    with closing(choose_display(options)) as display, Poller(paths, time.monotonic) as lookout:
        if found := differences(options, lookout.plan(), paths):
            raise contradiction_error(lookout.plan(), found, verb="--watch")
        return PublishWatch(lookout, folder, display).run()


class WatchStopped(Interrupted):
    """Watching was stopped, but the publish was not."""

    def __init__(self, standing: Standing) -> None:
        publish_id = standing.summary.plan.id
        goes_on = standing.summary.owner is not None or standing.by_daemon
        kept = (
            f"Publish {publish_id} continues."
            if goes_on
            else f"Publish {publish_id} is not being worked on: {standing.why}."
        )
        super().__init__("stopped watching", kept=kept, next_step=f"roar publish --watch {publish_id}")
        self.publish_id = publish_id


class Halted(PublisherError):
    """No process will continue the publish unless the user acts. The exit code is that of publishing it."""

    def __init__(self, standing: Standing) -> None:
        publish_id, detail = standing.summary.plan.id, standing.summary.progress.detail
        because = f"{standing.reason}: {detail or standing.meaning.text}"
        if standing.meaning.turn is Turn.PERSON:
            what, code, or_else = "waits for you", standing.meaning.code, ""
        else:
            what, code = "is not being worked on, and no daemon runs", ExitCode.INTERRUPTED
            or_else = "" if standing.word == QUEUED else ", or: roar daemon start"
        super().__init__(
            f"publish {publish_id} {what} ({because})",
            kept="Everything that the registry acknowledged is kept.",
            next_step=f"{standing.next_step}{or_else}",
            reason=standing.reason,
        )
        self.exit_code = code
        self.publish_id = publish_id


@dataclass(slots=True)
class PublishWatch:
    """One publish that is followed.

    clock: Unix seconds. sleep: takes seconds. elapsed: seconds on a monotonic clock.
    """

    lookout: Poller
    folder: StateFolder
    display: Display
    clock: Callable[[], float] = time.time
    sleep: Callable[[float], None] = time.sleep
    elapsed: Callable[[], float] = time.monotonic

    def run(self, *, note: str = "") -> int:
        """Poll until the publish ends or no process will continue it; see `watch`. KeyboardInterrupt also ends it.

        note: a message to show first.
        """
        try:
            self.display.watching(self.lookout.plan())
            if note:
                self.display.report(Noted(note))
            first = sight = self.lookout.look()
            if first.live:
                sight = self._follow(sight)
        except KeyboardInterrupt:
            raise WatchStopped(self._standing()) from None
        return self._end(sight, was_over=not first.live)

    def _follow(self, sight: Snapshot) -> Snapshot:
        """Poll until the publish has ended or no process will continue it, and return that observation."""
        changes = Changes(self.display.report, self.clock)
        alone = _OwnerCheck(self.folder, self.display, self.clock)
        while True:
            changes.take(sight)
            self.display.tick()
            if not sight.live or alone.finally_unowned(sight, self.elapsed()):
                return sight
            self.sleep(LOOK_SECONDS)
            sight = self.lookout.look()

    def _end(self, sight: Snapshot, *, was_over: bool) -> int:
        plan, progress = self.lookout.plan(), sight.progress
        match progress.state:
            case State.DONE:
                result = Result(plan, progress, look(self.lookout.paths).objects)
                return published(self.display, result, again=was_over)
            case State.FAILED:
                raise Failed(plan.id, progress.detail, reason=progress.reason)
            case State.CANCELLED:
                raise Cancelled(plan.id)
            case _:
                raise Halted(self._standing())

    def _standing(self) -> Standing:
        return Standing(look(self.lookout.paths), Circumstances.of(self.folder, self.clock()))


class _OwnerCheck:
    """Detects that no process will continue an unowned publish."""

    def __init__(self, folder: StateFolder, display: Display, clock: Callable[[], float]) -> None:
        self._folder = folder
        self._display = display
        self._clock = clock
        self._since: float | None = None
        self._told = False

    def finally_unowned(self, sight: Snapshot, now: float) -> bool:
        if sight.owner is not None:
            self._since = None
            return False
        if sight.queued.parked:
            return True
        self._since = self._since or now
        if now - self._since < HANDOVER_SECONDS:
            return False
        if owner(self._folder.daemon_lock) is None:
            return True
        if not self._told and (sight.queued.next_attempt or 0.0) <= self._clock():
            self._told = True
            self._display.report(Noted("the daemon starts it when a slot is free"))
        return False


def _newest(folder: StateFolder, cwd: Path) -> PublishPaths:
    """Return the newest live publish of the project around `cwd`.

    Raises UsageProblem if there is none, LocalProblem if a journal temporarily cannot be read.
    """
    project = find_project(cwd).root
    passing: tuple[PublishPaths, LocalProblem] | None = None
    for found in survey(folder):
        if not isinstance(found, Summary):
            passing = found if is_temporary(found[1]) else passing
        elif found.live and found.plan.project == str(project):
            return found.paths
    if passing is not None:
        raise unreadable_error(*passing)
    raise UsageProblem(f"no publish of {project} is in progress", next_step="roar publish, or: roar journal list")
