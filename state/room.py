"""Whether a disk has enough free space to work on."""

import shutil
from pathlib import Path

MIN_ROOM_BYTES = 4 * 1024 * 1024
"""With less room the daemon starts nothing, because a transaction of a journal would fail half-way."""


def has_room(folder: Path) -> bool:
    """Return whether the filesystem of `folder` has room for this user; True if that is unknown."""
    try:
        return shutil.disk_usage(folder).free >= MIN_ROOM_BYTES
    except OSError:
        return True
