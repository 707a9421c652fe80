"""Whether a disk has enough free space to work on."""

import os
from pathlib import Path

MIN_ROOM_BYTES = 4 * 1024 * 1024
"""With less room the daemon starts nothing, because a transaction of a journal would fail half-way."""


def has_room(folder: Path) -> bool:
    """Return whether the filesystem of `folder` has room for this user; True if that is unknown."""
    try:
        found = os.statvfs(folder)
        return found.f_bavail * found.f_frsize >= MIN_ROOM_BYTES
    except OSError:
        return True
