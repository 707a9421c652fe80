"""The publishes of a state folder as their journals tell it, cheap to ask again: only what changed is read anew."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from roar_publisher.state.errors import ExitCode, LocalProblem
from roar_publisher.state.lock import owner
from roar_publisher.state.machine import State
from roar_publisher.state.paths import PublishPaths, StateFolder
from roar_publisher.state.survey import Glance, glance

SETTLED_SECONDS = 1.0
"""A file that changed less than this ago may change again without its timestamp showing it."""

_Stamp = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class _Known:
    """stamp: of the journal when it was read; None where it has to be read again.  glance: None where it can't be."""

    stamp: _Stamp | None
    glance: Glance | None


class Roster:
    """What is known of every publish.  Used by one thread at a time.

    wall_clock: Unix seconds as files carry them.
    """

    def __init__(self, folder: StateFolder, *, wall_clock: Callable[[], float] = time.time) -> None:
        self._folder = folder
        self._wall_clock = wall_clock
        self._known: dict[str, _Known] = {}

    def waiting(self, skip: frozenset[str]) -> list[Glance]:
        """Every publish that is live or owes something, and that nobody works on or claims, beside the ids to `skip`.

        What owes something is left out until its end was told.  A publish whose journal can't be read is left out:
        `roar journal list` shows it.
        """
        return [found for found in self._look(skip) if _has_work(found) and _free(found.paths)]

    def untold(self, skip: frozenset[str]) -> list[Glance]:
        """Every publish that ended and whose end is still to be told, as of the last look."""
        known = (entry.glance for entry in self._known.values())
        return [
            found
            for found in known
            if found is not None
            and found.queued.told is False
            and found.progress.state in (State.DONE, State.FAILED)
            and found.paths.id not in skip
        ]

    def forget(self, publish_id: str) -> None:
        """Read this one again at the next look."""
        self._known.pop(publish_id, None)

    def _look(self, skip: frozenset[str]) -> Iterator[Glance]:
        there = set()
        for paths in self._folder.all_publishes():
            there.add(paths.id)
            if paths.id in skip:
                continue
            stamp = _stamp(paths)
            known = self._known.get(paths.id)
            if known is None or known.stamp is None or known.stamp != stamp:
                known = self._known[paths.id] = self._read(paths, stamp)
            if known.glance is not None:
                yield known.glance
        for gone in self._known.keys() - there:
            del self._known[gone]

    def _read(self, paths: PublishPaths, stamp: _Stamp | None) -> _Known:
        # One that changed in the future, by a clock that was set back since, is as good: it can't change then again.
        settled = stamp is not None and abs(self._wall_clock() - stamp[1] / 1e9) > SETTLED_SECONDS
        try:
            return _Known(stamp if settled else None, glance(paths))
        except LocalProblem as problem:
            # What can't be read at this moment may be read at the next, without its file having changed.
            passing = problem.exit_code is ExitCode.INTERRUPTED
            return _Known(stamp if settled and not passing else None, None)


def _stamp(paths: PublishPaths) -> _Stamp | None:
    """What changes when the journal does; None where there is none (yet)."""
    try:
        found = paths.journal.stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size


def _has_work(found: Glance) -> bool:
    return found.live or (found.owes and found.queued.told is not False)


def _free(paths: PublishPaths) -> bool:
    return owner(paths.lock) is None and owner(paths.claim) is None
