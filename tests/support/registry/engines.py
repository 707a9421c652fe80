"""The SQL engines behind a store."""

import pytest

from roar_publisher.registry.store.database import StoreDatabase
from roar_publisher.registry.store.sqlite import SQLiteConnection


def sqlite_of(database: StoreDatabase) -> SQLiteConnection:
    """The connection of a store on SQLite, for what only SQLite can tell."""
    connection = database._connection
    if not isinstance(connection, SQLiteConnection):
        pytest.skip("asks SQLite about itself")
    return connection
