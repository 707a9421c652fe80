"""Small files that only this user may read. They are complete or absent, whatever happens during a write.

Each has one writer at a time (the owner of its publish, or a lock's holder), so the temporary name can be fixed: the
next writer removes what a killed one left behind. Links are not followed.
"""

import errno
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from roar_publisher.state.safe_open import LARGEST_OWN_BYTES, PRIVATE_MODE, open_own, read_bounded

_NOT_KEPT = frozenset({errno.EIO, errno.ENOSPC, errno.EDQUOT})
"""Errors of fsync for a folder that can be synced and was not."""


def read_private(path: Path) -> bytes | None:
    """Return the content, or None if there is no such file. Raises OSError."""
    try:
        return read_bounded(path, LARGEST_OWN_BYTES, follow=False)
    except FileNotFoundError:
        return None


def write_private(path: Path, content: bytes, *, durable: bool = False) -> None:
    """Replace the file atomically, with mode 0600. durable: as for `replacing`. Raises OSError."""
    _new(path).unlink(missing_ok=True)
    with replacing(path, durable=durable) as replace:
        replace(memoryview(content))


@contextmanager
def replacing(path: Path, *, room: int = 0, durable: bool = False) -> Iterator[Callable[[memoryview], None]]:
    """Yield a function that replaces the file atomically, with mode 0600.

    room: bytes to allocate on entry, so that a full disk shows before anything can be lost. durable: whether the
    replacement must survive a power failure. It takes a memoryview, whose content no traceback shows.
    Raises OSError on entry and from the function. The old file is then unchanged.
    """
    new = _new(path)
    descriptor = open_own(new, os.O_WRONLY | os.O_CREAT)

    def replace(content: memoryview) -> None:
        _write(descriptor, content)
        os.replace(new, path)
        if durable:
            sync_folder(path.parent)

    try:
        os.fchmod(descriptor, PRIVATE_MODE)
        if room:
            _write(descriptor, memoryview(b" " * room))
        yield replace
    finally:
        os.close(descriptor)
        with suppress(OSError):
            os.unlink(new)  # already gone if it was renamed


def make_private_folder(folder: Path) -> None:
    """Make a folder of mode 0700, and each missing one above it, unless it exists. Raises OSError.

    `Path.mkdir` applies the mode to the last one only: with an open umask, others could replace those above it.
    """
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
    except FileNotFoundError:
        if folder.parent == folder:
            raise
        make_private_folder(folder.parent)
        folder.mkdir(mode=0o700, exist_ok=True)


def remove_empty(folder: Path) -> None:
    """Remove a folder if it is empty and still there.

    NFS keeps an open file under another name when it is removed, so the folder of a lock outlives its content until the
    lock is released.
    """
    with suppress(OSError):
        folder.rmdir()


def create_private(path: Path) -> None:
    """Create an empty file of mode 0600, unless it exists, for a library that opens it by its name.

    SQLite itself would apply the umask. It gives its own journal the mode of the database. Errors are left to the
    library, which meets them as well.
    """
    with suppress(OSError):
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, PRIVATE_MODE))


def make_private(path: Path) -> None:
    """Do the same as `create_private`, and give an existing file mode 0600: earlier releases let others read it."""
    create_private(path)
    with suppress(OSError):
        os.chmod(path, PRIVATE_MODE)


def forget_private(path: Path) -> None:
    """Remove the file and what a killed writer left of it. Harmless if there is none. Raises OSError."""
    _new(path).unlink(missing_ok=True)
    path.unlink(missing_ok=True)


def _new(path: Path) -> Path:
    return path.with_name(f"{path.name}.new")


def _write(descriptor: int, content: memoryview) -> None:
    written = 0
    while written < len(content):
        written += os.pwrite(descriptor, content[written:], written)
    os.ftruncate(descriptor, len(content))
    os.fsync(descriptor)


def sync_folder(folder: Path) -> None:
    """Let what was renamed in a folder survive a loss of power. Raises OSError if its file system fails to.

    Some can neither open nor sync a folder (CIFS, FUSE, shared folders of virtual machines, a write-only folder). They
    keep a name as well as they keep any other.
    """
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        return
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno in _NOT_KEPT:
            raise
    finally:
        os.close(descriptor)
