"""An SQLite file whose operations run in transactions, with versioned tables."""

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from typing import Concatenate, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")
Operation = Callable[Concatenate[sqlite3.Connection, P], T]
"""A function that works on the tables, inside the transaction that `Database` opens for it."""


class NewerSchemaError(sqlite3.DatabaseError):
    """The file was written by a later release. This release cannot read it."""


class Database:
    """An SQLite connection. Calls may come from different threads, but the caller must make only one at a time."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def close(self) -> None:
        """Close the file. Repeating it does nothing."""
        self._connection.close()

    def write(self, operation: Operation[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run `operation` in a transaction. It is committed if `operation` returns, and rolled back if it raises."""
        return self._transact("BEGIN IMMEDIATE", operation, *args, **kwargs)

    def read(self, operation: Operation[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run `operation`, which must only read, against one snapshot of the tables."""
        return self._transact("BEGIN", operation, *args, **kwargs)

    def _transact(self, begin: str, operation: Operation[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        self._connection.execute(begin)
        try:
            result = operation(self._connection, *args, **kwargs)
            self._connection.execute("COMMIT")
        except BaseException:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            raise
        return result


def migrate(connection: sqlite3.Connection, migrations: Sequence[str]) -> None:
    """Migrate the tables to this release's schema. The migrations and the new version are one transaction.

    If two processes migrate at once, the second finds the work done. Raises `NewerSchemaError` if the file has seen
    more migrations than this release knows.
    """
    if _version(connection) == len(migrations):
        return
    connection.execute("BEGIN IMMEDIATE")
    try:
        version = _version(connection)
        if version > len(migrations):
            raise NewerSchemaError(f"the store has schema {version}, this release knows up to {len(migrations)}")
        for script in migrations[version:]:
            for statement in _statements(script):
                connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {len(migrations)}")
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def _version(connection: sqlite3.Connection) -> int:
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    return int(version)


def _statements(script: str) -> Iterator[str]:
    # `executescript` would commit the current transaction.
    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""
