"""The SQL engines behind a store."""

from roar_publisher.registry.store.database import StoreDatabase
from roar_publisher.registry.store.sqlite import SQLiteConnection


def sqlite_of(database: StoreDatabase) -> SQLiteConnection:
    """The connection of a store on SQLite, for what only SQLite can tell."""
    connection = database._connection
    assert isinstance(connection, SQLiteConnection)
    return connection
