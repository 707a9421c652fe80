"""The accounts, and their table of users.

Without PostgreSQL they are in a file of their own, because commands write it while the registry runs (`files`). They
hold no usable credentials, only hashes of tokens and public keys.
"""

import secrets
from pathlib import Path
from typing import NamedTuple, Self

from msgspec import Struct

from roar_publisher.registry.store.database import Connection, Row, StoreDatabase
from roar_publisher.registry.store.errors import AlreadyExists, NotFound
from roar_publisher.registry.store.files import IN_MEMORY, connect_accounts
from roar_publisher.registry.store.private_data import ACCOUNTS_NAME, make_private_file, secure_folder

ID_SIZE = 8
"""Random bytes of an id."""


class User(Struct, frozen=True):
    """A user that can sign in.

    `id` is this registry's id, which owns sessions and lineages. `sub` is the TReqs subject. Users that were added here
    have one too, so bearers and SSH keys give the identities of protocol.md §6.
    """

    id: str
    name: str
    sub: str
    email: str | None


class CachedContext(NamedTuple):
    """A user with the access context that was last received, as JSON text; None if there was none.

    `at` is when the service last confirmed it, in Unix seconds.
    """

    user: User
    context: str | None
    at: float | None


class Accounts(StoreDatabase):
    """The accounts, in a file of their own or in PostgreSQL. Commands may open them while the registry runs."""

    @classmethod
    def open(cls, directory: Path, database: str | None = None) -> Self:
        """Open the accounts in `directory`, which is created if it is missing, and made private (`private_data`).

        With `database`, `postgresql://…`, they are there.

        Raises OSError, including `private_data.UnsafeData`, and `StoreError`, including `NewerSchemaError` if a later
        release has written the file.
        """
        if database is not None:
            from roar_publisher.registry.store import postgres_schema  # psycopg is optional

            return cls(postgres_schema.connect_accounts(database))
        secure_folder(directory)
        path = directory / ACCOUNTS_NAME
        make_private_file(path)
        return cls(connect_accounts(str(path)))

    @classmethod
    def in_memory(cls) -> Self:
        """Create accounts in memory, for tests and simulations."""
        return cls(connect_accounts(IN_MEMORY))


def new_id() -> str:
    """Return a new random id."""
    return secrets.token_hex(ID_SIZE)


def add_user(
    connection: Connection,
    name: str,
    *,
    email: str | None = None,
    sub: str | None = None,
    user_id: str | None = None,
) -> User:
    """Add a user. `sub` and `user_id` are generated if they are not given. Raises `AlreadyExists`.

    Without a `sub`, the user has no TReqs account until `link_user`.
    """
    user = User(user_id or new_id(), name, sub or new_id(), email)
    if connection.execute("SELECT 1 FROM owners WHERE name = ?", (name,)).fetchone() is not None:
        raise AlreadyExists("owner", f"{name} is the name of an owner")
    added = connection.execute(
        "INSERT INTO users (id, name, sub, email, unlinked) VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
        (user.id, user.name, user.sub, user.email, int(sub is None)),
    )
    if added.rowcount == 0:
        raise AlreadyExists("user", f"there is a user {name} already")
    return user


def find_user(connection: Connection, name: str) -> User:
    """Return the user with this name. Raises `NotFound`."""
    row = connection.execute("SELECT * FROM users WHERE name = ?", (name,)).fetchone()
    if row is None:
        raise NotFound("user", name)
    return user_of(row)


def users(connection: Connection) -> list[User]:
    """Return all users, sorted by name."""
    return [user_of(row) for row in connection.execute("SELECT * FROM users ORDER BY name")]


def remove_user(connection: Connection, name: str) -> None:
    """Remove a user with keys, tokens, memberships and own projects. Published lineages stay. Raises `NotFound`."""
    user = find_user(connection, name)
    connection.execute("DELETE FROM projects WHERE owner_id = ?", (user.id,))
    connection.execute("DELETE FROM users WHERE id = ?", (user.id,))


def link_user(connection: Connection, name: str, sub: str) -> User:
    """Make a TReqs subject that of a user. What was cached for an earlier subject is forgotten.

    Raises `NotFound`, and `AlreadyExists` if it is the subject of another user.
    """
    user = find_user(connection, name)
    known = user_with_subject(connection, sub)
    if known is not None and known.user != user:
        raise AlreadyExists("user", f"the user {known.user.name} is linked to this TReqs account already")
    connection.execute(
        "UPDATE users SET sub = :sub, unlinked = 0, context = NULL, context_at = NULL WHERE id = :id",
        {"id": user.id, "sub": sub},
    )
    return User(user.id, user.name, sub, user.email)


def unlinked_user_with_email(connection: Connection, email: str) -> User | None:
    """Return the only user without a TReqs account who has this address; None if there is none, or several."""
    rows = connection.execute(
        "SELECT * FROM users WHERE email = :email AND unlinked = 1 LIMIT 2", {"email": email}
    ).fetchall()
    return user_of(rows[0]) if len(rows) == 1 else None


def user_with_subject(connection: Connection, sub: str) -> CachedContext | None:
    """Return the user with this TReqs subject; None if there is none."""
    row = connection.execute("SELECT * FROM users WHERE sub = ?", (sub,)).fetchone()
    return None if row is None else CachedContext(user_of(row), row["context"], row["context_at"])


def cached_context(connection: Connection, user_id: str, *, since: float) -> str | None:
    """Return the JSON text of a user's last access context; None if none was confirmed since then (Unix seconds)."""
    row = connection.execute(
        "SELECT context FROM users WHERE id = :id AND context_at >= :since", {"id": user_id, "since": since}
    ).fetchone()
    return None if row is None else row["context"]


def cache_context(connection: Connection, user_id: str, context: str, email: str | None, now: float) -> None:
    """Store the JSON text of a user's access context, which is confirmed now, and the email address in it."""
    connection.execute(
        "UPDATE users SET context = :context, context_at = :now, email = :email WHERE id = :id",
        {"id": user_id, "context": context, "email": email, "now": now},
    )


def date_contexts(connection: Connection, now: float) -> None:
    """Let the age of contexts that an earlier release stored, without a time, begin now."""
    connection.execute(
        "UPDATE users SET context_at = :now WHERE context IS NOT NULL AND context_at IS NULL", {"now": now}
    )


def user_of(row: Row) -> User:
    """Return the user in a row that has the columns of `users`."""
    return User(row["id"], row["name"], row["sub"], row["email"])
