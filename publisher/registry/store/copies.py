"""Copies of SQLite files: made while the file is in use, and checked before one takes the place of another."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from roar_publisher.registry.store.database import EngineConnection
from roar_publisher.registry.store.errors import DataInUse, NewerSchemaError, StoreError, StoreUnavailable
from roar_publisher.registry.store.private_data import make_private_file
from roar_publisher.registry.store.sqlite import SQLiteConnection, connect, is_busy, translated_errors

STEP_PAGES = 256
"""Pages, of 4 KiB each, that are copied at once. Meanwhile, other calls wait."""
PAUSE_SECONDS = 0.001
"""Pause between two steps, in which others work on the file."""
BUSY_SECONDS = 0.005
"""Pause after a step that met a transaction which writes."""
WAIT_SECONDS = 5.0


def copy_database(source: EngineConnection, target: Path) -> None:
    """Copy the database of a connection to a new private file, as it is at the end of the copy.

    Other threads may use the connection meanwhile: what they write is in the copy. Raises `StoreError` and OSError.
    """
    if not isinstance(source, SQLiteConnection):
        raise StoreError("only SQLite files are copied by the registry; PostgreSQL has pg_dump")
    make_private_file(target)
    with translated_errors():
        copy = connect(str(target), timeout=WAIT_SECONDS)
        try:
            source.backup(copy, pages=STEP_PAGES, progress=lambda *_: time.sleep(PAUSE_SECONDS), sleep=BUSY_SECONDS)
        finally:
            copy.close()


def copy_file(source: Path, target: Path) -> None:
    """Copy a database that no registry uses. Raises `StoreUnavailable` if one does, and as `copy_database`."""
    with translated_errors():
        connection = connect(str(source), timeout=WAIT_SECONDS)
        try:
            copy_database(connection, target)
        finally:
            connection.close()


def check_copy(path: Path, migrations: Sequence[str]) -> None:
    """Check that a file is an undamaged store that this release understands.

    `migrations` are those of its tables. Raises `StoreError`, including `NewerSchemaError`.
    """
    with translated_errors():
        connection = connect(str(path), timeout=WAIT_SECONDS)
        try:
            (version,) = connection.execute("PRAGMA user_version").fetchone()
            found = [text for (text,) in connection.execute("PRAGMA integrity_check(1)")]
        finally:
            connection.close()
    if version > len(migrations):
        raise NewerSchemaError(f"{path.name} has schema {version}, this release knows up to {len(migrations)}")
    if version == 0 or found != ["ok"]:
        raise StoreError(f"{path.name} is damaged: {'it has no tables' if version == 0 else found[0]}")


@contextmanager
def kept_from_registries(path: Path) -> Iterator[None]:
    """Let no registry open this file during the block, in which another one may take its place.

    A missing or damaged file is in nobody's use. Raises `DataInUse` if a registry uses it, and `StoreUnavailable` if
    that cannot be found out: the file cannot be opened, or written.
    """
    if not path.exists():
        yield
        return
    connection = connect(str(path), timeout=0)
    try:
        _lock(connection)
        yield
    finally:
        connection.close()


def _lock(connection: SQLiteConnection) -> None:
    try:
        with translated_errors():
            connection.execute("PRAGMA locking_mode = EXCLUSIVE")
            connection.execute("BEGIN EXCLUSIVE")
    except StoreUnavailable as error:
        if is_busy(error.__cause__):
            raise DataInUse("a registry runs on this data: stop it first") from error
        raise
    except StoreError:
        pass
