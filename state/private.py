"""Small files that only this user may read: whole or absent, whatever happens while they are written.

Each has one writer at a time (the owner of its publish), so the new content's name can be a fixed one: what a killed
writer left behind is overwritten by the next, and removed with the file.
"""

import os
from pathlib import Path


def read_private(path: Path) -> bytes | None:
    """The content, None if there is no such file.  Raises OSError."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None


def write_private(path: Path, content: bytes) -> None:
    """Replace the file atomically and durably, with mode 0600.  Raises OSError."""
    new = _new(path)
    try:
        with open(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        new.replace(path)
    except BaseException:
        new.unlink(missing_ok=True)
        raise


def forget_private(path: Path) -> None:
    """Remove the file, and what a killed writer left of another.  Harmless if there is nothing.  Raises OSError."""
    _new(path).unlink(missing_ok=True)
    path.unlink(missing_ok=True)


def _new(path: Path) -> Path:
    return path.with_name(f"{path.name}.new")
