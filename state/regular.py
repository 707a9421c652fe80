"""Opening files that somebody else may have prepared: a link, a second name, a FIFO, a device, or a gigabyte.

What is written in the state folder goes through `open_own`, which follows no link.  Configuration may be a link (people
keep theirs in a repository), so `read_bounded` follows it, but reads regular files only, and only so much of them.
"""

import errno
import os
import stat
from pathlib import Path

WITHOUT_WAITING = os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY
"""Without O_NONBLOCK, opening a FIFO would wait for whoever opens its other end."""
LARGEST_OWN_BYTES = 256 * 1024 * 1024
"""Of a small file in the state folder: what a put records of a million files takes less."""


def open_own(path: Path, flags: int, mode: int = 0o600) -> int:
    """A descriptor of a regular file that has no other name.  flags: without O_TRUNC, which would come too early.

    Raises OSError: ELOOP for a link, EMLINK for a file with a second name, EEXIST for anything but a regular file.
    """
    descriptor = os.open(path, flags | os.O_NOFOLLOW | WITHOUT_WAITING, mode)
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
    """For what another library opens by its name: raise OSError, as `open_own`, unless it is a regular file or absent.

    It opens nothing: closing a descriptor of a journal would drop SQLite's locks.
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
    """The content of a regular file of at most `most` bytes.

    private: it holds a credential.  What others may read of it is taken from them where the file is this user's, as
    `roar login` writes it.
    Raises OSError: EEXIST for anything but a regular file, EFBIG for more, ELOOP for a link that is not followed.
    """
    descriptor = os.open(path, os.O_RDONLY | WITHOUT_WAITING | (0 if follow else os.O_NOFOLLOW))
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise OSError(errno.EEXIST, "it is not a regular file", str(path))
        if private and status.st_mode & 0o077 and status.st_uid == os.geteuid():
            os.fchmod(descriptor, 0o600)
        with os.fdopen(descriptor, "rb", closefd=False) as file:
            content = file.read(most + 1)
    finally:
        os.close(descriptor)
    if len(content) > most:
        raise OSError(errno.EFBIG, f"it is larger than {most // 1024} kB", str(path))
    return content
