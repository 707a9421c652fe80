"""SSH keys: whose they are, and whether a signature was made by one of them (`protocol.md §3`)."""

import functools
import re
import sqlite3
from base64 import b64decode
from dataclasses import dataclass
from typing import TYPE_CHECKING

from publisher.glaas.signature import NAMESPACE, fingerprint, framed, ssh_string, sshsig
from publisher.registry.accounts import Taken, Unknown, User, find_user, user_of

if TYPE_CHECKING:
    from asyncssh.sshsig import SSHAllowedSigners
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

KEY_TYPES = re.compile(r"ssh-ed25519|ssh-rsa|ecdsa-sha2-nistp\d+|sk-(ssh-ed25519|ecdsa-sha2-nistp256)@openssh\.com")
SMALLEST_RSA = 2048
"""Bits."""
PARSED_KEYS = 256
"""Public keys that are kept parsed."""
ED25519_KEY_SIZE, ED25519_SIZE = 32, 64
"""Bytes of a key, and of a signature (RFC 8032)."""
_ED25519 = b"ssh-ed25519"
_PRINCIPAL = "user"
_BLOB_HEAD = b"SSHSIG" + (1).to_bytes(4, "big")


@dataclass(frozen=True, slots=True)
class PublicKey:
    """A key as it is kept.  public: its type and base64, without options and comment."""

    fingerprint: str
    public: str
    comment: str


class NoKey(Exception):
    """A text is no public key that is taken; the exception's text says why, as a sentence without its stop."""


def parse_key(text: str) -> PublicKey:
    """The key in the text of a `.pub` file.  Raises `NoKey`."""
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    fields = lines[0].split(maxsplit=2) if len(lines) == 1 else []
    if len(fields) < 2:
        raise NoKey("the file holds no single line with a public key (the .pub file is meant)")
    kind, encoded, comment = [*fields, ""][:3]
    if not KEY_TYPES.fullmatch(kind):
        raise NoKey("this kind of key is not taken: use ed25519, ECDSA or RSA")
    try:
        blob = b64decode(encoded, validate=True)
    except ValueError:
        raise NoKey("the key is damaged") from None
    _check(f"{kind} {encoded}")
    return PublicKey(fingerprint(blob), f"{kind} {encoded}", comment.strip())


def add_key(connection: sqlite3.Connection, user_name: str, key: PublicKey) -> None:
    """Let this key sign for a user.  Raises `Unknown`, and `Taken` where somebody has the key."""
    user = find_user(connection, user_name)
    try:
        connection.execute(
            "INSERT INTO keys (fingerprint, user_id, public, comment) VALUES (?, ?, ?, ?)",
            (key.fingerprint, user.id, key.public, key.comment),
        )
    except sqlite3.IntegrityError:
        raise Taken(f"the key {key.fingerprint} is known already") from None


def remove_key(connection: sqlite3.Connection, key_fingerprint: str) -> None:
    """From now on the key signs for nobody.  Raises `Unknown`."""
    if connection.execute("DELETE FROM keys WHERE fingerprint = ?", (key_fingerprint,)).rowcount == 0:
        raise Unknown(f"there is no key {key_fingerprint}")


def keys(connection: sqlite3.Connection) -> list[tuple[str, PublicKey]]:
    """All keys, each after the name of its user."""
    rows = connection.execute(
        "SELECT name, fingerprint, public, comment FROM keys JOIN users ON users.id = user_id"
        " ORDER BY name, fingerprint"
    )
    return [(name, PublicKey(*key)) for name, *key in rows]


def key_holder(connection: sqlite3.Connection, keyid: str) -> tuple[User, str] | None:
    """Whose key has this fingerprint, and the key's public half; None where nobody's has."""
    row = connection.execute(
        "SELECT users.*, public FROM keys JOIN users ON users.id = user_id WHERE fingerprint = ?", (keyid,)
    ).fetchone()
    return None if row is None else (user_of(row), row["public"])


def is_signature(public: str, payload: bytes, blob: bytes) -> bool:
    """Whether `blob` is an SSHSIG of `payload`, in our namespace, by exactly this key."""
    known = b64decode(public.split()[1])
    # A certificate in the key's place would bring validity rules that nobody here keeps.
    if not blob.startswith(_BLOB_HEAD + ssh_string(known)):
        return False
    raw = blob[-ED25519_SIZE:]
    if known.startswith(ssh_string(_ED25519)) and blob == sshsig(known, ssh_string(_ED25519) + ssh_string(raw)):
        return _is_ed25519_signature(known, framed(payload), raw)
    import asyncssh

    try:
        return asyncssh.validate_sshsig(payload, blob, _PRINCIPAL, _allowed_signers(public))
    except (ValueError, asyncssh.Error):  # a hash or a signature algorithm that nobody knows
        return False


def _is_ed25519_signature(public: bytes, data: bytes, signature: bytes) -> bool:
    """The most usual case: every byte of the blob is known but these, and nothing is left for asyncssh to look at."""
    from cryptography.exceptions import InvalidSignature

    try:
        _ed25519_key(public).verify(signature, data)
    except (InvalidSignature, ValueError):
        return False
    return True


@functools.lru_cache(PARSED_KEYS)
def _ed25519_key(public: bytes) -> "Ed25519PublicKey":
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    return Ed25519PublicKey.from_public_bytes(public[-ED25519_KEY_SIZE:])


@functools.lru_cache(PARSED_KEYS)
def _allowed_signers(public: str) -> "SSHAllowedSigners":
    from asyncssh.sshsig import import_allowed_signers

    # Without the namespace a signature that was made for git would pass.
    return import_allowed_signers(f'{_PRINCIPAL} namespaces="{NAMESPACE.decode()}" {public}\n')


def _check(public: str) -> None:
    import asyncssh

    try:
        key = asyncssh.import_public_key(public)
    except (ValueError, asyncssh.Error):
        raise NoKey("the key is damaged") from None
    size: int = getattr(key.pyca_key, "key_size", 0)
    if key.algorithm == b"ssh-rsa" and size < SMALLEST_RSA:
        raise NoKey(f"an RSA key of {size} bits is too weak: {SMALLEST_RSA} are the least")
