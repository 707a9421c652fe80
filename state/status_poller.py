"""Polls the status of one publish, whichever process works on it, through a single connection.

Counting the journal of a large publish takes a while, so the time that a count takes limits how often it is done.
"""

import os
import time
from collections.abc import Callable
from typing import Self

from msgspec import Struct

from roar_publisher.state.errors import LocalProblem
from roar_publisher.state.journal import Journal
from roar_publisher.state.lock import owner
from roar_publisher.state.machine import State
from roar_publisher.state.objects import ObjectProgress, ObjectTally
from roar_publisher.state.paths import PublishPaths, StateFolder
from roar_publisher.state.reasons import Reason
from roar_publisher.state.record import Checkpoint, Plan
from roar_publisher.state.status import CountedStatus, HostStatus
from roar_publisher.state.status_reader import open_current, out_of_reach, read_facts
from roar_publisher.state.units import Kind, Tally

COUNTING_SHARE = 0.05
"""The maximum share of time spent on counting."""


class Observation(Struct, frozen=True):
    """The result of one poll: the status, the history, and the progress of each object of a put by seq."""

    status: CountedStatus
    history: list[Checkpoint]
    objects: dict[int, ObjectProgress]


class _Counts(Struct, frozen=True):
    """version: the state and the version of the journal that were counted."""

    version: tuple[State, int]
    units: dict[Kind, Tally]
    tally: ObjectTally
    objects: dict[int, ObjectProgress]


class StatusPoller:
    """A context manager that polls a publish without affecting its owner.

    clock: seconds on a monotonic clock, to time the counting. wall_clock: Unix seconds.
    """

    def __init__(
        self,
        paths: PublishPaths,
        clock: Callable[[], float] = time.monotonic,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        self.paths = paths
        self._folder = StateFolder.of(paths)
        self._clock = clock
        self._wall_clock = wall_clock
        self._journal: Journal | None = None
        self._inode = 0  # of the open file
        self._counts: _Counts | None = None
        self._count_again_at = 0.0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the journal. Repetition is harmless."""
        if self._journal is not None:
            self._journal.close()
            self._journal = None

    def plan(self) -> Plan:
        """Return the frozen plan. Raises the same as `poll`."""
        return self._open().plan()

    def poll(self) -> Observation:
        """Return the current status. Raises LocalProblem if the publish is gone or cannot be read."""
        pid = owner(self.paths.lock)
        journal = self._open()
        facts = read_facts(self.paths, journal, HostStatus.read(self._folder, clock=self._wall_clock), owner=pid)
        counts = self._count(journal, facts["progress"].state)
        status = CountedStatus(**facts, tally=counts.units, objects=counts.tally)
        return Observation(status, journal.history(), counts.objects)

    def _count(self, journal: Journal, state: State) -> _Counts:
        """Return the counts. Reuse the last ones if nothing changed, or if counting is slow and was done recently."""
        version, last = (state, journal.data_version), self._counts
        if last is not None:
            recent = last.version[0] is state and self._clock() < self._count_again_at
            if last.version == version or recent:
                return last
        began = self._clock()
        self._counts = _Counts(version, journal.units.tally(), journal.objects.tally(), journal.objects.progress())
        now = self._clock()
        self._count_again_at = now + (now - began) / COUNTING_SHARE
        return self._counts

    def _open(self) -> Journal:
        """Return the journal that is on disk now. It may be removed and restored while it is watched."""
        try:
            inode = os.stat(self.paths.journal).st_ino
        except (FileNotFoundError, NotADirectoryError) as error:
            raise LocalProblem(
                f"publish {self.paths.id} is no longer on this machine",
                next_step="roar journal list",
                reason=Reason.NO_PLAN,
            ) from error
        except OSError as error:
            raise out_of_reach(self.paths, error) from error
        if self._journal is None or inode != self._inode:
            self.close()
            self._journal, self._inode, self._counts = open_current(self.paths), inode, None
        return self._journal
