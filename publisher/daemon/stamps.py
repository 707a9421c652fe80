"""Notices that a file was changed or replaced, without reading it."""

from pathlib import Path

Stamp = tuple[int, int, int]
"""The inode of a file, when it was modified (nanoseconds since the epoch), and its size."""


def stamp_of(path: Path) -> Stamp | None:
    """Return a value that changes whenever a file is changed or replaced; None if it cannot be found."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size
