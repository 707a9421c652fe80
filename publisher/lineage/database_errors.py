"""Translate failures of SQLite and of the system at roar.db into errors for the user."""

import os
import sqlite3
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

from roar_publisher.lineage.guard import NOTE_LIMIT, STATEMENT_TIMEOUT_SECONDS, VALUE_LIMIT, harden
from roar_publisher.state.errors import LocalProblem
from roar_publisher.state.mounts import mount_of
from roar_publisher.state.reasons import Reason
from roar_publisher.state.shell import shell_word
from roar_publisher.state.system_errors import explain_os_error, probe_write
from roar_publisher.state.temporary import no_room, sqlite_folder

DATABASE_ERRORS = (sqlite3.Error, UnicodeDecodeError)
"""What a statement raises: UnicodeDecodeError if SQLite's message quotes a schema that is not valid UTF-8."""


def database_problem(path: Path, error: Exception, *, writing: bool = False) -> LocalProblem:
    """Return the error for a SQLite failure at roar.db.

    writing: whether roar.db was being changed; a reader can only run out of room in the temporary folder.
    """
    extended = getattr(error, "sqlite_errorcode", 0)
    code = extended & 0xFF
    undecodable = isinstance(error, UnicodeDecodeError)
    if undecodable or code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
        return LocalProblem(
            f"{path} is damaged, or not an SQLite database: {'its schema is not text' if undecodable else error}",
            kept="Nothing was changed.",
            next_step=f"{_look_at(path)}, or restore it from a copy",
            reason=Reason.CORRUPT,
        )
    if code == sqlite3.SQLITE_TOOBIG and writing:
        return LocalProblem(
            f"the record of the published jobs in {path} would exceed {NOTE_LIMIT // 1024**2} MB",
            next_step="publish fewer jobs at once (`@N`, a path, a job uid) if roar's own commands have to find them",
            reason=Reason.TOO_LARGE,
        )
    if code == sqlite3.SQLITE_TOOBIG:
        return LocalProblem(
            f"{path} holds a text of more than {VALUE_LIMIT // 1024**2} MB, which no registry accepts{_owner(path)}",
            kept="Nothing was sent.",
            next_step="publish a target without it (`@N`, a path, a job uid)",
            reason=Reason.TOO_LARGE,
        )
    if code == sqlite3.SQLITE_INTERRUPT:
        return LocalProblem(
            f"{path} returned no row for {STATEMENT_TIMEOUT_SECONDS:.0f} s",
            kept="Nothing was sent.",
            next_step=_look_at(path),
            reason=Reason.DATABASE,
        )
    if extended == sqlite3.SQLITE_IOERR_GETTEMPPATH or (code == sqlite3.SQLITE_FULL and not writing):
        return no_room(sqlite_folder(), "no room is left there" if code == sqlite3.SQLITE_FULL else str(error))
    if code == sqlite3.SQLITE_FULL:
        return LocalProblem(
            f"the disk is full; {path} cannot be changed", next_step="free some disk space", reason=Reason.DISK_FULL
        )
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return LocalProblem(f"{path} is locked by another process", next_step="try again shortly", reason=Reason.BUSY)
    if code == sqlite3.SQLITE_IOERR and (refused := probe_write(path.parent)):
        # SQLite does not say why: a reader, too, needs room for the index of a WAL.
        found = explain_os_error(refused, Reason.DATABASE)
        return LocalProblem(f"{path} cannot be used: {found.what}", next_step=found.remedy, reason=found.reason)
    if code == sqlite3.SQLITE_IOERR and (mount := mount_of(path)) and mount.shared:
        # Such as rclone without a cache: it cannot change a file in place.
        return LocalProblem(
            f"SQLite cannot work with {path} on {mount.kind}: {error}",
            next_step="check the mount; if it is intact, give it a cache for writes (rclone: --vfs-cache-mode writes),"
            " or copy the project to a local disk",
            reason=Reason.DATABASE,
        )
    return LocalProblem(
        f"SQLite cannot work with {path}: {error}",
        next_step="check the file, its folder and their permissions",
        reason=Reason.DATABASE,
    )


def size_of(path: Path) -> int | None:
    """Return the size in bytes of roar.db or of a file of its, or None if there is no such file now.

    Raises LocalProblem if the system does not tell: a folder is not accessible, or a file system is gone.
    """
    try:
        return path.stat().st_size
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        found = explain_os_error(error, Reason.DATABASE)
        raise LocalProblem(
            f"{path} cannot be reached: {found.what}",
            kept="Nothing was read or changed.",
            next_step=found.remedy,
            reason=found.reason,
            resumable=True,
        ) from error


def not_recorded(cause: LocalProblem, *, kept: str = "The publication itself is complete.") -> LocalProblem:
    """Return the resumable error for a published lineage that could not be recorded in roar.db because of `cause`."""
    return LocalProblem(
        f"the lineage is published, but roar.db could not be updated: {cause.what}",
        kept=kept,
        next_step=cause.next_step,
        reason=cause.reason,
        resumable=True,
    )


def _look_at(path: Path) -> str:
    return f'look at it with `sqlite3 {shell_word(str(path))} "PRAGMA integrity_check"`'


def _owner(path: Path) -> str:
    """Return which job a too large text belongs to, for the error message; "" if that is unknown."""
    try:
        with closing(sqlite3.connect(database_uri(path, "mode=ro"), uri=True)) as connection:
            harden(connection)
            for row, uid, step in connection.execute("SELECT id, job_uid, step_number FROM jobs").fetchall():
                try:
                    connection.execute("SELECT command, metadata FROM jobs WHERE id = ?", (row,)).fetchone()
                except sqlite3.DataError:
                    return f": the command or metadata of step {step}, job {uid}"
    except sqlite3.Error:
        pass
    return ""


def database_uri(path: Path, parameters: str) -> str:
    """Return an SQLite URI for the file, whatever characters its path holds."""
    return f"file:{quote(os.fsencode(path.absolute()))}?{parameters}"
