"""Whether a disk has room to work on."""

import shutil
from pathlib import Path

MIN_ROOM_BYTES = 4 * 1024 * 1024
"""Below this the daemon begins nothing: a journal's transaction would fail half-way."""


def has_room(folder: Path) -> bool:
    """Whether the filesystem of `folder` has room for this user; True where that can't be told."""
    try:
        return shutil.disk_usage(folder).free >= MIN_ROOM_BYTES
    except OSError:
        return True
