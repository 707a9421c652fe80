"""SSH keys: which are accepted, and whose they are (`protocol.md §3`)."""

import re
import sqlite3
from base64 import b64decode
from dataclasses import dataclass

from roar_publisher.glaas.signature import fingerprint
from roar_publisher.registry.accounts.users import Taken, Unknown, User, find_user, user_of

KEY_TYPES = re.compile(r"ssh-ed25519|ssh-rsa|ecdsa-sha2-nistp\d+|sk-(ssh-ed25519|ecdsa-sha2-nistp256)@openssh\.com")
SMALLEST_RSA = 2048
"""Bits."""


@dataclass(frozen=True, slots=True)
class PublicKey:
    """A key, as stored. `public` is its type and base64, without options and comment."""

    fingerprint: str
    public: str
    comment: str


class InvalidKey(Exception):
    """The text is not an acceptable public key. The exception's text says why, as a sentence without a full stop."""


def parse_key(text: str) -> PublicKey:
    """Parse the text of a `.pub` file. Raises `InvalidKey`."""
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    fields = lines[0].split(maxsplit=2) if len(lines) == 1 else []
    if len(fields) < 2:
        raise InvalidKey("the file holds no single line with a public key (the .pub file is meant)")
    kind, encoded, comment = [*fields, ""][:3]
    if not KEY_TYPES.fullmatch(kind):
        raise InvalidKey("this kind of key is not taken: use ed25519, ECDSA or RSA")
    try:
        blob = b64decode(encoded, validate=True)
    except ValueError:
        raise InvalidKey("the key is damaged") from None
    _check(f"{kind} {encoded}")
    return PublicKey(fingerprint(blob), f"{kind} {encoded}", comment.strip())


def add_key(connection: sqlite3.Connection, user_name: str, key: PublicKey) -> None:
    """Let a key sign for a user. Raises `Unknown`, and `Taken` if the key is registered already."""
    user = find_user(connection, user_name)
    try:
        connection.execute(
            "INSERT INTO keys (fingerprint, user_id, public, comment) VALUES (?, ?, ?, ?)",
            (key.fingerprint, user.id, key.public, key.comment),
        )
    except sqlite3.IntegrityError:
        raise Taken(f"the key {key.fingerprint} is known already") from None


def remove_key(connection: sqlite3.Connection, key_fingerprint: str) -> None:
    """Remove a key. Raises `Unknown`."""
    if connection.execute("DELETE FROM keys WHERE fingerprint = ?", (key_fingerprint,)).rowcount == 0:
        raise Unknown(f"there is no key {key_fingerprint}")


def keys(connection: sqlite3.Connection) -> list[tuple[str, PublicKey]]:
    """Return all keys, each with the name of its user."""
    rows = connection.execute(
        "SELECT name, fingerprint, public, comment FROM keys JOIN users ON users.id = user_id"
        " ORDER BY name, fingerprint"
    )
    return [(name, PublicKey(*key)) for name, *key in rows]


def key_holder(connection: sqlite3.Connection, keyid: str) -> tuple[User, str] | None:
    """Return the user and the public key for this fingerprint; None if the key is unknown."""
    row = connection.execute(
        "SELECT users.*, public FROM keys JOIN users ON users.id = user_id WHERE fingerprint = ?", (keyid,)
    ).fetchone()
    return None if row is None else (user_of(row), row["public"])


def _check(public: str) -> None:
    import asyncssh

    try:
        key = asyncssh.import_public_key(public)
    except (ValueError, asyncssh.Error):
        raise InvalidKey("the key is damaged") from None
    size: int = getattr(key.pyca_key, "key_size", 0)
    if key.algorithm == b"ssh-rsa" and size < SMALLEST_RSA:
        raise InvalidKey(f"an RSA key of {size} bits is too weak: {SMALLEST_RSA} are the least")
