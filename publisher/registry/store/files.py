"""Opening of the two SQLite files, and the return of their free pages to the system.

The connection to the lineages holds an exclusive lock on its file while it is open, so SQLite refuses a second registry
on the same data. It uses a write-ahead log with `synchronous=NORMAL`: acknowledged writes survive the death of the
process. A power failure can lose the latest transactions, but never part of one, and none up to the last one that was
durable (`StoreDatabase.write_durably`), as each finalize is.

Commands write the accounts while the registry runs. That file uses the rollback journal with ordinary locks, because
with the SQLite of many systems, two processes that share a write-ahead log can corrupt it.
"""

import logging
import sqlite3

from roar_publisher.registry.store import accounts_schema, schema
from roar_publisher.registry.store.database import Connection, Writing
from roar_publisher.registry.store.errors import DataInUse
from roar_publisher.registry.store.sqlite import SQLiteConnection, connect, is_busy, migrate, translated_errors

logger = logging.getLogger(__name__)

IN_MEMORY = ":memory:"
LOCK_TIMEOUT = 1.0
"""Seconds that a registry waits for another one to close the lineages."""
BUSY_TIMEOUT = 5.0
"""Seconds that one process waits for another's transaction in the accounts."""
KEPT_LOG = 16 * 2**20
"""Bytes of the write-ahead log file that are kept after a checkpoint."""
CHECKPOINT_PAGES = KEPT_LOG // 4096
"""Pages of the log that a checkpoint moves to the file. Digests are written in random places of their indexes, so
requests write the same pages again and again: the rarer a checkpoint, the fewer pages it moves for each of them."""
CACHE_KIB = 32 * 1024
"""Pages in memory, in KiB. With SQLite's usual 2 MiB, a large lineage would read the pages of its indexes from the file
for almost each digest."""
INCREMENTAL = 2
"""`PRAGMA auto_vacuum` of a file that can shrink incrementally."""


def connect_lineages(path: str) -> SQLiteConnection:
    """Open the file of lineages and sessions, and migrate its tables.

    Raises `StoreError`: `DataInUse` if another registry runs on this data, `NewerSchemaError` if a later release has
    written the file.
    """
    with translated_errors():
        connection = connect(path, timeout=LOCK_TIMEOUT)
        try:
            _make_shrinkable(connection)
            connection.execute("PRAGMA locking_mode = EXCLUSIVE")
            connection.execute("PRAGMA journal_mode = WAL")
            connection.usual_sync = "NORMAL"
            connection.execute("PRAGMA synchronous = NORMAL")
            connection.execute(f"PRAGMA journal_size_limit = {KEPT_LOG}")
            connection.execute(f"PRAGMA wal_autocheckpoint = {CHECKPOINT_PAGES}")
            connection.execute(f"PRAGMA cache_size = -{CACHE_KIB}")
            connection.execute("PRAGMA foreign_keys = ON")
            migrate(connection, schema.MIGRATIONS)
            connection.begin(Writing.ALONE)  # takes the lock, which is then kept; reading alone would not
            connection.rollback()
        except sqlite3.OperationalError as error:
            connection.close()
            if is_busy(error):
                raise DataInUse("another registry runs on this data") from error
            raise
        except BaseException:
            connection.close()
            raise
    return connection


def connect_accounts(path: str) -> SQLiteConnection:
    """Open the file of accounts, and migrate its tables.

    Raises `StoreError`, including `NewerSchemaError` if a later release has written the file.
    """
    with translated_errors():
        connection = connect(path, timeout=BUSY_TIMEOUT)
        try:
            connection.execute("PRAGMA journal_mode = DELETE")
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute("PRAGMA foreign_keys = ON")
            connection.execute("PRAGMA secure_delete = ON")
            migrate(connection, accounts_schema.MIGRATIONS)
        except BaseException:
            connection.close()
            raise
    return connection


def return_pages(connection: Connection, *, kept: int, limit: int) -> bool:
    """Return up to `limit` free pages, of 4 KiB each, to the system, but leave `kept`. Return whether more are left."""
    if not isinstance(connection, SQLiteConnection) or _pragma(connection, "auto_vacuum") != INCREMENTAL:
        return False
    surplus = _pragma(connection, "freelist_count") - kept
    if surplus <= 0:
        return False
    for _ in range(min(surplus, limit)):
        connection.execute("PRAGMA incremental_vacuum(1)")  # the sqlite3 module runs only one step for a larger number
    return surplus > limit


def _make_shrinkable(connection: SQLiteConnection) -> None:
    """Let the file return free pages. A file of an earlier release is rewritten once, if there is room.

    This is done outside any transaction, and before a new file gets its tables.
    """
    if _pragma(connection, "auto_vacuum") == INCREMENTAL:
        return
    connection.execute(f"PRAGMA auto_vacuum = {INCREMENTAL}")
    try:
        connection.execute("VACUUM")
    except sqlite3.OperationalError as error:
        logger.warning("the store cannot return free pages to the system: %s", error)


def _pragma(connection: Connection, name: str) -> int:
    (value,) = connection.execute(f"PRAGMA {name}").fetchone()
    return int(value)
