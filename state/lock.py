"""Ownership of a publish: `flock` on a file beside the journal.

The kernel drops the lock when its holder dies, however it dies, so an owner is never stale.  The file's text (a pid)
only serves the message that names the owner; nothing is decided by it.  The lock is on a separate file because closing
any handle of the journal's own file would drop SQLite's locks (POSIX).
"""

import errno
import fcntl
import os
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from roar_publisher.state.errors import LocalProblem, Owned

GLANCES = 3
GLANCE_SECONDS = 0.01
PID_WIDTH = 20
"""Characters, so that a pid covers any other."""


class Lock:
    """An exclusive claim on one publish, held from `acquire` to `release` or to the end of the process.

    Not reentrant: a second claim in the same process is refused like anybody else's.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._handle: int | None = None

    def acquire(self) -> Self:
        """Claim it, or raise Owned naming the process that holds it.  Waits for nobody but an onlooker's glance."""
        try:
            handle = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise LocalProblem(
                f"the lock {self._path} can't be opened: {error.strerror}",
                next_step="check the permissions of that folder, or set ROAR_STATE_DIR to another",
                reason="state directory",
                resumable=True,
            ) from error
        try:
            _claim(handle)
        except OSError as error:
            os.close(handle)
            if error.errno not in (errno.EWOULDBLOCK, errno.EACCES):
                raise LocalProblem(
                    f"{self._path} can't be locked: {error.strerror}",
                    next_step="set ROAR_STATE_DIR to a folder on a local disk",
                    reason="state directory",
                    resumable=True,
                ) from error
            pid = owner(self._path)
            raise Owned(
                f"another process works on this publish{f' (pid {pid})' if pid else ''}",
                kept="It goes on undisturbed.",
                next_step="roar journal list",
                reason="owned",
            ) from error
        self._handle = handle
        with suppress(OSError):  # a full disk: the text only serves a message
            os.pwrite(handle, f"{os.getpid():<{PID_WIDTH}}".encode(), 0)  # over the last one: that takes no room
        return self

    @classmethod
    def inherited(cls, path: Path, handle: int) -> Self:
        """The lock that this process held before it replaced itself by `exec` (`inheritable`).

        Raises OSError if `handle` is not that lock's.
        """
        if not os.path.samestat(os.fstat(handle), path.stat()):
            raise OSError(errno.EBADF, "not the lock's handle")
        os.set_inheritable(handle, False)
        lock = cls(path)
        lock._handle = handle
        return lock

    def inheritable(self) -> int:
        """Let the lock survive `exec`; returns the handle that `inherited` takes."""
        assert self._handle is not None, "only what is held can be handed on"
        os.set_inheritable(self._handle, True)
        return self._handle

    @property
    def in_place(self) -> bool:
        """Whether the lock that is held is still the one that others would find; not if its file was removed."""
        try:
            return self._handle is not None and os.path.samestat(os.fstat(self._handle), self._path.stat())
        except OSError:
            return False

    def release(self) -> None:
        """Give it up.  Releasing twice is harmless.  The file stays: removing it would race with the next owner."""
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None

    def __enter__(self) -> Self:
        return self.acquire()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()


def _claim(handle: int) -> None:
    """An onlooker (`owner`) holds the lock for some microseconds: one refusal is not yet an owner."""
    for _ in range(GLANCES):
        try:
            return fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(GLANCE_SECONDS)
    return fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)


def owner(path: Path) -> int | None:
    """The pid that holds the lock at `path` now, None if nobody does (or it can't be told).  Changes nothing."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError:
            text = os.pread(handle, PID_WIDTH, 0).rstrip()
            return int(text) if text.isdigit() else None
        return None
    finally:
        os.close(handle)
