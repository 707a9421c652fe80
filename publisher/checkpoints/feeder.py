"""Turns submitted checkpoints into puts that the daemon carries out: one at a time in each series, the oldest first.

One that cannot be planned lets the others go first, and is tried again after them.

Everything is decided from the files of the series and the journals of the puts, so another daemon continues after a
kill at any moment. Where a checkpoint goes is chosen first: it replaces nothing that the destination has from another
clone of the project, or another machine. A put that was planned before its id was noted is found by its destination,
which no other has.
"""

import logging
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeVar

from msgspec.structs import replace

from roar_publisher.checkpoints.record import End, Record
from roar_publisher.checkpoints.series import DONE, FOLDER, TAKEN, WAITING, Series, registered, series_in
from roar_publisher.checkpoints.snapshot import has_clone
from roar_publisher.state.errors import Conclusion, Interrupted, PublisherError, Transient, UsageProblem
from roar_publisher.state.machine import State
from roar_publisher.state.paths import StateFolder
from roar_publisher.state.reasons import Reason
from roar_publisher.state.status_reader import read_status

if TYPE_CHECKING:
    from roar_publisher.state.status import JournalStatus


class Stoppable(Protocol):
    """What another thread may ask to end early."""

    def stop(self) -> None: ...


T = TypeVar("T")
S = TypeVar("S", bound=Stoppable)

RETRY_SECONDS = 60.0
"""How long a series waits after its next checkpoint could not be planned, or its folder not be read."""
GONE = frozenset({Reason.FILE_CHANGED, Reason.UNREADABLE, Reason.NOT_A_FILE})
"""Reasons for which a put cannot read what was submitted."""
AGREE = "make the CheckpointPublisher again with yes=True, which agrees to what waits, too"


class CheckpointFeeder:
    """Plans the puts of every series that a state folder knows. `feed` runs in one thread; any may call `stop`.

    clock: seconds on a monotonic clock.
    """

    def __init__(
        self, folder: StateFolder, *, log: logging.Logger, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._folder = folder
        self._log = log
        self._clock = clock
        self._paused: dict[Path, float] = {}  # until when, by the folder that could not be used
        self._missed: set[Path] = set()  # projects that are not there any more, which was logged
        # By series, what lets the others go first; what was tried last is at the end.
        self._passed: dict[Path, list[str]] = {}
        self._call: Stoppable | None = None
        self._stopped = False

    def feed(self) -> bool:
        """Advance every series. Return whether one did: then there may be more to do. Blocks while files are read."""
        advanced = False
        for folder in self._listed(registered, self._folder.root / FOLDER):
            self._warn_if_gone(folder.parents[2])
            for series in self._listed(series_in, folder):
                if not self._stopped and not self._is_paused(series.folder):
                    advanced |= self._advance_safely(series)
        return advanced

    def start(self) -> None:
        """Let `feed` work, also after a `stop`."""
        self._stopped = False

    def stop(self) -> None:
        """Let `feed` return soon, until the next `start`; a checkpoint that it reads goes back into the queue."""
        self._stopped = True
        if self._call is not None:
            self._call.stop()

    def _listed(self, listing: Callable[[Path], Iterator[T]], folder: Path) -> list[T]:
        """Return what a listing of a folder yields. One that cannot be read hides no other, and is read later."""
        if self._is_paused(folder):
            return []
        try:
            return list(listing(folder))
        except OSError as error:
            self._pause(folder)
            self._log.warning("the checkpoints in %s cannot be read: %s", folder, error)
            return []

    def _warn_if_gone(self, project: Path) -> None:
        if project not in self._missed and not os.path.lexists(project):
            self._missed.add(project)
            self._log.warning("%s is gone; checkpoints that wait there are published once it is back", project)

    def _is_paused(self, folder: Path) -> bool:
        return self._clock() < self._paused.get(folder, 0.0)

    def _pause(self, folder: Path) -> None:
        self._paused[folder] = self._clock() + RETRY_SECONDS

    def _advance_safely(self, series: Series) -> bool:
        try:
            return self._advance(series)
        except PublisherError as problem:
            what, next_step = problem.what, problem.next_step
        except OSError as error:
            what, next_step = f"the queue {series.folder} cannot be used: {error}", ""
        except Exception:
            self._log.exception("a defect keeps checkpoints from being published")
            what, next_step = "the program itself is at fault", "roar daemon logs"
        self._pause(series.folder)
        self._report(series, what, next_step)
        return False

    def _report(self, series: Series, what: str, next_step: str) -> None:
        if not self._stopped:
            self._log.warning("checkpoints of %s: %s; next: %s", series.folder.parents[3], what, next_step)
            with suppress(OSError):
                series.set_problem(what, next_step)

    def _advance(self, series: Series) -> bool:
        taken = series.records(TAKEN)
        failed = [one for one in taken if one.end == End.FAILED]
        if any([self._look_again(series, one) for one in failed]):
            return True
        if len(taken) > len(failed):
            return self._follow(series, next(one for one in taken if one.end != End.FAILED))
        for record in self._in_turn(series):
            if series.move(record.name, WAITING, TAKEN):  # otherwise it was skipped at this moment
                try:
                    self._plan(series, record)
                except PublisherError as problem:
                    if not self._is_next_untried(series, record):
                        raise
                    self._report(series, problem.what, problem.next_step)
                return True
        return False

    def _in_turn(self, series: Series) -> list[Record]:
        """Return what waits: the oldest first, then what could not be planned, in the order in which it was tried."""
        passed = self._passed.get(series.folder, [])
        waiting = series.records(WAITING)
        return sorted(waiting, key=lambda one: passed.index(one.name) if one.name in passed else -1)

    def _is_next_untried(self, series: Series, failed: Record) -> bool:
        """Return whether there is another one to be tried at once, because what is wrong may be wrong with one only."""
        passed = self._passed.get(series.folder, [])
        return failed.name in passed and any(one.name not in passed for one in series.records(WAITING))

    def _pass(self, series: Series, record: Record) -> None:
        """Let the others go first."""
        waiting = {one.name for one in series.records(WAITING)} - {record.name}
        passed = [name for name in self._passed.get(series.folder, []) if name in waiting]
        self._passed[series.folder] = [*passed, record.name]

    def _look_again(self, series: Series, record: Record) -> bool:
        """Note what became of a put that failed: another attempt, or its end. Return whether anything did."""
        try:
            status = self._status(record.publish_id) if record.publish_id else None
        except PublisherError:  # its journal cannot be read now
            return False
        state = State.CANCELLED if status is None else status.progress.state
        if state is State.CANCELLED or (state is State.FAILED and series.is_superseded(record)):
            series.finish(record)
        elif state is not State.FAILED:
            series.update(TAKEN, replace(record, end="", detail=""))
        return state is not State.FAILED

    def _follow(self, series: Series, record: Record) -> bool:
        """Note what became of the put of a checkpoint."""
        if not record.publish_id:
            self._plan(series, record, again=True)
            return True
        status = self._status(record.publish_id)
        if status is None:
            series.finish(replace(record, end=End.FAILED.value, detail="its publish was removed"))
            return True
        progress = status.progress
        if progress.state is State.DONE:
            series.finish(replace(record, end=End.PUBLISHED.value, hash=progress.hash or "", url=progress.url or ""))
        elif progress.state is State.FAILED:
            series.fail(record, progress.detail or str(progress.state))
        elif progress.state is State.CANCELLED:
            detail = progress.detail or str(progress.state)
            series.finish(replace(record, end=End.FAILED.value, detail=detail))
        elif status.queued.parked and status.reason in GONE:
            from roar_publisher.publishing.calls import cancel_by_id

            series.update(TAKEN, replace(record, publish_id=""))
            cancel_by_id(record.publish_id)
            self._changed(series, record)
        else:
            return False
        return True

    def _changed(self, series: Series, record: Record) -> None:
        """Read the clone instead, if it was not that which changed; otherwise give the checkpoint up."""
        if not record.cloned and has_clone(record.snapshot, len(record.sources)):
            self._plan(series, record, again=True)
        else:
            series.finish(replace(record, end=End.CHANGED.value, publish_id=""))

    def _plan(self, series: Series, record: Record, *, again: bool = False) -> None:
        """Freeze the put of a checkpoint that was taken.

        Raises PublisherError; the checkpoint then waits again, and says why.
        """
        publish_id = self._planned(record) if again and record.placed else None
        if publish_id is None:
            record = replace(record, publish_id="", cloned=has_clone(record.snapshot, len(record.sources)))
            series.update(TAKEN, record)
            try:
                if not record.placed:
                    record = self._place(series, record)
                publish_id = self._put(replace(record, yes=series.has_agreed(record)))
            except PublisherError as problem:
                if problem.reason in GONE:
                    self._changed(series, record)
                    return
                if problem.conclusion is not Conclusion.STOPPED:
                    series.update(TAKEN, replace(record, detail=problem.what))
                    if not isinstance(problem, Transient):  # that is not wrong with this one alone
                        self._pass(series, record)
                series.move(record.name, TAKEN, WAITING)
                raise
        series.update(TAKEN, replace(record, publish_id=publish_id, detail=""))
        series.set_problem("", "")
        if record.name in self._passed.get(series.folder, []):
            del self._passed[series.folder]  # what was wrong with it was perhaps wrong with the others, too

    def _planned(self, record: Record) -> str | None:
        """Return the put that an earlier process planned for a checkpoint."""
        from roar_publisher.storage.addresses import parse_destination

        wanted = parse_destination(record.destination)  # a plan has the store's form of it
        for paths in self._folder.all_publishes():
            with suppress(PublisherError):  # of another publish, whose journal cannot be read
                status = read_status(paths)
                destination = status.plan.destination
                if destination and status.progress.state is not State.CANCELLED:
                    if parse_destination(destination) == wanted:
                        return paths.id
        return None

    def _status(self, publish_id: str) -> "JournalStatus | None":
        with suppress(UsageProblem):
            return read_status(self._folder.find(publish_id))
        return None

    def _place(self, series: Series, record: Record) -> Record:
        """Choose where a checkpoint is stored, so that it replaces nothing, and note it."""
        from roar_publisher.checkpoints.placing import free_destination
        from roar_publisher.publishing.threads import ThreadRunner

        others = [one for state in (WAITING, TAKEN, DONE) for one in series.records(state) if one.name != record.name]
        with self._stoppable(ThreadRunner()) as runner:
            destination = free_destination(record, {one.destination for one in others}, runner)
        record = replace(record, destination=destination, placed=True)
        series.update(TAKEN, record)
        return record

    def _put(self, record: Record) -> str:
        """Plan the put, and return its id."""
        from roar_publisher.checkpoints.order import order_of
        from roar_publisher.publishing.calls import Call
        from roar_publisher.publishing.consent import MissingConsent

        with self._stoppable(Call(order_of(record), None)) as call:
            try:
                return call.run().publish_id
            except MissingConsent as problem:
                problem.next_step = AGREE  # there is no call that the user could repeat
                raise

    @contextmanager
    def _stoppable(self, call: S) -> Iterator[S]:
        """Let `stop` stop what is called in the block."""
        self._call = call
        try:
            if self._stopped:
                raise Interrupted("the daemon stops")
            yield call
        except PublisherError as error:
            if error.conclusion is Conclusion.STOPPED:
                self._stopped = True
            raise
        finally:
            self._call = None
