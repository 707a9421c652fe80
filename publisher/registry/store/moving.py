"""Moving of all tables from SQLite to an empty PostgreSQL, in one transaction, with counts and hashes checked."""

import hashlib
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any, NamedTuple

from roar_publisher.registry.store.database import Connection
from roar_publisher.registry.store.errors import StoreError

MOVED_AT_ONCE = 500
"""Rows that are in memory at once."""


class Table(NamedTuple):
    """A table. `key` are the columns of its primary key. `is_numbered` says whether the engine chooses its ids."""

    name: str
    columns: tuple[str, ...]
    key: tuple[str, ...]
    is_numbered: bool


class TableContent(NamedTuple):
    """What is in a table."""

    rows: int
    sha256: str


def tables_of(source: Connection) -> list[Table]:
    """Return SQLite's tables, each after those that it refers to."""
    names = source.execute("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY rowid").fetchall()
    tables = []
    for (name,) in names:
        columns = source.execute(f"PRAGMA table_info({name})").fetchall()
        key = sorted((row["pk"], row["name"], row["type"]) for row in columns if row["pk"])
        numbered = len(key) == 1 and key[0][2] == "INTEGER"
        tables.append(Table(name, tuple(row["name"] for row in columns), tuple(name for _, name, _ in key), numbered))
    return tables


def move(target: Connection, source: Connection) -> dict[str, int]:
    """Copy all tables of `source`, and return the numbers of their rows.

    Raises `StoreError` if `target` is not empty, or if the copy differs; then its transaction must be undone.
    """
    tables = tables_of(source)
    for table in tables:
        if target.execute(f"SELECT 1 FROM {table.name} LIMIT 1").fetchone() is not None:
            raise StoreError(f"the database is not empty: there are rows in {table.name}")
    moved = {}
    for table in tables:
        before, after = _copy(table, target, source), content(target, table)
        if before != after:
            raise StoreError(f"the copy of {table.name} differs: {before.rows} rows were read, {after.rows} are there")
        moved[table.name] = after.rows
    return moved


def content(connection: Connection, table: Table) -> TableContent:
    """Return the content of a table, which is the same on both engines for the same rows."""
    hashing = _Hashing()
    for _ in hashing.passed(_rows(connection, table)):
        continue
    return hashing.content()


class _Hashing:
    """The content of rows that pass by, so that those of the source are read once: PostgreSQL ends a transaction in
    which nothing is done for a minute, and reading a large table again would take longer."""

    def __init__(self) -> None:
        self._digest, self._count = hashlib.sha256(), 0

    def passed(self, rows: Iterable[Any]) -> Iterator[tuple[Any, ...]]:
        for row in rows:
            values = tuple(row)
            self._digest.update(repr(values).encode())
            self._count += 1
            yield values

    def content(self) -> TableContent:
        return TableContent(self._count, self._digest.hexdigest())


def _copy(table: Table, target: Connection, source: Connection) -> TableContent:
    """Copy a table, and return what was read."""
    columns, placeholders = ", ".join(table.columns), ", ".join("?" * len(table.columns))
    hashing = _Hashing()
    rows = hashing.passed(_rows(source, table))
    while chunk := list(islice(rows, MOVED_AT_ONCE)):
        target.executemany(f"INSERT INTO {table.name} ({columns}) VALUES ({placeholders})", chunk)
    if table.is_numbered:
        (key,) = table.key
        target.execute(
            f"SELECT setval(pg_get_serial_sequence(:table, :key), max({key})) FROM {table.name} HAVING max({key}) > 0",
            {"table": table.name, "key": key},
        )
    return hashing.content()


def _rows(connection: Connection, table: Table) -> Iterable[Any]:
    columns, key = ", ".join(table.columns), ", ".join(table.key)
    return connection.stream(f"SELECT {columns} FROM {table.name} ORDER BY {key}", {})
