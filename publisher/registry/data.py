"""A registry's data: lineages and sessions in one file, accounts in another (`store.files`), a secret in a third."""

import secrets
from pathlib import Path
from typing import Self

from roar_publisher.registry.receipt_keys import ReceiptKeys
from roar_publisher.registry.store.copies import copy_database
from roar_publisher.registry.store.database import EngineConnection, StoreDatabase
from roar_publisher.registry.store.files import IN_MEMORY, connect_lineages
from roar_publisher.registry.store.private_data import (
    LINEAGES_NAME,
    SECRET_NAME,
    locked,
    make_private_file,
    replace_private_file,
    secure_folder,
)
from roar_publisher.registry.store.users import Accounts

SECRET_SIZE = 32
"""Bytes of the key that session tokens are derived from."""


class Store(StoreDatabase):
    """The lineages and sessions, with the accounts and the secret.

    `accounts` holds users and their credentials. `secret` is the key that session tokens are derived from; it is in a
    file of its own, never in a database. `receipt_keys` sign receipts.
    """

    def __init__(
        self, connection: EngineConnection, accounts: Accounts, secret: bytes, receipt_keys: ReceiptKeys
    ) -> None:
        super().__init__(connection)
        self.accounts = accounts
        self.secret = secret
        self.receipt_keys = receipt_keys

    @classmethod
    def open(cls, directory: Path, database: str | None = None) -> Self:
        """Open the store in `directory`, which is created if it is missing, and made private (`private_data`).

        With `database`, `postgresql://…`, the tables are there, and only the secret is in the folder.

        Raises OSError, including `private_data.UnsafeData`, and `StoreError`: `StoreUnavailable` if another registry
        runs on this data, `NewerSchemaError` if a later release has written it.
        """
        secure_folder(directory)
        if database is not None:
            from roar_publisher.registry.store import postgres_schema  # psycopg is optional

            store = cls._opened(postgres_schema.connect_lineages(database), directory, database)
            try:
                postgres_schema.require_sessions(store, store.accounts)
            except BaseException:
                store.close()
                raise
            return store
        make_private_file(directory / LINEAGES_NAME)  # SQLite gives the -wal and -shm files the same mode
        return cls._opened(connect_lineages(str(directory / LINEAGES_NAME)), directory, None)

    @classmethod
    def _opened(cls, connection: EngineConnection, directory: Path, database: str | None) -> Self:
        connection.temporary_folder = directory
        try:
            secret = _secret(directory / SECRET_NAME)
            return cls(connection, Accounts.open(directory, database), secret, ReceiptKeys(directory))
        except BaseException:
            connection.close()
            raise

    @classmethod
    def in_memory(cls, secret: bytes | None = None) -> Self:
        """Create a store in memory, for tests and simulations."""
        secret = secret or secrets.token_bytes(SECRET_SIZE)
        return cls(connect_lineages(IN_MEMORY), Accounts.in_memory(), secret, ReceiptKeys(None))

    def copy_to(self, target: Path) -> None:
        """Copy the lineages and sessions to a new file, while others use the store. Raises as `copy_database`."""
        copy_database(self._connection, target)

    def close(self) -> None:
        """Close the store's files. Repeating it does nothing."""
        self.accounts.close()
        super().close()


def _secret(path: Path) -> bytes:
    """Return the key in `path`. If the file is missing, create it, readable only by its owner.

    Registries that share a database may also share the folder, and start at once.
    """
    if not path.exists():
        with locked(path):
            if not path.exists():
                replace_private_file(path, secrets.token_bytes(SECRET_SIZE))
    secret = path.read_bytes()
    if len(secret) != SECRET_SIZE:
        raise OSError(f"{path} is damaged; open sessions cannot continue without it: remove it to create a new one")
    return secret
