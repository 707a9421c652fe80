"""The adapter for PostgreSQL, through psycopg. This module and `postgres_schema` alone know them.

Each process has one connection to the lineages and one to the accounts, as with SQLite. Writers wait for a lock on the
whole of their tables, so an operation sees nothing that another one is about to change, and SQLite's rules hold.
Operations on disjoint rows share that lock (`StoreDatabase.write_alongside`).
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

import psycopg
from psycopg.conninfo import conninfo_to_dict
from psycopg.types.numeric import IntLoader

from roar_publisher.registry.store.database import Writing
from roar_publisher.registry.store.errors import StoreError, StoreUnavailable, TooLong
from roar_publisher.registry.store.lists import expanded, has_lists

PREPARED_STATEMENTS = 500
"""Size of the connection's cache of prepared statements."""
DEFAULTS = {
    "connect_timeout": 10,
    "application_name": "roar registry",
    # A host that vanishes ends no connection: requests would wait for a quarter of an hour, or for two hours.
    "keepalives_idle": 30,
    "keepalives_interval": 10,
    "keepalives_count": 3,
    "tcp_user_timeout": 60_000,
}
"""What holds unless the address says otherwise (in seconds; `tcp_user_timeout` in milliseconds)."""
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
_PARAMETER = re.compile(r"'[^']*'|%|\?|:([a-z_][a-z_0-9]*)")
_ADDRESS = re.compile(r"postgres(ql)?://([^@/?#\s]*@)?[^@#\s]*")
_UNKNOWN = re.compile(r'invalid URI query parameter: "([A-Za-z_]{1,40})"')


class PostgresRow(tuple[Any, ...]):
    """A row whose key may be a column's name. Each result has a class of its own, with its names."""

    __slots__ = ()
    names: Mapping[str, int]

    def __getitem__(self, key: Any) -> Any:
        return tuple.__getitem__(self, self.names[key] if isinstance(key, str) else key)

    def keys(self) -> list[str]:
        """Return the names of the columns."""
        return list(self.names)


Driver = psycopg.Connection[PostgresRow]


class PostgresConnection:
    """A connection to one group of tables of a database. It connects when it is needed, and after a loss anew.

    `address` is as `checked_address` returns it. `lock` is the number of the tables' lock.
    """

    temporary_folder: Path | None = None

    def __init__(self, address: Mapping[str, Any], lock: int) -> None:
        self._address = address
        self._lock = lock
        self._driver: Driver | None = None
        self._closed = False
        self._streams: list[psycopg.ServerCursor[PostgresRow]] = []

    def execute(
        self, sql: str, parameters: Sequence[object] | Mapping[str, object] = (), /
    ) -> psycopg.Cursor[PostgresRow]:
        return self._connected().execute(*_prepared(sql, parameters))

    def executemany(
        self, sql: str, rows: Sequence[Sequence[object]] | Sequence[Mapping[str, object]], /
    ) -> psycopg.Cursor[PostgresRow]:
        cursor = self._connected().cursor()
        cursor.executemany(translated(sql), rows)
        return cursor

    def stream(self, sql: str, parameters: Mapping[str, object], /) -> psycopg.Cursor[PostgresRow]:
        cursor = self._connected().cursor(f"stream_{len(self._streams)}")
        self._streams.append(cursor)
        cursor.itersize = ROWS_AHEAD
        return cursor.execute(*_prepared(sql, parameters))

    def begin(self, writing: Writing | None) -> None:
        sql = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
        if writing is not None:
            # What others commit while this waits for the lock has to be seen, whatever the database's own default is.
            shared = "_shared" if writing is Writing.ALONGSIDE else ""
            sql = f"BEGIN ISOLATION LEVEL READ COMMITTED; SELECT pg_advisory_xact_lock{shared}({self._lock})"
        kept = self._driver
        try:
            self._do(sql)
        except psycopg.Error:
            if kept is None or not kept.closed:
                raise
            self._disconnect()  # it was ended while nothing used it (a time-out, a restart), so nothing is lost
            self._do(sql)

    def commit(self) -> None:
        self._close_streams()
        self._do("COMMIT")

    def rollback(self) -> None:
        try:
            self._close_streams()
            if self._driver is not None and not self._driver.closed:
                self._driver.rollback()  # also of a transaction that has begun, and did not get its lock
        except psycopg.Error:
            self._disconnect()
        if self._driver is not None and self._driver.closed:
            self._disconnect()

    def close(self) -> None:
        self._closed = True
        self._disconnect()

    def translated_errors(self) -> AbstractContextManager[None]:
        return translated_errors()

    def _disconnect(self) -> None:
        driver, self._driver = self._driver, None
        if driver is not None:
            driver.close()

    def _close_streams(self) -> None:
        while self._streams:
            self._streams.pop().close()

    def _do(self, sql: str) -> None:
        self._connected().execute(sql.encode())

    def _connected(self) -> Driver:
        if self._closed:
            raise StoreError("the store is closed")
        if self._driver is None:
            self._driver = _connect(self._address)
        return self._driver


_UNAVAILABLE = (
    psycopg.OperationalError,
    psycopg.InterfaceError,
    psycopg.errors.FeatureNotSupported,  # a later release has changed a table; PostgreSQL plans the statement again
)


def checked_address(url: str) -> dict[str, Any]:
    """Return the parts of `postgresql://…`, without connecting.

    Raises `StoreError` for another URL. Its text shows nothing of the URL, which may hold a password, but the name of a
    parameter that PostgreSQL does not have.
    """
    if not url.startswith(("postgresql://", "postgres://")):
        raise StoreError("the database is not given as postgresql://…")
    try:
        if not _ADDRESS.fullmatch(url):
            raise psycopg.ProgrammingError
        return DEFAULTS | conninfo_to_dict(url)
    except psycopg.Error as error:
        if unknown := _UNKNOWN.search(str(error)):
            raise StoreError(
                f"the address of the database has the parameter {unknown[1]}, which PostgreSQL does not: leave it out"
            ) from None
        raise StoreError(
            "the address of the database is invalid: give postgresql://USER:PASSWORD@HOST:PORT/NAME, with special"
            " characters of the password as %40"
        ) from None


def _connect(address: Mapping[str, Any]) -> Driver:
    # Transactions begin with the words of `PostgresConnection.begin`.
    try:
        driver = Driver.connect(autocommit=True, row_factory=_row_factory, **address)
    except OSError as error:  # of its selector, if there is no descriptor left
        raise psycopg.OperationalError(str(error)) from error
    try:
        driver.prepared_max = PREPARED_STATEMENTS
        driver.adapters.register_loader("numeric", IntLoader)  # sums of integers; there are no other numerics
        for setting in SETTINGS:
            driver.execute(setting.encode())
        if driver.execute("SHOW synchronous_commit").fetchone() == ("off",):
            driver.execute("SET synchronous_commit = on")
    except BaseException:
        driver.close()
        raise
    return driver


@contextmanager
def translated_errors() -> Iterator[None]:
    """Raise psycopg's errors in the block as `StoreError`, with the text of PostgreSQL."""
    try:
        yield
    except psycopg.errors.ProgramLimitExceeded as error:  # about 2,700 bytes in an index
        raise TooLong(str(error).strip()) from error
    except psycopg.Error as error:
        lost = error.diag.severity_nonlocalized == "FATAL"  # the connection ended, for example after a timeout
        unavailable = lost or isinstance(error, _UNAVAILABLE)
        raise (StoreUnavailable if unavailable else StoreError)(str(error).strip()) from error


def _prepared(sql: str, parameters: Sequence[object] | Mapping[str, object]) -> tuple[bytes, Any]:
    """Return a statement and its values for psycopg."""
    if isinstance(parameters, Mapping) and has_lists(parameters):
        sql, parameters = expanded(sql, parameters)
    if not isinstance(parameters, Mapping):
        return translated(sql), tuple(map(_storable, parameters))
    return translated(sql), {name: _storable(value) for name, value in parameters.items()}


@lru_cache(STATEMENTS)
def translated(sql: str) -> bytes:
    """Return a statement with the placeholders of psycopg."""
    return _PARAMETER.sub(_placeholder, sql).encode()


def _storable(value: object) -> object:
    """Return a value that PostgreSQL takes. What is sought with NUL is not there, because no text is stored with it."""
    return value.replace("\0", NOWHERE) if isinstance(value, str) and "\0" in value else value


def _placeholder(found: re.Match[str]) -> str:
    text = found[0]
    if text == "?":
        return "%s"
    return f"%({found[1]})s" if found[1] else text.replace("%", "%%")


@lru_cache(STATEMENTS)
def _row_class(names: tuple[bytes | None, ...]) -> type[PostgresRow]:
    positions = {(name or b"").decode(): number for number, name in reversed(list(enumerate(names)))}
    return type("PostgresRow", (PostgresRow,), {"names": positions, "__slots__": ()})


def _row_factory(cursor: psycopg.Cursor[Any]) -> type[PostgresRow]:
    result = cursor.pgresult
    return _row_class(() if result is None else tuple(map(result.fname, range(result.nfields))))
