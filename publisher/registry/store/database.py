"""The port to the SQL engine: transactions over one database. `sqlite` and `postgres` are its adapters.

The modules of the tables use `Connection` only by `execute`, `executemany` and `stream`, with SQL that SQLite and
PostgreSQL both understand: `ON CONFLICT` instead of `REPLACE`, `RETURNING` for new ids, `CASE` for conditions, no
functions of one engine. Texts are compared by their bytes. All other packages pass the connection on.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from enum import Enum, auto
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


class Writing(Enum):
    """How an operation writes (`StoreDatabase`)."""

    ALONE = auto()
    ALONGSIDE = auto()
    DURABLY = auto()


class Row(Protocol):
    """A row of a result. The key is a column's position or name; of equal names, the first counts."""

    def __getitem__(self, key: int | str, /) -> Any: ...
    def __iter__(self) -> Iterator[Any]: ...
    def __len__(self) -> int: ...
    def keys(self) -> Iterable[str]:
        """Return the names of the columns."""
        ...


class Cursor(Protocol):
    """The result of a statement. Rows are read lazily."""

    @property
    def rowcount(self) -> int:
        """The number of rows that the statement inserted, updated or deleted."""
        ...

    def fetchone(self) -> Any:
        """Return the next `Row`, or None."""
        ...

    def fetchall(self) -> list[Any]:
        """Return the other rows."""
        ...

    def __iter__(self) -> Iterator[Any]: ...
    def close(self) -> None:
        """End the statement before all rows were read."""
        ...


class Connection(Protocol):
    """What an operation works with: the tables, inside a transaction.

    `temporary_folder` is where an operation may write what does not fit into memory; None for the system's folder.
    """

    temporary_folder: Path | None

    def execute(self, sql: str, parameters: Sequence[object] | Mapping[str, object] = (), /) -> Cursor:
        """Run one statement with its values for `?`, or for `:name`. The value of a name may be a list (`lists`)."""
        ...

    def executemany(self, sql: str, rows: Sequence[Sequence[object]] | Sequence[Mapping[str, object]], /) -> Cursor:
        """Run one statement that returns no rows with each of these values. `rowcount` is the sum."""
        ...

    def stream(self, sql: str, parameters: Mapping[str, object], /) -> Cursor:
        """Run a query whose rows must not be in memory at once. Close the result if not all are read."""
        ...

    def translated_errors(self) -> AbstractContextManager[None]:
        """Raise the engine's errors in the block as `StoreError`, with the same text. `StoreDatabase` does it, too."""
        ...


class EngineConnection(Connection, Protocol):
    """A connection to one database, with the transactions of its engine."""

    def begin(self, writing: Writing | None) -> None:
        """Begin a transaction. Without `writing`, it reads from one snapshot."""
        ...

    def commit(self) -> None:
        """Commit the transaction."""
        ...

    def rollback(self) -> None:
        """Undo the transaction. Without one, this does nothing."""
        ...

    def close(self) -> None:
        """Close the connection. Repeating it does nothing."""
        ...


Operation = Callable[Concatenate[Connection, P], T]
"""A function that works on the tables, inside the transaction that `StoreDatabase` opens for it."""


class StoreDatabase:
    """A connection to one database. Calls may come from different threads, but only one at a time."""

    def __init__(self, connection: EngineConnection) -> None:
        self._connection = connection

    def close(self) -> None:
        """Close the connection. Repeating it does nothing."""
        self._connection.close()

    def write(self, operation: Operation[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run `operation` in a transaction. It is committed if `operation` returns, and rolled back if it raises.

        No other operation writes at the same time. Raises `StoreError`, including `StoreUnavailable`, and whatever
        `operation` raises.
        """
        return self._transact(Writing.ALONE, operation, *args, **kwargs)

    def write_alongside(self, operation: Operation[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Like `write`, beside others that were begun in this way, if the engine can do that.

        `operation` must first update a row that every such operation on the same data updates, which makes them wait.
        """
        return self._transact(Writing.ALONGSIDE, operation, *args, **kwargs)

    def write_durably(self, operation: Operation[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Like `write`. Once this returns, a loss of power loses neither this nor anything that was written before."""
        return self._transact(Writing.DURABLY, operation, *args, **kwargs)

    def read(self, operation: Operation[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run `operation`, which must only read, against one snapshot of the tables. Raises as `write`."""
        return self._transact(None, operation, *args, **kwargs)

    def _transact(self, how: Writing | None, operation: Operation[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        connection = self._connection
        with connection.translated_errors():
            try:
                connection.begin(how)
                result = operation(connection, *args, **kwargs)
                connection.commit()
            except BaseException:
                connection.rollback()
                raise
            return result


@contextmanager
def undone(connection: Connection) -> Iterator[None]:
    """Undo what the block writes, inside the current transaction. If it raises, the caller undoes the transaction."""
    connection.execute("SAVEPOINT undone")
    yield
    connection.execute("ROLLBACK TO undone")
    connection.execute("RELEASE undone")
