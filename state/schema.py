"""The journal's schema: a new journal is made with it, an older one is migrated to it, a newer one is refused.

It does not import sqlite-utils. That library runs the migrations of an older journal, and few commands meet one.
"""

import sqlite3
from datetime import UTC, datetime

from roar_publisher.state.errors import LocalProblem
from roar_publisher.state.reasons import Reason
from roar_publisher.state.tables import TABLES

MIGRATIONS = (
    "m001_first_tables",
    "m002_objects",
    "m003_queue",
    "m004_tags",
    "m005_owed",
    "m006_binding",
    "m007_receipt",
    "m008_verification",
)
"""The names of all migrations (`migrations`), in their order."""
MIGRATION_SET = "journal"
MIGRATIONS_TABLE = "_sqlite_migrations"
"""Where sqlite-utils keeps which migrations were applied."""


def migrate(connection: sqlite3.Connection) -> None:
    """Make the tables, or bring them up to this release. Raises LocalProblem if a newer release wrote the journal."""
    refuse_newer(connection)
    if not has_table(connection, MIGRATIONS_TABLE):
        create(connection)
    elif outdated(connection):
        from roar_publisher.state.migrations import upgrade

        upgrade(connection)


def create(connection: sqlite3.Connection) -> None:
    """Make the tables of this release in an empty journal, in one transaction, as the migrations would have."""
    now = str(datetime.now(UTC))
    connection.execute("BEGIN IMMEDIATE")
    try:
        for statement in TABLES:
            connection.execute(statement)
        connection.executemany(
            f"INSERT INTO {MIGRATIONS_TABLE} (migration_set, name, applied_at) VALUES (?, ?, ?)",
            [(MIGRATION_SET, name, now) for name in MIGRATIONS],
        )
        connection.execute("INSERT INTO queue DEFAULT VALUES")
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def outdated(connection: sqlite3.Connection) -> bool:
    """Return whether migrations are pending."""
    return not set(MIGRATIONS) <= set(_applied(connection))


def refuse_newer(connection: sqlite3.Connection) -> None:
    """Raise LocalProblem if a newer release wrote the journal. Changes nothing."""
    if not set(_applied(connection)) <= set(MIGRATIONS):
        raise newer()


def has_table(connection: sqlite3.Connection, name: str) -> bool:
    """Return whether the file has this table."""
    found = connection.execute("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = ?", [name])
    return found.fetchone() is not None


def _applied(connection: sqlite3.Connection) -> list[str]:
    if not has_table(connection, MIGRATIONS_TABLE):
        return []
    rows = connection.execute(f"SELECT name FROM {MIGRATIONS_TABLE} WHERE migration_set = ?", [MIGRATION_SET])
    return [name for (name,) in rows]


def newer() -> LocalProblem:
    """Return the error of a journal that a newer release wrote."""
    return LocalProblem(
        "this publish was journaled by a newer release",
        kept="The journal is untouched.",
        next_step="pip install --upgrade roar-publisher",
        reason=Reason.NEWER_JOURNAL,
    )


def is_full(error: sqlite3.Error) -> bool:
    """Return whether SQLite ran out of room (SQLITE_FULL)."""
    return getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL
