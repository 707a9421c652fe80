"""Copying a journal from an untrusted source into a new journal.

An SQLite file can hold triggers, views, virtual tables, expressions that run when something else is read, and pages
that lead in a circle. Such a file is therefore never migrated or written to:

- It is opened immutable and with `trusted_schema=OFF`. An authorizer allows only plain reads of the journal's tables.
- Its schema must equal, statement by statement, the one that the applied migrations of this program make. Nothing else
  is read before that is checked.
- `quick_check` visits every page once and finds pages that lead in a circle. Limits on work and sizes follow from the
  size of the file.
- Every value must be of the type that its column declares. The values go into a database that this program's migrations
  made, and the remaining migrations bring it up to date.
"""

import math
import os
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

from roar_publisher.state import schema
from roar_publisher.state.migrations import upgrade
from roar_publisher.state.private import create_private

TABLES = ("plan", "progress", "queue", "units", "events", "objects")
"""The tables that are copied. `parts` is not: parts belong to uploads whose names are not exported."""
ONE_ROW = frozenset({"plan", "progress", "queue"})
LONGEST_VALUE_BYTES = 32 * 1024 * 1024
LEAST_STEPS = 20_000_000
"""Instructions of SQLite's virtual machine that any file may take; about a second."""
STEPS_A_BYTE = 50
STEPS_AT_ONCE = 10_000
_MIGRATIONS = schema.MIGRATIONS_TABLE
_MOST_ENTRIES = 100
"""Entries of a schema: more than any release makes."""
_PRAGMAS = frozenset({"trusted_schema", "cell_size_check", "quick_check"})
_CATALOGUE = frozenset({"sqlite_master", "sqlite_schema"})
_LIMITS = {
    sqlite3.SQLITE_LIMIT_LENGTH: LONGEST_VALUE_BYTES,
    sqlite3.SQLITE_LIMIT_SQL_LENGTH: 100_000,
    sqlite3.SQLITE_LIMIT_ATTACHED: 0,
    sqlite3.SQLITE_LIMIT_EXPR_DEPTH: 50,
    sqlite3.SQLITE_LIMIT_TRIGGER_DEPTH: 1,
}
_TYPES: dict[str, tuple[type, ...]] = {"TEXT": (str,), "INTEGER": (int,), "REAL": (int, float), "BLOB": (bytes,)}
Entry = tuple[str, str, str, str]
"""Type, name, table and statement of a schema entry."""


class ForeignSchema(ValueError):
    """The file is not a journal that this program wrote."""


def copy_foreign_journal(foreign: Path, ours: Path) -> None:
    """Write the journal at `foreign` to a new file `ours` with this release's schema.

    `ours` must not exist yet. Raises ForeignSchema or sqlite3.Error if the file is not a journal, LocalProblem if a
    newer release wrote it.
    """
    with closing(_opened(foreign)) as source:
        names = _applied(source)
        _check_schema(source, names)
        if source.execute("PRAGMA quick_check(1)").fetchone() != ("ok",):
            raise ForeignSchema("the database is damaged")
        create_private(ours)
        with closing(sqlite3.connect(ours, isolation_level=None)) as target:
            # A partial copy is useless, so the file is synced only once, when it is complete.
            target.execute("PRAGMA synchronous = OFF")
            upgrade(target, most=len(names))
            target.execute("BEGIN IMMEDIATE")
            for table in TABLES:
                _copy_table(source, target, table)
            target.execute("COMMIT")
            schema.migrate(target)
    with ours.open("rb") as file:
        os.fsync(file.fileno())


def _opened(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro&immutable=1", uri=True, isolation_level=None)
    for limit, value in _LIMITS.items():
        connection.setlimit(limit, value)
    left = (LEAST_STEPS + STEPS_A_BYTE * path.stat().st_size) // STEPS_AT_ONCE

    def exhausted() -> bool:
        nonlocal left
        left -= 1
        return left < 0

    connection.set_progress_handler(exhausted, STEPS_AT_ONCE)
    connection.set_authorizer(_only_reads)
    try:
        connection.execute("PRAGMA trusted_schema = OFF")
        connection.execute("PRAGMA cell_size_check = ON")
    except BaseException:
        connection.close()
        raise
    return connection


def _only_reads(action: int, first: str | None, *_: str | None) -> int:
    allowed = (
        action == sqlite3.SQLITE_SELECT
        or (action == sqlite3.SQLITE_READ and (first in TABLES or first in _CATALOGUE or first == _MIGRATIONS))
        or (action == sqlite3.SQLITE_PRAGMA and first in _PRAGMAS)
    )
    return sqlite3.SQLITE_OK if allowed else sqlite3.SQLITE_DENY


def _entries(connection: sqlite3.Connection) -> list[Entry]:
    """Return the schema in a fixed order."""
    rows = connection.execute("SELECT type, name, tbl_name, sql FROM sqlite_master").fetchmany(_MOST_ENTRIES)
    return sorted((str(kind), str(name), str(table), str(sql)) for kind, name, table, sql in rows)


def _applied(source: sqlite3.Connection) -> list[str]:
    """Return the names of the migrations that made the file. They must be the first of this program's migrations.

    Raises LocalProblem if a newer release added some, ForeignSchema if they are others.
    """
    with _made(0) as empty:
        ours = [entry for entry in _entries(empty) if entry[2] == _MIGRATIONS]
    if [entry for entry in _entries(source) if entry[2] == _MIGRATIONS] != ours:
        raise ForeignSchema("no table of migrations")
    wanted = f"SELECT migration_set, name FROM {_MIGRATIONS} NOT INDEXED"
    names = [name for owner, name in source.execute(wanted).fetchmany(_MOST_ENTRIES) if owner == schema.MIGRATION_SET]
    known = list(schema.MIGRATIONS)
    if names[: len(known)] == known and len(names) > len(known):
        raise schema.newer()
    if not names or names != known[: len(names)]:
        raise ForeignSchema("other migrations")
    return names


def _check_schema(source: sqlite3.Connection, names: Sequence[str]) -> None:
    with _made(len(names)) as ours:
        if _entries(source) != _entries(ours):
            raise ForeignSchema("another schema")


@contextmanager
def _made(migrations: int) -> Iterator[sqlite3.Connection]:
    """Yield an in-memory database made by the first `migrations` migrations."""
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        upgrade(connection, most=migrations)
        yield connection


def _copy_table(source: sqlite3.Connection, target: sqlite3.Connection, table: str) -> None:
    """Copy the rows of a table value by value, if this version has the table."""
    columns = target.execute(f"PRAGMA table_info({table})").fetchall()
    if not columns:
        return
    target.execute(f"DELETE FROM {table}")  # the row that a migration made
    names = ", ".join(name for _, name, *_ in columns)
    places = ", ".join("?" * len(columns))
    count = 0
    for row in source.execute(f"SELECT {names} FROM {table} NOT INDEXED"):
        count += 1
        for value, (_, _, declared, not_null, _, key) in zip(row, columns, strict=True):
            _check(value, declared, required=bool(not_null or key))
        target.execute(f"INSERT INTO {table} ({names}) VALUES ({places})", row)
    if table in ONE_ROW and count != 1:
        raise ForeignSchema(f"{count} rows where one belongs")


def _check(value: object, declared: str, *, required: bool) -> None:
    """Raise ForeignSchema if a value is not of its column's declared type. SQLite itself accepts any type."""
    if value is None and not required:
        return
    if not isinstance(value, _TYPES[declared]) or (isinstance(value, float) and not math.isfinite(value)):
        raise ForeignSchema("a value of another type")
