"""Small SQLite files that only save work: what a fetch and an inspection have done. A damaged one is begun anew."""

import sqlite3
from pathlib import Path

from roar_publisher.state.private import make_private
from roar_publisher.state.safe_open import check_own

BUSY_SECONDS = 30.0
"""How long to wait for another process that writes."""
SUFFIXES = ("", "-journal", "-wal", "-shm")
"""What SQLite adds to the name of a database for its other files."""


def open_rebuildable(path: Path, script: str) -> sqlite3.Connection:
    """Open a file, which is made if it is missing, and replaced by an empty one if it is damaged.

    Others may not read it, whatever the umask.

    script: pragmas and tables. The connection commits each statement by itself, and belongs to one thread at a time.
    Raises OSError for what is not a file of its own (`check_own`), and sqlite3.Error.
    """
    check_own(path)
    try:
        return _opened(path, script)
    except sqlite3.OperationalError:  # busy, full, not allowed
        raise
    except sqlite3.DatabaseError:
        remove(path)
        return _opened(path, script)


def remove(path: Path) -> None:
    """Remove a file and what SQLite keeps beside it. Harmless if there is none."""
    for suffix in SUFFIXES:
        path.with_name(path.name + suffix).unlink(missing_ok=True)


def _opened(path: Path, script: str) -> sqlite3.Connection:
    make_private(path)
    connection = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)
    try:
        connection.executescript(script)
    except BaseException:
        connection.close()
        raise
    return connection
