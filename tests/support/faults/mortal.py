"""A process that dies at a chosen moment: before or after its n-th commit or request.

Dying is an exception that nobody catches.  What runs on while it unwinds (cleanup, other tasks) finds the process dead
already: a dead process commits nothing and sends nothing.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Unpack

from roar_publisher.state.journal import Journal
from roar_publisher.state.machine import Event
from roar_publisher.state.record import Learned, Progress


class Crash(BaseException):
    """The process is gone."""


class Life:
    """Counts the moments at which a process could die, and dies at one of them.

    dies_at: the moment, from 1; None lives to the end.
    """

    def __init__(self, dies_at: int | None = None) -> None:
        self.dies_at = dies_at
        self.moments: list[str] = []
        self.over = False

    def moment(self, what: str) -> None:
        """Pass a moment, or die in it.  Raises Crash."""
        if self.over:
            raise Crash(f"dead before {what}")
        self.moments.append(what)
        if len(self.moments) == self.dies_at:
            self.over = True
            raise Crash(what)


class MortalJournal(Journal):
    """A journal whose owner can die around each commit.

    watch: called after each commit that changed what counts as acknowledged.
    """

    def __init__(self, path: Path, life: Life, *, clock: Callable[[], float], watch: Callable[[Journal], None]) -> None:
        self._life = life
        self._watch = watch
        super().__init__(path, clock=clock)
        self.db.conn.execute("PRAGMA synchronous = OFF")  # processes die here, the power does not fail

    def acknowledge(self, units: Sequence[tuple[int, int]]) -> None:
        super().acknowledge(units)
        self._watch(self)

    def checkpoint(self, event: Event, **learned: Unpack[Learned]) -> Progress:
        progress = super().checkpoint(event, **learned)
        self._watch(self)
        return progress

    @contextmanager
    def transaction(self) -> Iterator[None]:
        with super().transaction():
            yield
            self._life.moment("before a commit")
        self._life.moment("after a commit")
