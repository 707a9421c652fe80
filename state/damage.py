"""Whether the content of a journal is lost, or only unreadable at this moment."""

import sqlite3
from contextlib import closing
from pathlib import Path

from roar_publisher.state.errors import LocalProblem
from roar_publisher.state.reasons import Reason

CHECKS = 2
"""How many integrity checks must fail, each on a new connection. A single disk error does not prove a loss."""


def primary_code(error: sqlite3.Error) -> int:
    """Return SQLite's code for the kind of an error, without its details; 0 if Python raised it by itself."""
    return int(getattr(error, "sqlite_errorcode", 0)) & 0xFF


def damaged(path: Path) -> LocalProblem:
    """Return the error of a journal whose content is lost."""
    return LocalProblem(
        f"the journal {path} is damaged: its publish cannot be continued",
        next_step="publish it again; to remove what is damaged: roar journal prune --all",
        reason=Reason.DAMAGED_JOURNAL,
    )


def reports_damage(error: sqlite3.Error) -> bool:
    """Return whether SQLite reports lost content.

    A schema that it cannot parse is not damage: it may be a newer one.
    """
    lost = primary_code(error) in (sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT)
    return lost and "malformed database schema" not in str(error)


def is_damaged(path: Path) -> bool:
    """Return whether every integrity check finds the content lost. Reads the whole file and changes nothing."""
    return all(_check_fails(path) for _ in range(CHECKS))


def _check_fails(path: Path) -> bool:
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=rw", uri=True)) as connection:
            connection.execute("PRAGMA query_only = ON")
            return bool(connection.execute("PRAGMA integrity_check(1)").fetchone() != ("ok",))
    except sqlite3.Error as error:
        return reports_damage(error)
