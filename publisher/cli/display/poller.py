"""Polls one publish, whichever process works on it, through a single connection and without affecting the owner.

Counting the journal of a large publish takes a while, so the time that a count takes limits how often it is done.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from roar_publisher.state.errors import LocalProblem
from roar_publisher.state.journal import Journal
from roar_publisher.state.lock import owner
from roar_publisher.state.machine import LIVE, State
from roar_publisher.state.paths import PublishPaths
from roar_publisher.state.queue import Queued
from roar_publisher.state.reasons import Reason
from roar_publisher.state.record import Checkpoint, Plan, Progress, Tally
from roar_publisher.state.units import Kind

COUNTING_SHARE = 0.05
"""The maximum share of time spent on counting."""


@dataclass(frozen=True, slots=True)
class File:
    """An object of a put. size, there: its bytes in total, and those in its store."""

    key: str
    size: int
    there: int
    stored: bool


@dataclass(frozen=True, slots=True)
class Counts:
    """The progress of everything. files: by seq."""

    tally: dict[Kind, Tally]
    files: dict[int, File]


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The result of one poll. owner: the pid that works on the publish, or None."""

    owner: int | None
    progress: Progress
    queued: Queued
    history: list[Checkpoint]
    counts: Counts

    @property
    def live(self) -> bool:
        """Whether it has work left."""
        return self.progress.state in LIVE


class Poller:
    """A context manager that polls a publish. clock: seconds on a monotonic clock, used to time the counting."""

    def __init__(self, paths: PublishPaths, clock: Callable[[], float]) -> None:
        self.paths = paths
        self._clock = clock
        self._journal: Journal | None = None
        self._inode = 0  # of the open file
        self._counted: tuple[tuple[State, int], Counts] | None = None  # what was counted, and the last counts
        self._count_again_at = 0.0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the journal. Repetition is harmless."""
        if self._journal is not None:
            self._journal.close()
            self._journal = None

    def plan(self) -> Plan:
        """Return the frozen plan. Raises the same as `look`."""
        return self._open().plan()

    def look(self) -> Snapshot:
        """Return the current status. Raises LocalProblem if the publish is gone or cannot be read."""
        # Before the journal, so that an owner's last write is seen even if it exits now.
        working = owner(self.paths.lock)
        journal = self._open()
        progress = journal.progress()
        return Snapshot(
            working, progress, journal.queue.read(), journal.history(), self._count(journal, progress.state)
        )

    def _count(self, journal: Journal, state: State) -> Counts:
        """Return the counts. Reuse the last ones if nothing changed, or if counting is slow and was done recently."""
        of = (state, _version(journal))
        if self._counted is not None:
            (before, version), counts = self._counted
            if (before, version) == of or (before is state and self._clock() < self._count_again_at):
                return counts
        began = self._clock()
        counts = Counts(journal.tally(), _files(journal))
        now = self._clock()
        self._count_again_at = now + (now - began) / COUNTING_SHARE
        self._counted = (of, counts)
        return counts

    def _open(self) -> Journal:
        """Return the journal that is on disk now. It may be removed and restored while it is watched."""
        try:
            inode = os.stat(self.paths.journal).st_ino
        except OSError as error:
            raise LocalProblem(
                f"publish {self.paths.id} is no longer on this machine",
                next_step="roar journal list",
                reason=Reason.NO_PLAN,
            ) from error
        if self._journal is None or inode != self._inode:
            self.close()
            self._journal, self._inode, self._counted = Journal(self.paths.journal, read_only=True), inode, None
        return self._journal


def _version(journal: Journal) -> int:
    """Return a number that changes whenever another connection writes."""
    with journal.translated():
        return int(journal.db.conn.execute("PRAGMA data_version").fetchone()[0])


def _files(journal: Journal) -> dict[int, File]:
    with journal.translated():
        rows = journal.db.conn.execute(
            "SELECT o.seq, key, o.size, CASE WHEN stored THEN o.size ELSE coalesce(there, 0) END, stored FROM objects o"
            " LEFT JOIN (SELECT seq, sum(size) AS there FROM parts GROUP BY seq) p ON p.seq = o.seq ORDER BY o.seq"
        )
        return {seq: File(key, size, there, bool(stored)) for seq, key, size, there, stored in rows}
