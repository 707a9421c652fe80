"""Tables of registries in memory: made once in a process, then copied, which takes a tenth of the time."""

import sqlite3
from collections.abc import Sequence

from roar_publisher.registry.store import files
from roar_publisher.registry.store.sqlite import SQLiteConnection, migrate

_templates: dict[tuple[str, ...], sqlite3.Connection] = {}


def copy_tables() -> None:
    """Let every store in memory of this process begin with a copy of the tables. Repetition is harmless."""
    setattr(files, "migrate", _copy_or_migrate)  # noqa: B010  it imports it


def _copy_or_migrate(connection: SQLiteConnection, migrations: Sequence[str]) -> None:
    """Migrate as the registry does; a database in memory becomes a copy of the first one with these migrations."""
    (_, _, file) = connection.execute("PRAGMA database_list").fetchone()
    template = _templates.get(tuple(migrations))
    if not file and template is not None:
        template.backup(connection)
    migrate(connection, migrations)
    if not file and template is None:
        template = _templates[tuple(migrations)] = sqlite3.connect(":memory:", check_same_thread=False)
        connection.backup(template)
