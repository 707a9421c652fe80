"""Moving of a whole store from SQLite to PostgreSQL."""

from roar_publisher.registry.data import Store
from roar_publisher.registry.store.database import Connection
from roar_publisher.registry.store.moving import move
from roar_publisher.registry.store.postgres_schema import lock_accounts


def move_store(source: Store, target: Store) -> dict[str, int]:
    """Copy lineages and accounts to an empty store on PostgreSQL, and return the numbers of rows of all tables.

    All of it is one transaction: whenever this ends, everything is there or nothing. Raises `StoreError`.
    """

    def move_both(connection: Connection) -> dict[str, int]:
        lock_accounts(connection)
        moved = source.read(lambda lineages: move(connection, lineages))
        return moved | source.accounts.read(lambda accounts: move(connection, accounts))

    return target.write(move_both)
