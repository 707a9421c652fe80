"""`CheckpointPublisher`: what a training loop hands its checkpoints to. docs/python.md describes it."""

import atexit
import logging
import math
import operator
import os
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from threading import RLock
from typing import Literal, Self

from msgspec.structs import replace

from roar_publisher.checkpoints.background import Background
from roar_publisher.checkpoints.opening import open_series, settings_of
from roar_publisher.checkpoints.record import End, HeldSource, Record
from roar_publisher.checkpoints.series import DONE, TAKEN, WAITING
from roar_publisher.checkpoints.snapshot import (
    HeldFiles,
    hold,
    new_snapshot_folder,
    remove_snapshot_folder,
    rewrites_in_place,
)
from roar_publisher.checkpoints.view import CheckpointStatus, checkpoints_of, view
from roar_publisher.publishing.arguments import StrPath, Visibility
from roar_publisher.state.errors import LocalProblem, UsageProblem
from roar_publisher.state.reasons import Reason
from roar_publisher.storage.store import check_key

log = logging.getLogger("roar_publisher")
POLL_SECONDS = 0.2
OnSkip = Callable[[CheckpointStatus], object]


class CheckpointPublisher:
    """Publishes the checkpoints of one training, and of those that resume it, below one destination.

    every: the fewest steps between two checkpoints that are accepted. keep: how many snapshots of published checkpoints
    stay on this machine; nothing is ever removed from the destination. best: the metric whose best checkpoint so far is
    not skipped, by `mode`. max_pending_bytes: the most that checkpoints may hold that are not published yet.
    on_skip: called by `submit` and `close` with each checkpoint that will not be published. start_daemon: whether to
    start the daemon if none runs. project, registry, visibility, yes: as for `put`. message: what the puts are for.

    Raises UsageProblem and LocalProblem for a project, destination or work tree that no put could use. Needs no
    network. Several threads may use it, but only the process that made it.
    """

    def __init__(
        self,
        destination: StrPath,
        *,
        visibility: Visibility | None,
        project: StrPath = ".",
        registry: str | None = None,
        every: int = 1,
        keep: int = 0,
        best: str | None = None,
        mode: Literal["min", "max"] = "min",
        max_pending_bytes: int | None = None,
        on_skip: OnSkip | None = None,
        message: str = "checkpoint",
        start_daemon: bool = True,
        yes: bool = False,
    ) -> None:
        if every < 1 or keep < 0 or mode not in ("min", "max"):
            raise UsageProblem(
                f"every={every}, keep={keep} or mode={mode!r} is not valid",
                next_step="use every >= 1, keep >= 0, and mode 'min' or 'max'",
            )
        self._settings = settings_of(
            destination, project, visibility=visibility, registry=registry, message=message, keep=keep, yes=yes
        )
        folder, self._series = open_series(self._settings)
        self._every, self._best, self._sign = every, best, 1 if mode == "min" else -1
        self._most, self._on_skip = max_pending_bytes, on_skip
        self._pid = os.getpid()
        self._lock = RLock()  # a signal handler may submit, or close, while its thread submits
        self._held: dict[str, HeldFiles] = {}  # by path, what was submitted last
        self._in_place: set[str] = set()  # paths that are rewritten in place
        earlier = sorted(
            (one for state in (WAITING, TAKEN, DONE) for one in self._series.records(state)),
            key=lambda one: one.created_at,
        )
        self._last_step = earlier[-1].step if earlier else None
        self._find_best()
        unfinished = [one for state in (WAITING, TAKEN) for one in self._series.records(state)]
        self._open = {one.name: one for one in unfinished}  # not known to have ended
        self._failed = {one.name for one in unfinished if one.end == End.FAILED}  # of those; told already
        self._background = Background(folder, self._series, start_daemon=start_daemon)
        self._background.wake()
        atexit.register(self.close)

    def submit(
        self,
        files: StrPath | Iterable[StrPath],
        *,
        step: int,
        metrics: Mapping[str, float] | None = None,
        pin: bool = False,
    ) -> CheckpointStatus | None:
        """Hand over a checkpoint that is written completely, and return it; None if it is not accepted.

        files: a file, a folder (the shards of one checkpoint), or several. pin: never skip it for a newer one.
        Returns within milliseconds, whatever the size and the network. From then on the files may be replaced or
        removed, and a crash loses nothing. A training that resumes from an earlier step submits its steps again; each
        is another checkpoint.

        Raises LocalProblem if the files cannot be read or named in a store, or the disk refuses; UsageProblem if there
        are none, or if the step or a metric is not a number.
        """
        if os.getpid() != self._pid:
            raise UsageProblem(
                "only the process that created a CheckpointPublisher can use it", next_step="submit in that process"
            )
        step, numbers = _numbers(step, metrics or {})
        with self._lock:
            since = None if self._last_step is None else step - self._last_step
            if since is not None and 0 <= since < self._every and not pin:
                return None
            earlier = list(self._open.values())  # without what a signal handler submits meanwhile, which is newer
            record = self._hold(files, step, numbers, pinned=pin)
            skipped = self._ended()
            superseded = [one for one in earlier if one.name in self._open and self._is_superseded(one, record)]
            accepted = self._has_room(record, superseded)
            if accepted:
                record = self._accept(record)
                gone = [one for one in superseded if self._skip(one)]
            else:
                gone = [replace(record, end=End.FULL.value)]
            skipped += [view(one, DONE) for one in gone]
            # Only now, because two threads of one interpreter slow each other down.
            if accepted:
                self._background.submitted(record, copy=any(one.typed in self._in_place for one in record.sources))
            for one in gone:
                self._background.remove(one)
        self._report(skipped)
        return view(record, WAITING) if accepted else None

    def checkpoints(self) -> list[CheckpointStatus]:
        """Return every checkpoint of the series, also those of earlier processes, in the order of submission."""
        return checkpoints_of(self._series)

    def close(self, *, wait: float = 0.0) -> bool:
        """Finish what submitting began, and return whether every checkpoint has ended.

        wait: the most seconds to wait until the daemon has published what is due. What is left is published later,
        whether this process lives or not. Called at exit without waiting. Repetition is harmless.
        """
        if os.getpid() != self._pid:
            return True
        atexit.unregister(self.close)
        self._background.finish()
        until = time.monotonic() + wait
        while (left := self._series.unfinished()) and time.monotonic() < until:
            time.sleep(POLL_SECONDS)
        with self._lock:
            ended = self._ended()
        self._report(ended)
        return not left

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _hold(
        self, files: StrPath | Iterable[StrPath], step: int, metrics: dict[str, float], *, pinned: bool
    ) -> Record:
        several = [files] if isinstance(files, str | os.PathLike) else list(files)
        paths = [Path(os.path.abspath(one)) for one in several]
        if not paths:
            raise UsageProblem("the checkpoint has no files", next_step="submit a file, or a folder with files")
        try:
            snapshot = new_snapshot_folder(paths[0], self._series.files)
        except OSError as error:
            raise LocalProblem(
                f"no snapshot of the checkpoint {paths[0]} can be made: {error.strerror}",
                next_step="submit it once it is completely written",
                reason=Reason.UNREADABLE,
            ) from error
        sources = []
        try:
            for number, path in enumerate(paths):
                held = hold(path, snapshot, number)
                for relative in held.stamps:
                    check_key(relative or path.name)  # a put that cannot be made is of no use later
                sources.append(HeldSource(self._settings.typed(path), held.stamps))
                if rewrites_in_place(self._held.get(str(path)), held):
                    self._in_place.add(sources[-1].typed)
                self._held[str(path)] = held
            return self._settings.record(step, metrics, tuple(sources), snapshot, pinned=pinned)
        except BaseException:
            remove_snapshot_folder(snapshot, self._series.files)
            raise

    def _accept(self, record: Record) -> Record:
        """Journal a checkpoint."""
        try:
            worth = self._worth(record)
            record = self._series.add(replace(record, worth=None if math.isnan(worth) else worth))
        except OSError as error:
            self._series.remove_snapshot(record)
            raise LocalProblem(
                f"the checkpoint cannot be journaled: {error.strerror}",
                kept="What was submitted before is kept.",
                next_step="free some room, or fix the permissions of the project's .roar folder",
                reason=Reason.DISK,
            ) from error
        self._open[record.name] = record
        self._last_step = record.step
        self._note_best(record)
        return record

    def _skip(self, superseded: Record) -> bool:
        """Skip a checkpoint for a newer one. Return False if the daemon has taken it."""
        if not self._series.move(superseded.name, WAITING, DONE):
            return False
        self._open.pop(superseded.name, None)
        return True

    def _worth(self, record: Record) -> float:
        """Return the metric that decides, lower for better; NaN, which is not below any number, if it has none."""
        return self._sign * record.metrics.get(self._best, math.nan) if self._best is not None else math.nan

    def _find_best(self) -> None:
        """Find the best of what is published and of what may be."""
        self._best_value, self._best_name = math.inf, ""
        for state in (WAITING, TAKEN, DONE):
            for one in self._series.records(state):
                if one.end == End.PUBLISHED or (state != DONE and not one.end):
                    self._note_best(one)

    def _note_best(self, record: Record) -> None:
        if self._worth(record) < self._best_value:
            self._best_value, self._best_name = self._worth(record), record.name

    def _is_superseded(self, waiting: Record, newer: Record) -> bool:
        best = waiting.name == self._best_name and not self._worth(newer) < self._best_value
        return not waiting.pinned and not best

    def _has_room(self, record: Record, superseded: list[Record]) -> bool:
        if self._most is None:
            return True
        gone = {one.name for one in superseded}
        pending = [one.size for one in list(self._open.values()) if one.name not in gone]
        return sum(pending) + record.size <= self._most

    def _ended(self) -> list[CheckpointStatus]:
        """Return what has ended unpublished since the last call."""
        ended = []
        for name in list(self._open):
            if (one := self._series.read(DONE, name)) is not None:
                self._open.pop(name, None)
                if one.end != End.PUBLISHED and name not in self._failed:
                    ended.append(view(one, DONE))
                self._failed.discard(name)
            elif name not in self._failed:
                one = self._series.read(TAKEN, name)
                if one is not None and one.end == End.FAILED:
                    self._failed.add(name)
                    ended.append(view(one, TAKEN))
        if any(one.name == self._best_name for one in ended):
            self._find_best()
        return ended

    def _report(self, skipped: Iterable[CheckpointStatus]) -> None:
        for one in skipped:
            log.info("checkpoint %s is not published: %s", one.name, one.detail or one.state)
            if self._on_skip is not None:
                try:
                    self._on_skip(one)
                except Exception:  # what counts the skipped ones must not stop the training
                    log.exception("on_skip failed; the training continues")


def _numbers(step: int, metrics: Mapping[str, float]) -> tuple[int, dict[str, float]]:
    """Return a step and metrics as a record holds them; frameworks have numbers of their own. Raises UsageProblem."""
    try:
        return operator.index(step), {str(name): float(value) for name, value in metrics.items()}
    except (AttributeError, OverflowError, TypeError, ValueError) as error:
        raise UsageProblem(
            f"the step or a metric is not a number: {error}",
            next_step="pass an integer as step, and a number for each metric",
        ) from error
