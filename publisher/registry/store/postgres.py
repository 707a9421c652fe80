"""The adapter for PostgreSQL, through SQLAlchemy Core and psycopg. This module and `postgres_schema` alone know them.

Each process has one connection to the lineages and one to the accounts, as with SQLite. Writers wait for a lock on the
whole of their tables, so an operation sees nothing that another one is about to change, and SQLite's rules hold.
Operations on disjoint rows share that lock (`StoreDatabase.write_alongside`).
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import lru_cache
from typing import Any

import sqlalchemy
from psycopg.types.numeric import IntLoader
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError, SQLAlchemyError

from roar_publisher.registry.store.database import Writing
from roar_publisher.registry.store.errors import StoreError, StoreUnavailable
from roar_publisher.registry.store.lists import expanded, has_lists

PREPARED_STATEMENTS = 500
"""Size of the connection's cache of prepared statements."""
CONNECT_SECONDS = 10
STATEMENTS = 2048
"""Translated statements that are remembered."""
ROWS_AHEAD = 50
"""Rows of a stream that are in memory at once."""
NOWHERE = "\U0010ffff"
"""A character that no digest, hash or uid has."""
SETTINGS = (
    "SET idle_in_transaction_session_timeout = '60s'",  # a worker that hangs must not stop the others
    "SET lock_timeout = '30s'",
    "SET client_encoding = 'UTF8'",
)
_PLACE = re.compile(r"'[^']*'|%|\?|:([a-z_][a-z_0-9]*)")


class PostgresRow(tuple[Any, ...]):
    """A row whose key may be a column's name. Each result has a class of its own, with its names."""

    __slots__ = ()
    names: Mapping[str, int]

    def __getitem__(self, key: Any) -> Any:
        return tuple.__getitem__(self, self.names[key] if isinstance(key, str) else key)

    def keys(self) -> list[str]:
        """Return the names of the columns."""
        return list(self.names)


class PostgresResult:
    """The result of a statement."""

    def __init__(self, result: sqlalchemy.CursorResult[Any]) -> None:
        self._result = result
        self._row = _row_class(tuple(result.keys())) if result.returns_rows else PostgresRow

    @property
    def rowcount(self) -> int:
        """The number of rows that the statement changed."""
        return max(0, self._result.rowcount)

    def fetchone(self) -> PostgresRow | None:
        """Return the next row, or None."""
        row = self._result.fetchone()
        return None if row is None else self._row(row)

    def fetchall(self) -> list[PostgresRow]:
        """Return the other rows."""
        return [self._row(row) for row in self._result.fetchall()]

    def __iter__(self) -> Iterator[PostgresRow]:
        return map(self._row, self._result)

    def close(self) -> None:
        """End the statement."""
        self._result.close()


class NothingDone:
    """The result of no statement."""

    rowcount = 0

    def fetchone(self) -> None:
        """Return None."""

    def fetchall(self) -> list[Any]:
        """Return no rows."""
        return []

    def __iter__(self) -> Iterator[Any]:
        return iter(())

    def close(self) -> None:
        """Do nothing."""


class PostgresConnection:
    """A connection to one group of tables of a database. It connects when it is needed, and after a loss anew.

    `lock` is the number of the tables' lock.
    """

    def __init__(self, engine: sqlalchemy.Engine, lock: int) -> None:
        self._engine = engine
        self._lock = lock
        self._connection: sqlalchemy.Connection | None = None
        self._in_transaction = self._closed = False
        self._streams: list[PostgresResult] = []

    def execute(self, sql: str, parameters: Sequence[object] | Mapping[str, object] = (), /) -> PostgresResult:
        return PostgresResult(self._run(sql, parameters, {}))

    def stream(self, sql: str, parameters: Mapping[str, object], /) -> PostgresResult:
        rows = PostgresResult(self._run(sql, parameters, {"stream_results": True, "max_row_buffer": ROWS_AHEAD}))
        self._streams.append(rows)
        return rows

    def executemany(
        self, sql: str, rows: Sequence[Sequence[object]] | Sequence[Mapping[str, object]], /
    ) -> "PostgresResult | NothingDone":
        if not rows:
            return NothingDone()
        values: Any = rows if isinstance(rows[0], Mapping) else [tuple(row) for row in rows]
        return PostgresResult(self._current().exec_driver_sql(translated(sql), values))

    def lock(self, name: str) -> None:
        self.execute("SELECT pg_advisory_xact_lock(hashtextextended(:name, :lock))", {"name": name, "lock": self._lock})

    def begin(self, writing: Writing | None) -> None:
        if writing is None:
            self._do("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
        else:
            shared = "_shared" if writing is Writing.ALONGSIDE else ""
            self._do(f"BEGIN; SELECT pg_advisory_xact_lock{shared}({self._lock})")
        self._in_transaction = True

    def commit(self) -> None:
        self._close_streams()
        self._do("COMMIT")
        self._in_transaction = False

    def rollback(self) -> None:
        connection, begun = self._connection, self._in_transaction
        self._in_transaction = False
        if connection is None:
            return
        try:
            self._close_streams()
            if begun and not connection.invalidated:
                self._do("ROLLBACK")
        except SQLAlchemyError:
            connection.invalidate()
        if connection.invalidated:
            self._disconnect()

    def close(self) -> None:
        self._closed = True
        self._disconnect()

    def translated_errors(self) -> AbstractContextManager[None]:
        return translated_errors()

    def _disconnect(self) -> None:
        if self._connection is not None:
            connection, self._connection = self._connection, None
            connection.close()

    def _close_streams(self) -> None:
        streams, self._streams = self._streams, []
        for stream in streams:
            stream.close()

    def _run(
        self, sql: str, parameters: Sequence[object] | Mapping[str, object], options: dict[str, Any]
    ) -> sqlalchemy.CursorResult[Any]:
        if isinstance(parameters, Mapping):
            if has_lists(parameters):
                sql, parameters = expanded(sql, parameters)
            values: Any = {name: _storable(value) for name, value in parameters.items()}
        else:
            values = tuple(map(_storable, parameters))
        return self._current().exec_driver_sql(translated(sql), values, execution_options=options)

    def _do(self, sql: str) -> None:
        self._current().exec_driver_sql(sql)

    def _current(self) -> sqlalchemy.Connection:
        if self._closed:
            raise StoreError("the store is closed")
        if self._connection is None:
            self._connection = self._engine.connect()
        return self._connection


def create_engine(url: str) -> sqlalchemy.Engine:
    """Return the engine for `postgresql://…`. It does not connect yet. Raises `StoreError` for another URL."""
    try:
        address = sqlalchemy.make_url(url)
        if address.get_backend_name() not in ("postgresql", "postgres"):
            raise StoreError("the database is not given as postgresql://…")
        engine = sqlalchemy.create_engine(
            address.set(drivername="postgresql+psycopg"),
            isolation_level="AUTOCOMMIT",  # transactions begin with the words of `PostgresConnection.begin`
            connect_args={"connect_timeout": CONNECT_SECONDS, "application_name": "roar registry"},
            poolclass=sqlalchemy.NullPool,  # each store keeps its own connection
            pool_reset_on_return=None,
        )
    except (SQLAlchemyError, ValueError) as error:
        raise StoreError(f"the address of the database is invalid: {error}") from error
    sqlalchemy.event.listen(engine, "connect", _prepare_connection)
    return engine


@contextmanager
def translated_errors() -> Iterator[None]:
    """Raise SQLAlchemy's errors in the block as `StoreError`, with the text of PostgreSQL."""
    try:
        yield
    except (OperationalError, InterfaceError) as error:
        raise StoreUnavailable(_text(error)) from error
    except DBAPIError as error:
        raise (StoreUnavailable if error.connection_invalidated else StoreError)(_text(error)) from error
    except SQLAlchemyError as error:
        raise StoreError(str(error)) from error


@lru_cache(STATEMENTS)
def translated(sql: str) -> str:
    """Return a statement with the placeholders of psycopg."""
    return _PLACE.sub(_placeholder, sql)


def _storable(value: object) -> object:
    """Return a value that PostgreSQL takes. What is sought with NUL is not there, because no text is stored with it."""
    return value.replace("\0", NOWHERE) if isinstance(value, str) and "\0" in value else value


def _placeholder(found: re.Match[str]) -> str:
    text = found[0]
    if text == "?":
        return "%s"
    return f"%({found[1]})s" if found[1] else text.replace("%", "%%")


@lru_cache(STATEMENTS)
def _row_class(names: tuple[str, ...]) -> type[PostgresRow]:
    positions = {name: number for number, name in reversed(list(enumerate(names)))}
    return type("PostgresRow", (PostgresRow,), {"names": positions, "__slots__": ()})


def _prepare_connection(connection: Any, _record: object) -> None:
    connection.prepared_max = PREPARED_STATEMENTS
    connection.adapters.register_loader("numeric", IntLoader)  # sums of integers; there are no other numerics
    with connection.cursor() as cursor:
        for setting in SETTINGS:
            cursor.execute(setting)
        cursor.execute("SHOW synchronous_commit")
        if cursor.fetchone() == ("off",):
            cursor.execute("SET synchronous_commit = on")


def _text(error: DBAPIError) -> str:
    return str(error.orig).strip()
