"""Ownership of a publish: `flock` on a file beside the journal.

A file system without `flock` may have the locks of open file descriptions (`F_OFD_SETLK`). They are as good, because
every process on that file system falls back to them. On NFS, the server keeps both kinds of lock. They work between
machines if the mount has locking (no `nolock`, no `local_lock`), and so do SQLite's own locks. Without any locks, or
with locks that other machines do not see (`mounts`), nothing is safe, and no publish is started.

The kernel drops the lock when its holder dies, so an owner is never stale. The file's text (a pid) only serves the
message that names the owner. The lock is on a separate file because closing any handle of the journal's own file would
drop SQLite's locks (POSIX).
"""

import errno
import fcntl
import os
import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Self
from weakref import WeakSet

from roar_publisher.state.errors import LocalProblem, Owned
from roar_publisher.state.mounts import mount_of
from roar_publisher.state.reasons import Reason
from roar_publisher.state.safe_open import open_own
from roar_publisher.state.system_errors import explain_os_error

HELD_ELSEWHERE = (errno.EWOULDBLOCK, errno.EACCES)
"""Error codes if another process holds a lock."""
NO_FLOCK = frozenset({errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP, errno.ENOLCK})
"""Error codes if the file system has no `flock`."""
RETRY_SECONDS = 0.01
WAIT_SECONDS = 10.0
"""How long a process waits for those that only look at a lock, or that hold it for a short block."""
FLOCK_FORMAT = "hhqqi4x"
"""`struct flock` with 64-bit offsets: type, whence, start, length, pid."""
PID_WIDTH = 20
"""Characters. The fixed width makes a pid overwrite any other."""
HOST_WIDTH = 64
"""Bytes of the host name after the pid. Several machines may share a folder."""


class Lock:
    """An exclusive claim on one publish, held from `acquire` to `release` or to the end of the process.

    Not reentrant: a second claim in the same process is refused, too.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._handle: int | None = None
        self._taken_by = 0  # the process that has taken it
        self._shared = False  # whether other machines may use its file system

    def acquire(self) -> Self:
        """Claim the lock, or raise Owned, which names the process that holds it.

        Waits only for processes that look for its owner. Raises LocalProblem if the file system has no locks, or if its
        locks do not reach the machines that share it.
        """
        mount = mount_of(self._path.parent)
        self._shared = mount is not None and mount.shared
        if mount is not None and mount.flaw:
            raise _unprotected(f"{self._path.parent} cannot be used: it is on {mount.flaw}")
        try:
            handle = open_own(self._path, os.O_RDWR | os.O_CREAT)
        except OSError as error:
            found = explain_os_error(error, Reason.STATE_DIRECTORY)
            raise LocalProblem(
                f"the lock {self._path} cannot be opened: {found.what}",
                next_step=f"{found.remedy}, or set ROAR_STATE_DIR to another folder",
                reason=found.reason,
                resumable=True,
            ) from error
        try:
            held = _claim(handle)
        except OSError as error:
            os.close(handle)
            raise _unprotected(f"{self._path} cannot be locked: {error.strerror}") from error
        if not held:
            os.close(handle)
            raise Owned(
                f"another process is working on this publish{name_owner(self._path)}",
                kept="It continues undisturbed.",
                next_step="roar journal list",
                reason=Reason.OWNED,
            )
        self._handle, self._taken_by = handle, os.getpid()
        _OWN_LOCKS.add(self)
        with suppress(OSError):  # the disk may be full, and the text only serves a message
            self.name_holder()
        return self

    def name_holder(self) -> None:
        """Write who holds the lock into its file. Raises OSError; overwriting an earlier text takes no room."""
        if self._handle is None:
            raise RuntimeError("only the holder of a lock is named")
        text = f"{os.getpid():<{PID_WIDTH}}{_host():<{HOST_WIDTH}}".encode()
        if os.pwrite(self._handle, text, 0) < len(text):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        if self._shared:
            os.fsync(self._handle)  # otherwise other machines see it when the lock is released, and take it for free

    @classmethod
    def inherited(cls, path: Path, handle: int) -> Self:
        """Return the lock that this process held before it replaced itself by `exec` (see `inheritable`).

        Raises OSError if `handle` does not belong to that lock.
        """
        if not os.path.samestat(os.fstat(handle), path.stat()):
            raise OSError(errno.EBADF, "not the lock's handle")
        os.set_inheritable(handle, False)
        lock = cls(path)
        lock._handle, lock._taken_by = handle, os.getpid()
        _OWN_LOCKS.add(lock)
        return lock

    def inheritable(self) -> int:
        """Let the lock survive `exec`, and return the handle that `inherited` takes."""
        if self._handle is None:
            raise RuntimeError("only a lock that is held can be handed on")
        os.set_inheritable(self._handle, True)
        return self._handle

    def moved(self, path: Path) -> None:
        """Record that the lock file is at `path` now. A lock stays held when its folder is renamed."""
        self._path = path

    @property
    def in_place(self) -> bool:
        """Whether the held lock is still the file that other processes would open, as far as the system says.

        False if the file was removed or replaced.
        """
        if self._handle is None:
            return False
        try:
            return os.path.samestat(os.fstat(self._handle), self._path.stat())
        except (FileNotFoundError, NotADirectoryError):
            return False
        except OSError:  # a network file system that is away, or whose ticket has expired
            return True

    def release(self) -> None:
        """Release the lock. Releasing twice is harmless. The file stays: removing it would race with the next owner."""
        if self._handle is not None:
            drop_lock(self._handle, self._taken_by)
            self._handle = None
            _OWN_LOCKS.discard(self)

    def __enter__(self) -> Self:
        return self.acquire()

    def __exit__(self, *_: object) -> None:
        self.release()


def _unprotected(what: str) -> LocalProblem:
    return LocalProblem(
        f"{what}; two processes could then work on the same publish",
        next_step="set ROAR_STATE_DIR to a folder on a local disk, or mount this one with locks",
        reason=Reason.STATE_DIRECTORY,
        resumable=True,
    )


_OWN_LOCKS = WeakSet[Lock]()
"""The locks that this process holds."""


def _leave_to_parent() -> None:
    """Close the handles that a forked child has of its parent's locks. They would keep the locks beyond the parent."""
    for lock in list(_OWN_LOCKS):
        lock.release()


os.register_at_fork(after_in_child=_leave_to_parent)


def _host() -> str:
    """Return the name of this machine, replacing what is not ASCII and cutting what does not fit."""
    return os.uname().nodename.encode("ascii", "replace").decode()[:HOST_WIDTH]


def name_owner(path: Path) -> str:
    """Return the holder's pid, and its machine if it is another one, for a message; empty if unknown."""
    pid = owner(path)
    if pid is None:
        return ""
    with suppress(OSError), os.fdopen(open_own(path, os.O_RDONLY), "rb") as file:
        host = file.read(PID_WIDTH + HOST_WIDTH)[PID_WIDTH:].decode("ascii", "replace").strip()
        if host and host != _host():
            return f" (pid {pid} on {host})"
    return f" (pid {pid})"


@contextmanager
def exclusively(path: Path) -> Iterator[None]:
    """Hold the lock at `path` for the block, which must be short. Waits for the process that holds it.

    Raises Owned if that takes longer than WAIT_SECONDS, and LocalProblem like `Lock.acquire`.
    """
    until = time.monotonic() + WAIT_SECONDS
    while True:
        try:
            lock = Lock(path).acquire()
            break
        except Owned:
            if time.monotonic() >= until:
                raise
            time.sleep(RETRY_SECONDS)
    try:
        yield
    finally:
        lock.release()


def _claim(handle: int) -> bool:
    """Take the lock. Returns False if another process owns it.

    Processes that look for its owner share it meanwhile. They are waited for: on a busy machine, a look may take as
    long as its process waits for a processor. A shared lock can be had beside theirs, but not beside an owner's.
    """
    until = time.monotonic() + WAIT_SECONDS
    while not try_lock(handle):
        if not try_lock(handle, fcntl.LOCK_SH) or time.monotonic() >= until:
            return False
        _lock(handle, fcntl.LOCK_UN)
        time.sleep(RETRY_SECONDS)
    return True


def try_lock(handle: int, kind: int = fcntl.LOCK_EX) -> bool:
    """Take a lock on an open file without waiting. Returns False if another process holds one that excludes it.

    Raises OSError if the file system has no locks.
    """
    try:
        _lock(handle, kind)
    except OSError as error:
        if error.errno not in HELD_ELSEWHERE:
            raise
        return False
    return True


def drop_lock(handle: int, holder: int) -> None:
    """Close a locked file, and drop the lock if `holder`, the pid that took it, is this process.

    A process that was forked meanwhile may have a copy of the handle, which would keep the lock beyond the close. The
    lock is not that process's to drop.
    """
    try:
        if os.getpid() == holder:
            with suppress(OSError):  # a network file system that is away
                _lock(handle, fcntl.LOCK_UN)
    finally:
        os.close(handle)


def _lock(handle: int, kind: int) -> None:
    """Take or drop a lock without waiting, by the method that the file system supports. Raises OSError."""
    try:
        fcntl.flock(handle, kind | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno not in NO_FLOCK or not hasattr(fcntl, "F_OFD_SETLK"):
            raise
        wanted = {fcntl.LOCK_EX: fcntl.F_WRLCK, fcntl.LOCK_SH: fcntl.F_RDLCK, fcntl.LOCK_UN: fcntl.F_UNLCK}[kind]
        fcntl.fcntl(handle, fcntl.F_OFD_SETLK, struct.pack(FLOCK_FORMAT, wanted, os.SEEK_SET, 0, 0, 0))


def owner(path: Path) -> int | None:
    """Return the pid that holds the lock at `path`, or None if no process does or it is unknown. Changes nothing."""
    return _holder(path) or None


def is_held(path: Path) -> bool:
    """Return whether a process holds the lock at `path`, also if it could not write its pid. Changes nothing."""
    return _holder(path) is not None


def _holder(path: Path) -> int | None:
    """Return the pid that holds the lock at `path`, 0 if it is unknown, or None if no process does."""
    try:
        handle = open_own(path, os.O_RDONLY)
    except OSError:
        return None
    try:
        try:
            _lock(handle, fcntl.LOCK_SH)
        except OSError as error:
            if error.errno not in HELD_ELSEWHERE:  # this file system has no locks, so there is no owner
                return None
            return _pid_in(handle)
        _lock(handle, fcntl.LOCK_UN)  # a child that another thread forks meanwhile would keep it beyond the close
        return None
    finally:
        os.close(handle)


def _pid_in(handle: int) -> int:
    """Return the pid in a lock's file, or 0 if there is none or it cannot be read."""
    try:
        text = os.pread(handle, PID_WIDTH, 0).rstrip()
    except OSError:  # a network file system that is away
        return 0
    return int(text) if text.isdigit() else 0
