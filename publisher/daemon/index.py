"""The publishes of a state folder, read from their journals. Repeated scans read only changed journals."""

import time
from collections.abc import Callable, Iterator

from msgspec import Struct

from roar_publisher.daemon.stamps import Stamp, stamp_of
from roar_publisher.state.errors import Conclusion, LocalProblem
from roar_publisher.state.lock import is_held
from roar_publisher.state.machine import State
from roar_publisher.state.paths import PublishPaths, StateFolder
from roar_publisher.state.status import JournalStatus
from roar_publisher.state.status_reader import read_status

SETTLED_SECONDS = 1.0
"""A file modified more recently than this may change again without a new timestamp."""


class _Known(Struct, frozen=True):
    """A cached journal.

    stamp: the journal file's stamp when it was read; None if it must be read again. status: None if it cannot be
    read.
    """

    stamp: Stamp | None
    status: JournalStatus | None


class PublishIndex:
    """A cache of all publishes. Use from one thread at a time.

    wall_clock: returns Unix seconds, comparable with file timestamps.
    """

    def __init__(self, folder: StateFolder, *, wall_clock: Callable[[], float] = time.time) -> None:
        self._folder = folder
        self._wall_clock = wall_clock
        self._known: dict[str, _Known] = {}

    def waiting(self, skip: frozenset[str]) -> list[JournalStatus]:
        """Return every free publish that is live or owes something, except the ids in `skip`.

        Free means that no process owns or claims it. A publish that owes something is left out until its end has been
        reported. A publish whose journal cannot be read is left out; `roar journal list` shows it.
        """
        return [found for found in self._scan(skip) if _has_work(found) and _free(found.paths)]

    def unreported(self, skip: frozenset[str]) -> list[JournalStatus]:
        """Return every publish that has ended and whose end is not yet reported, as of the last scan."""
        known = (entry.status for entry in self._known.values())
        return [
            found
            for found in known
            if found is not None
            and found.queued.notified is False
            and found.progress.state in (State.DONE, State.FAILED)
            and found.paths.id not in skip
        ]

    def forget(self, publish_id: str) -> None:
        """Drop this publish from the cache, so that the next scan reads it again."""
        self._known.pop(publish_id, None)

    def _scan(self, skip: frozenset[str]) -> Iterator[JournalStatus]:
        present = set()
        for paths in self._folder.all_publishes():
            present.add(paths.id)
            if paths.id in skip:
                continue
            stamp = stamp_of(paths.journal)
            known = self._known.get(paths.id)
            if known is None or known.stamp is None or known.stamp != stamp:
                known = self._known[paths.id] = self._read(paths, stamp)
            if known.status is not None:
                yield known.status
        for gone in self._known.keys() - present:
            del self._known[gone]

    def _read(self, paths: PublishPaths, stamp: Stamp | None) -> _Known:
        # A timestamp in the future, because the clock was set back, is also settled: the file cannot get it again.
        settled = stamp is not None and abs(self._wall_clock() - stamp[1] / 1e9) > SETTLED_SECONDS
        try:
            return _Known(stamp if settled else None, read_status(paths))
        except LocalProblem as problem:
            # A temporary error can go away without a change of the file.
            temporary = problem.conclusion is Conclusion.INTERRUPTED
            return _Known(stamp if settled and not temporary else None, None)


def _has_work(found: JournalStatus) -> bool:
    return found.live or (found.owes and found.queued.notified is not False)


def _free(paths: PublishPaths) -> bool:
    return not is_held(paths.lock) and not is_held(paths.claim)
