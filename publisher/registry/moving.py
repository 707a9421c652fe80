"""Moving of a whole store from one engine to another."""

from roar_publisher.registry.data import Store
from roar_publisher.registry.store.database import Connection
from roar_publisher.registry.store.moving import move


def move_store(source: Store, target: Store) -> dict[str, int]:
    """Copy lineages and accounts to an empty store on PostgreSQL, and return the numbers of rows of all tables.

    Raises `StoreError`; nothing is copied then.
    """

    def move_both(connection: Connection) -> dict[str, int]:
        moved = source.read(lambda lineages: move(connection, lineages))
        accounts = source.accounts.read(lambda rows: target.accounts.write(move, rows))
        return {**moved, **accounts}

    return target.write(move_both)
