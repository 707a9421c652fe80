"""Opening files that another user may have prepared: a link, a hard link, a FIFO, a device, or a huge file.

Files in the state folder are opened by `open_own`, which follows no link. Configuration may be a link (some users keep
theirs in a repository), so `read_bounded` follows it, but reads only regular files, up to a maximum size.
"""

import errno
import os
import stat
from contextlib import suppress
from pathlib import Path

WITHOUT_WAITING = os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY
"""Flags for opening. Without O_NONBLOCK, opening a FIFO would wait for a process at its other end."""
PRIVATE_MODE = 0o600
LARGEST_OWN_BYTES = 256 * 1024 * 1024
"""The largest small file in the state folder. A put's record of a million files is smaller."""


def open_own(path: Path, flags: int) -> int:
    """Open a regular file that has no other name, and return its descriptor.

    flags: without O_TRUNC, which would act before the checks.
    Raises OSError: ELOOP for a link, EMLINK for a file with a second name, EEXIST for anything but a regular file.
    """
    descriptor = os.open(path, flags | os.O_NOFOLLOW | WITHOUT_WAITING, PRIVATE_MODE)
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise OSError(errno.EEXIST, os.strerror(errno.EEXIST), str(path))
        if status.st_nlink > 1:
            raise OSError(errno.EMLINK, os.strerror(errno.EMLINK), str(path))
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def check_own(path: Path) -> None:
    """Raise OSError, like `open_own`, unless the path is a regular file or absent.

    For files that another library opens by name. This function opens nothing, because closing a descriptor of a journal
    would drop SQLite's locks.
    """
    try:
        status = os.lstat(path)
    except FileNotFoundError:
        return
    if stat.S_ISLNK(status.st_mode):
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), str(path))
    if not stat.S_ISREG(status.st_mode):
        raise OSError(errno.EEXIST, os.strerror(errno.EEXIST), str(path))


def read_bounded(path: Path, most: int, *, follow: bool = True, private: bool = False) -> bytes:
    """Return the content of a regular file of at most `most` bytes.

    private: the file holds a credential. If it belongs to this user, other users lose access to it (mode 0600), which
    is how `roar login` writes it. Where that is impossible, as on a read-only mount, the file is read as it is.
    Raises OSError: EEXIST for anything but a regular file, EMSGSIZE for a larger one, ELOOP for a link if `follow` is
    false.
    """
    descriptor = os.open(path, os.O_RDONLY | WITHOUT_WAITING | (0 if follow else os.O_NOFOLLOW))
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise OSError(errno.EEXIST, "it is not a regular file", str(path))
        if private and status.st_mode & 0o077 and status.st_uid == os.geteuid():
            with suppress(OSError):
                os.fchmod(descriptor, PRIVATE_MODE)
        with os.fdopen(descriptor, "rb", closefd=False) as file:
            content = file.read(most + 1)
    finally:
        os.close(descriptor)
    if len(content) > most:
        raise OSError(errno.EMSGSIZE, f"it is larger than {most // 1024} kB", str(path))
    return content
