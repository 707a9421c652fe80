"""The adapter for SQLite. This module, `files` and `sorting` are the only ones that know SQLite's Python module."""

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from roar_publisher.registry.store.database import Writing
from roar_publisher.registry.store.errors import NewerSchemaError, OldSQLiteError, StoreError, StoreUnavailable
from roar_publisher.registry.store.label_versions import difference_text
from roar_publisher.registry.store.lists import expanded, has_lists


class SQLiteConnection(sqlite3.Connection):
    """A connection to one file. `usual_sync` is its `PRAGMA synchronous`."""

    usual_sync = "FULL"
    temporary_folder: Path | None = None
    _durable = False

    def execute(  # type: ignore[override]  # parameters may be lists
        self, sql: str, parameters: Sequence[object] | Mapping[str, object] = (), /
    ) -> sqlite3.Cursor:
        if isinstance(parameters, dict) and has_lists(parameters):
            return super().execute(*expanded(sql, parameters))
        return super().execute(sql, parameters)

    def stream(self, sql: str, parameters: Mapping[str, object], /) -> sqlite3.Cursor:
        return self.execute(sql, parameters)

    def begin(self, writing: Writing | None) -> None:
        self._durable = writing is Writing.DURABLY
        if self._durable:
            # The write-ahead log is synced with this commit, and with it what earlier commits wrote to it.
            self.execute("PRAGMA synchronous = FULL")
        self.execute("BEGIN IMMEDIATE" if writing else "BEGIN")

    def commit(self) -> None:
        super().commit()
        self._end()

    def rollback(self) -> None:
        super().rollback()
        self._end()

    def _end(self) -> None:
        if self._durable:
            self._durable = False
            self.execute(f"PRAGMA synchronous = {self.usual_sync}")

    def translated_errors(self) -> AbstractContextManager[None]:
        return translated_errors()


@contextmanager
def translated_errors() -> Iterator[None]:
    """Raise SQLite's errors in the block as `StoreError`, with the same text."""
    try:
        yield
    except sqlite3.OperationalError as error:
        raise StoreUnavailable(str(error)) from error
    except sqlite3.Error as error:
        raise StoreError(str(error)) from error


def is_busy(error: BaseException | None) -> bool:
    """Return whether an error says that another process holds the file."""
    code = error.sqlite_errorcode if isinstance(error, sqlite3.Error) else 0
    return code & 0xFF == sqlite3.SQLITE_BUSY  # also in its extended forms


STATEMENTS = 128
"""Size of a connection's cache of prepared statements."""
OLDEST_SQLITE = (3, 35, 0)
"""The first SQLite with `RETURNING`."""


def connect(path: str, *, timeout: float) -> SQLiteConnection:
    """Open a file. `timeout` is how long to wait for another process, in seconds. Raises `OldSQLiteError`."""
    if sqlite3.sqlite_version_info < OLDEST_SQLITE:
        wanted = ".".join(map(str, OLDEST_SQLITE))
        raise OldSQLiteError(f"SQLite {wanted} or later is needed, and this Python has {sqlite3.sqlite_version}")
    connection = sqlite3.connect(
        path,
        isolation_level=None,
        check_same_thread=False,
        cached_statements=STATEMENTS,
        timeout=timeout,
        factory=SQLiteConnection,
    )
    connection.row_factory = sqlite3.Row
    connection.create_function("label_difference", 2, difference_text, deterministic=True)  # a migration calls it
    return connection


def migrate(connection: SQLiteConnection, migrations: Sequence[str]) -> None:
    """Migrate the tables to this release's schema. The migrations and the new version are one transaction.

    If two processes migrate at once, the second finds the work done. Raises `NewerSchemaError` if the file has seen
    more migrations than this release knows.
    """
    if _version(connection) == len(migrations):
        return
    connection.begin(Writing.ALONE)
    try:
        version = _version(connection)
        if version > len(migrations):
            raise NewerSchemaError(f"the store has schema {version}, this release knows up to {len(migrations)}")
        for script in migrations[version:]:
            for statement in statements(script):
                connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {len(migrations)}")
        connection.commit()
    except BaseException:
        connection.rollback()
        raise


def _version(connection: SQLiteConnection) -> int:
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    return int(version)


def statements(script: str) -> Iterator[str]:
    """Yield the statements of a script. (`executescript` would commit the current transaction.)"""
    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""
    if statement.strip():  # the last one, without a semicolon
        yield statement
