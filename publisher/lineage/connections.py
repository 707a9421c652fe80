"""Open roar.db, which is untrusted (`guard`), for reading or for writing."""

import os
import sqlite3
import time
from contextlib import suppress
from pathlib import Path

from roar_publisher.lineage.database_errors import DATABASE_ERRORS, database_problem, database_uri, size_of
from roar_publisher.lineage.guard import StatementTimer, harden, refuse_foreign_code, refuse_irregular_files
from roar_publisher.state.errors import LocalProblem
from roar_publisher.state.mounts import mount_of
from roar_publisher.state.reasons import Reason

BUSY_TIMEOUT = 10.0
"""Seconds to wait while another process recovers the database."""
WRITE_TIMEOUT = 30.0
"""Seconds to wait while roar is writing."""
POLL_SECONDS = 0.5
"""Seconds of that between two looks at whether anybody still waits."""


def open_readable(path: Path) -> sqlite3.Connection:
    """Return a read-only connection that has read the first page. Raises LocalProblem if it cannot.

    A WAL database needs its `-shm` file, which cannot be created in a folder without write permission. If the WAL is
    empty, the file itself is complete and is read as it is. Otherwise a roar with write permission has to run first;
    so it does where a write was interrupted in a database without a WAL, which a reader cannot undo.
    """
    try:
        return _readable(database_uri(path, "mode=ro"))
    except DATABASE_ERRORS as error:
        cannot_open = getattr(error, "sqlite_errorcode", 0) & 0xFF in (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY)
        if not cannot_open or not os.access(path, os.R_OK):
            raise database_problem(path, error) from error
        _refuse_incomplete(path, error)
    try:
        return _readable(database_uri(path, "mode=ro&immutable=1"))
    except DATABASE_ERRORS as error:
        raise database_problem(path, error) from error


def _refuse_incomplete(path: Path, cause: Exception) -> None:
    """Raise LocalProblem if the file alone is not what was committed, because of a file of changes beside it."""
    for suffix, what in (
        ("-wal", f"has changes waiting in {path.name}-wal, and {path.parent} cannot be written to read them"),
        ("-journal", f"holds a part of a write that was interrupted, and {path.name}-journal undoes it"),
    ):
        if size_of(path.with_name(path.name + suffix)):
            raise LocalProblem(
                f"{path} {what}",
                kept="Nothing was sent.",
                next_step="run `roar status` once with write permission, then try again",
                reason=Reason.READ_ONLY,
            ) from cause


def open_writable(path: Path) -> sqlite3.Connection:
    """Return a connection that may write.

    The caller manages transactions. A statement may run for `guard.STATEMENT_TIMEOUT_SECONDS`. Raises sqlite3.Error,
    also if the file does not exist, and LocalProblem if a statement of ours would run code from the file, or if another
    machine may have it open.
    """
    refuse_irregular_files(path)
    _refuse_open_elsewhere(path)
    # mode=rw: do not recreate an empty database if it was removed meanwhile.
    connection = sqlite3.connect(database_uri(path, "mode=rw"), uri=True, timeout=WRITE_TIMEOUT, isolation_level=None)
    try:
        harden(connection)
        refuse_foreign_code(path, connection)
        # Only roar's own triggers are left. They write to a full-text index, which SQLite allows only to a trusted
        # schema.
        connection.execute("PRAGMA trusted_schema = ON")
    except BaseException:
        connection.close()
        raise
    timer = StatementTimer(connection)
    connection.set_trace_callback(lambda _statement: timer.reset())
    return connection


def begin_writing(connection: sqlite3.Connection) -> None:
    """Begin a transaction that writes, as soon as roar is not writing. Raises sqlite3.Error after WRITE_TIMEOUT.

    In a worker thread, the wait ends once its caller is cancelled.
    """
    until = time.monotonic() + WRITE_TIMEOUT
    _set_busy_timeout(connection, min(POLL_SECONDS, WRITE_TIMEOUT))
    while True:
        try:
            connection.execute("BEGIN IMMEDIATE")
            break
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() >= until:
                raise
        _check_cancelled()
    _set_busy_timeout(connection, WRITE_TIMEOUT)


def _set_busy_timeout(connection: sqlite3.Connection, seconds: float) -> None:
    milliseconds = int(seconds * 1000)
    connection.execute(f"PRAGMA busy_timeout = {milliseconds}")


def _check_cancelled() -> None:
    from anyio import from_thread  # only where another process writes

    with suppress(RuntimeError):  # not in a worker thread
        from_thread.check_cancelled()


def _refuse_open_elsewhere(path: Path) -> None:
    """Raise LocalProblem if the database is in use where other machines may be the ones that use it.

    Processes share a WAL through memory (`-shm`), which machines do not have in common: two that write damage it. The
    last writer that closes the database removes the WAL; readers leave an empty one.
    """
    wal = path.with_name(path.name + "-wal")
    if not size_of(wal):
        return
    mount = mount_of(path)
    if mount is not None and mount.shared:
        raise LocalProblem(
            f"{path} is in use, possibly by another machine, because it is on {mount.kind}",
            next_step="wait until roar has ended there; if it was killed, run `roar status` there",
            reason=Reason.BUSY,
            resumable=True,
        )


def _readable(uri: str) -> sqlite3.Connection:
    connection = sqlite3.connect(uri, uri=True, timeout=BUSY_TIMEOUT, isolation_level=None)
    try:
        harden(connection)
        connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    except BaseException:
        connection.close()
        raise
    return connection
