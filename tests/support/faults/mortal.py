"""A process that dies at a chosen moment: before or after its n-th commit or request.

Dying is an exception that is never caught. What runs on while it unwinds (cleanup, other tasks) finds the process dead
already: a dead process commits nothing and sends nothing.
"""

import re
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Unpack

from roar_publisher.state.journal import Journal
from roar_publisher.state.journal_file import JournalFile
from roar_publisher.state.machine import Event
from roar_publisher.state.record import Learned, Progress
from roar_publisher.state.units import Units
from tests.support.sampling import sample


class Crash(BaseException):
    """The process is gone."""


def kind_of(moment: str) -> str:
    """Return a moment without the ids and hashes in it."""
    return re.sub(r"/[0-9a-f_-]{9,}", "/*", moment)


def commit_of(frame: FrameType) -> str:
    """Return what is committed: the method that opened the transaction, and the event of a checkpoint."""
    return f"commit of {frame.f_code.co_name} {frame.f_locals.get('event', '')}".strip()


class Life:
    """Counts the moments at which a process could die, and dies at one of them.

    dies_at: the moment, from 1; None lives to the end.
    """

    def __init__(self, dies_at: int | None = None) -> None:
        self.dies_at = dies_at
        self.moments: list[str] = []
        self.over = False

    def sample(self, sweep: str, size: int, *, each_kind: bool = True) -> list[int]:
        """Return at least `size` of the moments passed, from 1, and at least one of each kind.

        each_kind: False where another sweep passes the same kinds.
        """
        numbers = range(1, len(self.moments) + 1)
        return sample(sweep, numbers, size, lambda number: each_kind and kind_of(self.moments[number - 1]))

    def moment(self, what: str) -> None:
        """Pass a moment, or die in it. Raises Crash."""
        if self.over:
            raise Crash(f"dead before {what}")
        self.moments.append(what)
        if len(self.moments) == self.dies_at:
            self.over = True
            raise Crash(what)


class WatchedUnits(Units):
    """Units that call `watch` after each acknowledgement."""

    def __init__(self, file: JournalFile, watch: Callable[[], None]) -> None:
        super().__init__(file)
        self._watch = watch

    def acknowledge(self, units: Sequence[tuple[int, int]]) -> None:
        super().acknowledge(units)
        self._watch()


class MortalJournal(Journal):
    """A journal whose owner can die around each commit.

    watch: called after each commit that changed what counts as acknowledged.
    """

    def __init__(self, path: Path, life: Life, *, clock: Callable[[], float], watch: Callable[[Journal], None]) -> None:
        self._life = life
        self._watch = watch
        super().__init__(path, clock=clock)
        self.units = WatchedUnits(self, lambda: watch(self))
        self.db.execute("PRAGMA synchronous = OFF")  # processes die here, the power does not fail

    def checkpoint(self, event: Event, **learned: Unpack[Learned]) -> Progress:
        progress = super().checkpoint(event, **learned)
        self._watch(self)
        return progress

    @contextmanager
    def transaction(self) -> Iterator[None]:
        if self.db.in_transaction:  # a part of another transaction, without a commit of its own
            with super().transaction():
                yield
            return
        commit = commit_of(sys._getframe(2))
        with super().transaction():
            yield
            self._life.moment(f"before {commit}")
        self._life.moment(f"after {commit}")
