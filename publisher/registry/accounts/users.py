"""Users, and the file that holds them with their keys, tokens, owners and projects.

The file is separate from the lineages because commands write it while the registry runs. It uses the rollback journal
with ordinary locks, because with the SQLite of many systems, two processes that share a write-ahead log can corrupt it.
The file holds no usable credentials, only hashes of tokens and public keys.
"""

import secrets
import sqlite3
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from roar_publisher.registry.accounts.schema import MIGRATIONS
from roar_publisher.registry.store.database import Database, migrate
from roar_publisher.registry.store.private_data import make_private_file, secure_folder

DATABASE_NAME = "accounts.db"
BUSY_TIMEOUT = 5.0
"""Seconds that one process waits for another's transaction."""
ID_SIZE = 8
"""Random bytes of an id."""


class Taken(Exception):
    """The name, key or membership exists already. The text says which, as a sentence without a full stop."""


class Unknown(Exception):
    """There is no such user, key, token, owner or project. The text says which, as a sentence without a full stop."""


@dataclass(frozen=True, slots=True)
class User:
    """A user that can sign in.

    `id` is this registry's id, which owns sessions and lineages. `sub` is the TReqs subject. Users that were added here
    have one too, so bearers and SSH keys give the identities of protocol.md §6.
    """

    id: str
    name: str
    sub: str
    email: str | None


class Accounts(Database):
    """The accounts file. Commands and a running registry may open it at the same time."""

    @classmethod
    def open(cls, directory: Path) -> Self:
        """Open the accounts in `directory`, which is created if it is missing, and made private (`private_data`).

        Raises OSError, including `private_data.UnsafeData`, and `sqlite3.Error`, including `database.NewerSchemaError`
        if a later release has written the file.
        """
        secure_folder(directory)
        path = directory / DATABASE_NAME
        make_private_file(path)
        return cls(_connect(str(path)))

    @classmethod
    def in_memory(cls) -> Self:
        """Create accounts in memory, for tests and simulations."""
        return cls(_connect(":memory:"))


def new_id() -> str:
    """Return a new random id."""
    return secrets.token_hex(ID_SIZE)


def add_user(
    connection: sqlite3.Connection,
    name: str,
    *,
    email: str | None = None,
    sub: str | None = None,
    user_id: str | None = None,
) -> User:
    """Add a user. `sub` and `user_id` are generated if they are not given. Raises `Taken`."""
    user = User(user_id or new_id(), name, sub or new_id(), email)
    if connection.execute("SELECT 1 FROM owners WHERE name = ?", (name,)).fetchone() is not None:
        raise Taken(f"{name} is the name of an owner")
    try:
        connection.execute(
            "INSERT INTO users (id, name, sub, email) VALUES (?, ?, ?, ?)", (user.id, user.name, user.sub, user.email)
        )
    except sqlite3.IntegrityError:
        raise Taken(f"there is a user {name} already") from None
    return user


def find_user(connection: sqlite3.Connection, name: str) -> User:
    """Return the user with this name. Raises `Unknown`."""
    row = connection.execute("SELECT * FROM users WHERE name = ?", (name,)).fetchone()
    if row is None:
        raise Unknown(f"there is no user {name}")
    return user_of(row)


def users(connection: sqlite3.Connection) -> list[User]:
    """Return all users, sorted by name."""
    return [user_of(row) for row in connection.execute("SELECT * FROM users ORDER BY name")]


def remove_user(connection: sqlite3.Connection, name: str) -> None:
    """Remove a user with keys, tokens, memberships and own projects. Published lineages stay. Raises `Unknown`."""
    user = find_user(connection, name)
    connection.execute("DELETE FROM projects WHERE owner_id = ?", (user.id,))
    connection.execute("DELETE FROM users WHERE id = ?", (user.id,))


def user_of(row: sqlite3.Row) -> User:
    """Return the user in a row that has the columns of `users`."""
    return User(row["id"], row["name"], row["sub"], row["email"])


def _connect(database: str) -> sqlite3.Connection:
    connection = sqlite3.connect(database, isolation_level=None, check_same_thread=False, timeout=BUSY_TIMEOUT)
    try:
        connection.row_factory = sqlite3.Row
        connection.execute("PRAGMA journal_mode = DELETE")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute("PRAGMA secure_delete = ON")
        migrate(connection, MIGRATIONS)
    except BaseException:
        connection.close()
        raise
    return connection
