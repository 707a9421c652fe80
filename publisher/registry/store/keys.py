"""The table of SSH keys."""

from msgspec import Struct

from roar_publisher.registry.store.database import Connection
from roar_publisher.registry.store.errors import AlreadyExists, NotFound
from roar_publisher.registry.store.users import User, find_user, user_of


class PublicKey(Struct, frozen=True):
    """A key, as stored. `public` is its type and base64, without options and comment."""

    fingerprint: str
    public: str
    comment: str


def add_key(connection: Connection, user_name: str, key: PublicKey) -> None:
    """Let a key sign for a user. Raises `NotFound`, and `AlreadyExists` if the key is registered already."""
    user = find_user(connection, user_name)
    added = connection.execute(
        "INSERT INTO keys (fingerprint, user_id, public, comment) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING",
        (key.fingerprint, user.id, key.public, key.comment),
    )
    if added.rowcount == 0:
        raise AlreadyExists("key", f"the key {key.fingerprint} is registered already")


def remove_key(connection: Connection, key_fingerprint: str) -> None:
    """Remove a key. Raises `NotFound`."""
    if connection.execute("DELETE FROM keys WHERE fingerprint = ?", (key_fingerprint,)).rowcount == 0:
        raise NotFound("key", key_fingerprint)


def keys(connection: Connection) -> list[tuple[str, PublicKey]]:
    """Return all keys, each with the name of its user."""
    rows = connection.execute(
        "SELECT name, fingerprint, public, comment FROM keys JOIN users ON users.id = user_id"
        " ORDER BY name, fingerprint"
    )
    return [(name, PublicKey(*key)) for name, *key in rows]


def key_holder(connection: Connection, keyid: str) -> tuple[User, str] | None:
    """Return the user and the public key for this fingerprint; None if the key is unknown."""
    row = connection.execute(
        "SELECT users.*, public FROM keys JOIN users ON users.id = user_id WHERE fingerprint = ?", (keyid,)
    ).fetchone()
    return None if row is None else (user_of(row), row["public"])
