"""The SQL engine: transactions over one SQLite file, versioned tables, and the translation of the engine's errors.

This module and `files` are the only ones that know SQLite's Python module. The modules of the tables use `Connection`
only by `execute` and `executemany`. All other packages pass it on.
"""

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Concatenate, ParamSpec, TypeAlias, TypeVar

from roar_publisher.registry.store.errors import NewerSchemaError, StoreError, StoreUnavailable

P = ParamSpec("P")
T = TypeVar("T")
Connection: TypeAlias = sqlite3.Connection
"""What an operation works with: the tables, inside a transaction."""
Row: TypeAlias = sqlite3.Row
"""A row of a result, for the modules of the tables."""
Operation = Callable[Concatenate[Connection, P], T]
"""A function that works on the tables, inside the transaction that `StoreDatabase` opens for it."""


class StoreDatabase:
    """A connection to one file. Calls may come from different threads, but the caller must make only one at a time."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def close(self) -> None:
        """Close the file. Repeating it does nothing."""
        self._connection.close()

    def write(self, operation: Operation[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run `operation` in a transaction. It is committed if `operation` returns, and rolled back if it raises.

        Raises `StoreError`, including `StoreUnavailable`, and whatever `operation` raises.
        """
        return self._transact("BEGIN IMMEDIATE", operation, *args, **kwargs)

    def read(self, operation: Operation[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run `operation`, which must only read, against one snapshot of the tables. Raises as `write`."""
        return self._transact("BEGIN", operation, *args, **kwargs)

    def _transact(self, begin: str, operation: Operation[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        with translated_errors():
            self._connection.execute(begin)
            try:
                result = operation(self._connection, *args, **kwargs)
                self._connection.execute("COMMIT")
            except BaseException:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise
            return result


@contextmanager
def translated_errors() -> Iterator[None]:
    """Raise the engine's errors in the block as `StoreError`, with the same text."""
    try:
        yield
    except sqlite3.OperationalError as error:
        raise StoreUnavailable(str(error)) from error
    except sqlite3.Error as error:
        raise StoreError(str(error)) from error


@contextmanager
def undone(connection: Connection) -> Iterator[None]:
    """Undo what the block writes, inside the current transaction. If it raises, the caller undoes the transaction."""
    connection.execute("SAVEPOINT undone")
    yield
    connection.execute("ROLLBACK TO undone")
    connection.execute("RELEASE undone")


def migrate(connection: Connection, migrations: Sequence[str]) -> None:
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


def _version(connection: Connection) -> int:
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
    if statement.strip():  # the last one, without a semicolon
        yield statement
