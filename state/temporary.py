"""The folders for temporary files, and their own error for a full one, so that it is not blamed on another file."""

import os
import tempfile
from collections.abc import Mapping
from pathlib import Path

from roar_publisher.state.errors import LocalProblem
from roar_publisher.state.reasons import Reason

SQLITE_FALLBACKS = ("/var/tmp", "/usr/tmp", "/tmp", ".")


def sqlite_folder(environ: Mapping[str, str] = os.environ) -> str:
    """Return where SQLite sorts what is too large for memory (its documentation, "Temporary Files Used By SQLite")."""
    folders = (environ.get("SQLITE_TMPDIR"), environ.get("TMPDIR"), *SQLITE_FALLBACKS)
    usable = (folder for folder in folders if folder and Path(folder).is_dir() and os.access(folder, os.W_OK | os.X_OK))
    return next(usable, "a temporary folder")


def python_folder() -> str:
    """Return where this program's own temporary files go."""
    try:
        return tempfile.gettempdir()
    except OSError:  # no folder is writable
        return "a temporary folder"


def no_room(folder: str, why: str, *, work: str = "planning the publish") -> LocalProblem:
    """Return the error of a temporary folder that has no room. work: what needs it."""
    return LocalProblem(
        f"{work} needs the temporary folder {folder}, which cannot be used: {why}",
        kept="roar.db is as it was.",
        next_step="set TMPDIR to a folder with room, or free some there",
        reason=Reason.DISK_FULL,
    )
