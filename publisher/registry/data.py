"""The registry's data: lineages and sessions in one SQLite file, accounts in another, and a secret in a third file.

The connection to the lineages holds an exclusive lock on its file while it is open, so SQLite refuses a second registry
on the same data. Commands can open the accounts at the same time (`accounts`). The lineages use a write-ahead log with
`synchronous=NORMAL`: acknowledged writes survive the death of the process. A power failure can lose the latest
transactions, but never part of one.
"""

import os
import secrets
import sqlite3
from pathlib import Path
from typing import Self

from roar_publisher.registry.accounts.users import Accounts
from roar_publisher.registry.lineages import label_versions, slices
from roar_publisher.registry.lineages.sweeping import make_shrinkable
from roar_publisher.registry.store.database import Database, migrate
from roar_publisher.registry.store.private_data import make_private_file, secure_folder
from roar_publisher.registry.store.schema import MIGRATIONS

DATABASE_NAME = "registry.db"
SECRET_NAME = "secret"
SECRET_SIZE = 32
"""Bytes of the key that session tokens are derived from."""
KEPT_LOG = 16 * 2**20
"""Bytes of the write-ahead log file that are kept after a checkpoint."""
STATEMENTS = 128
"""Size of the connection's cache of prepared statements."""


class Store(Database):
    """The lineages and sessions, with the accounts and the secret.

    `accounts` holds users and their credentials. `secret` is the key that session tokens are derived from; it is in a
    file of its own, never in a database.
    """

    def __init__(self, connection: sqlite3.Connection, accounts: Accounts, secret: bytes) -> None:
        super().__init__(connection)
        self.accounts = accounts
        self.secret = secret

    @classmethod
    def open(cls, directory: Path) -> Self:
        """Open the store in `directory`, which is created if it is missing, and made private (`private_data`).

        Raises OSError, including `private_data.UnsafeData`, and `sqlite3.Error`: `sqlite3.OperationalError` if another
        registry runs on this data, `database.NewerSchemaError` if a later release has written it.
        """
        secure_folder(directory)
        make_private_file(directory / DATABASE_NAME)  # SQLite gives the -wal and -shm files the same mode
        try:
            connection = _connect(str(directory / DATABASE_NAME))
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode == sqlite3.SQLITE_BUSY:
                raise sqlite3.OperationalError("another registry runs on this data") from error
            raise
        try:
            # Only after connecting: if two registries start at once, the one that holds the tables creates the secret.
            secret = _secret(directory / SECRET_NAME)
            return cls(connection, Accounts.open(directory), secret)
        except BaseException:
            connection.close()
            raise

    @classmethod
    def in_memory(cls, secret: bytes | None = None) -> Self:
        """Create a store in memory, for tests and simulations."""
        return cls(_connect(":memory:"), Accounts.in_memory(), secret or secrets.token_bytes(SECRET_SIZE))

    def close(self) -> None:
        """Close the store's files. Repeating it does nothing."""
        self.accounts.close()
        super().close()


def _connect(database: str) -> sqlite3.Connection:
    connection = sqlite3.connect(
        database, isolation_level=None, check_same_thread=False, cached_statements=STATEMENTS, timeout=1.0
    )
    try:
        connection.row_factory = sqlite3.Row
        make_shrinkable(connection)
        connection.execute("PRAGMA locking_mode = EXCLUSIVE")
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute(f"PRAGMA journal_size_limit = {KEPT_LOG}")
        connection.execute("PRAGMA foreign_keys = ON")
        slices.define_functions(connection)
        label_versions.define_functions(connection)
        migrate(connection, MIGRATIONS)
    except BaseException:
        connection.close()
        raise
    return connection


def _secret(path: Path) -> bytes:
    """Return the key in `path`. If the file is missing, create it, readable only by its owner."""
    if not path.exists():
        _make_secret(path)
    secret = path.read_bytes()
    if len(secret) != SECRET_SIZE:
        raise OSError(f"{path} is damaged; without it no open session's token is known, remove it to start anew")
    return secret


def _make_secret(path: Path) -> None:
    draft = path.with_suffix(".draft")
    draft.unlink(missing_ok=True)
    with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(secrets.token_bytes(SECRET_SIZE))
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)
