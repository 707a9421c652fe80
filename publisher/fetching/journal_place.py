"""Where the journal of a fetch is: in the user's state folder, under an id that the work folder names.

A cloned project can bring a work folder along, and git makes it this user's own. So nothing in one is trusted: its id
only chooses among the journals of this user, and an incomplete file appears only with the digest of the lineage.
"""

import os
import re
import secrets
import time
from contextlib import suppress
from pathlib import Path

from roar_publisher.state.errors import PublisherError
from roar_publisher.state.paths import StateFolder
from roar_publisher.state.safe_open import WITHOUT_WAITING

ID_FILE = "id"
KEPT_SECONDS = 90 * 24 * 3600.0
"""How long an interrupted fetch can be continued."""
_ID = re.compile(r"[0-9a-f]{32}")
_ID_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | WITHOUT_WAITING


def journal_of(work: int, path: Path) -> Path:
    """Return the path of the journal of an open work folder, whose id is made if it names none.

    path: of the work folder. The journal is in it if the state folder cannot be used; then nothing is continued later.
    Raises OSError.
    """
    folder = _journals()
    if folder is not None:
        known = folder / f"{_read_id(work)}.db"
        if os.path.lexists(known):
            return known
        _remove_old(folder)
    new = secrets.token_hex(16)
    forget_id(work)
    descriptor = os.open(ID_FILE, _ID_FLAGS, 0o600, dir_fd=work)
    try:
        os.write(descriptor, new.encode())
    finally:
        os.close(descriptor)
    return (folder or path) / f"{new}.db"


def forget_id(work: int) -> None:
    """Remove the id of a work folder. Harmless if there is none."""
    with suppress(FileNotFoundError):
        os.unlink(ID_FILE, dir_fd=work)


def _remove_old(folder: Path) -> None:
    """Remove the journals of fetches that nobody has continued for long: their folders may not exist any more."""
    before = time.time() - KEPT_SECONDS
    for path in folder.iterdir():
        with suppress(OSError):
            if path.lstat().st_mtime < before:
                path.unlink()


def _journals() -> Path | None:
    try:
        state = StateFolder.from_environment(os.environ)
        state.make()
        state.fetches.mkdir(mode=0o700, exist_ok=True)
    except (OSError, PublisherError):
        return None
    return state.fetches if os.access(state.fetches, os.W_OK) else None


def _read_id(work: int) -> str:
    try:
        descriptor = os.open(ID_FILE, os.O_RDONLY | os.O_NOFOLLOW | WITHOUT_WAITING, dir_fd=work)
    except OSError:
        return ""
    try:
        text = os.read(descriptor, 64).decode("ascii", "replace")
    except OSError:
        return ""
    finally:
        os.close(descriptor)
    return text if _ID.fullmatch(text) else ""
