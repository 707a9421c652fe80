"""A publish that this process owns: its folder, its lock and its open journal, acquired and released together."""

import shutil
from collections.abc import Callable
from time import time
from typing import Self

from roar_publisher.state.errors import LocalProblem
from roar_publisher.state.journal import Journal
from roar_publisher.state.lock import Lock
from roar_publisher.state.paths import PublishPaths, StateFolder
from roar_publisher.state.private import remove_empty
from roar_publisher.state.reasons import Reason


def discard_damaged(paths: PublishPaths) -> None:
    """Permanently remove a publish whose journal was found damaged from this machine.

    Raises Owned if a process works on it, and LocalProblem if a newer release wrote to it in the meantime.
    """
    with Lock(paths.lock):
        try:
            Journal(paths.journal).close()
        except LocalProblem as problem:
            if problem.reason != Reason.DAMAGED_JOURNAL:
                raise
        shutil.rmtree(paths.folder, ignore_errors=True)
    remove_empty(paths.folder)


class OwnedPublish:
    """A publish that this process owns, made by `create` or `open`. A context manager that releases it on exit.

    Releasing keeps everything on disk: the next owner continues from the last checkpoint.
    """

    def __init__(self, paths: PublishPaths, lock: Lock, journal: Journal) -> None:
        self.paths = paths
        self.journal = journal
        self._lock = lock

    @classmethod
    def create(cls, folder: StateFolder, *, clock: Callable[[], float] = time) -> Self:
        """Create a publish without a plan. Raises LocalProblem if the state folder cannot be written."""
        paths = folder.new_planning()
        lock = Lock(paths.lock)
        try:
            lock.acquire()
            paths = folder.make_visible(paths)
            lock.moved(paths.lock)
            return cls._opened(paths, lock, clock, draft=True)
        except BaseException:
            shutil.rmtree(paths.folder, ignore_errors=True)
            lock.release()
            remove_empty(paths.folder)
            raise

    @classmethod
    def open(cls, paths: PublishPaths, *, clock: Callable[[], float] = time) -> Self:
        """Open an existing publish. Raises Owned if another process works on it, LocalProblem if it cannot be read."""
        return cls._opened(paths, Lock(paths.lock).acquire(), clock)

    @classmethod
    def _opened(cls, paths: PublishPaths, lock: Lock, clock: Callable[[], float], *, draft: bool = False) -> Self:
        try:
            return cls(paths, lock, Journal(paths.journal, clock=clock, draft=draft))
        except BaseException:
            lock.release()
            raise

    def release(self) -> None:
        """Close the journal, then release the lock. Harmless if repeated."""
        self.journal.close()
        self._lock.release()

    def discard(self) -> None:
        """Permanently remove the publish from this machine. The lock is held until everything else is gone."""
        self.journal.close()
        shutil.rmtree(self.paths.folder, ignore_errors=True)
        self._lock.release()
        remove_empty(self.paths.folder)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()
