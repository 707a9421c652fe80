"""Small files that only this user may read. They are complete or absent, whatever happens during a write.

Each has one writer at a time (the owner of its publish), so the temporary name can be fixed: the next writer removes
what a killed one left behind. Links are not followed.
"""

import os
from contextlib import suppress
from pathlib import Path

from roar_publisher.state.regular import LARGEST_OWN_BYTES, read_bounded


def read_private(path: Path) -> bytes | None:
    """Return the content, or None if there is no such file. Raises OSError."""
    try:
        return read_bounded(path, LARGEST_OWN_BYTES, follow=False)
    except FileNotFoundError:
        return None


def write_private(path: Path, content: bytes) -> None:
    """Replace the file atomically and durably, with mode 0600. Raises OSError."""
    new = _new(path)
    try:
        new.unlink(missing_ok=True)
        with open(
            os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600), "wb"
        ) as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        new.replace(path)
    except BaseException:
        new.unlink(missing_ok=True)
        raise


def create_private(path: Path) -> None:
    """Make an empty file of mode 0600 for a library that opens it by its name, unless there is one.

    SQLite would make it with what the umask leaves, and gives its own journal the mode of the database.  What the disk
    refuses is the library's to tell.
    """
    with suppress(OSError):
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))


def forget_private(path: Path) -> None:
    """Remove the file and what a killed writer left of it. Harmless if there is none. Raises OSError."""
    _new(path).unlink(missing_ok=True)
    path.unlink(missing_ok=True)


def _new(path: Path) -> Path:
    return path.with_name(f"{path.name}.new")
