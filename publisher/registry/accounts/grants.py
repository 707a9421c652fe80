"""The registry's own bearer tokens: issue, check, refresh, revoke.

A token is 256 random bits. The file holds only its SHA-256, which is safe because the token is random. A grant is one
sign-in. It has one refresh token, which is replaced when it is used, and the access tokens made with it.

If a used refresh token is presented again, either use may have been by a thief, so the grant is revoked (RFC 9700
§4.14.2). The exception is a client that did not receive the reply and repeats the request: for `REPEAT_SECONDS`, and
until the new refresh token is used, it gets the same reply. That reply is derived from the spent token and a salt that
is stored for that time, so the file alone does not reveal it.
"""

import hashlib
import hmac
import secrets
import sqlite3
from base64 import urlsafe_b64encode
from dataclasses import dataclass, field
from enum import Enum

from roar_publisher.registry.accounts.users import Unknown, User, find_user, new_id, user_of

TOKEN_SIZE = 32
"""Bytes."""
ACCESS_LIFETIME = 3600.0
"""Default lifetime of an access token, in seconds."""
REFRESH_LIFETIME = 30 * 86400.0
"""Seconds from the last refresh to the end of a grant."""


REPEAT_SECONDS = 120.0
"""Seconds in which a refresh may be repeated. A client waits up to 20 s for a reply, and up to 60 s on its second
attempt."""


class NoTokens(Enum):
    """Why a refresh token gets no new tokens."""

    UNKNOWN = "never issued, revoked or expired"
    REUSED = "used before, and its grant is revoked now"


@dataclass(frozen=True, slots=True)
class Tokens:
    """New tokens, which are shown once. `expires_at` and `refresh_expires_at` are in Unix seconds."""

    grant_id: str
    access_token: str = field(repr=False)
    refresh_token: str = field(repr=False)
    expires_at: float
    refresh_expires_at: float


@dataclass(frozen=True, slots=True)
class Grant:
    """A sign-in, for listings.

    `issued_at` and `expires_at` are in Unix seconds; the latter is that of the refresh token.
    """

    id: str
    user: str
    issued_at: float
    expires_at: float


def issue(
    connection: sqlite3.Connection, user_name: str, *, now: float, lifetime: float = ACCESS_LIFETIME
) -> tuple[User, Tokens]:
    """Sign a user in. `lifetime` is in seconds and applies to this access token and to those from refreshes.

    Raises `Unknown`.
    """
    user = find_user(connection, user_name)
    _forget_expired(connection, now)
    tokens = _new_tokens(new_id(), now, lifetime)
    connection.execute(
        "INSERT INTO grants (id, user_id, refresh_hash, expires_at, issued_at, lifetime) VALUES (?, ?, ?, ?, ?, ?)",
        (tokens.grant_id, user.id, _hash(tokens.refresh_token), tokens.refresh_expires_at, now, lifetime),
    )
    _keep_access_token(connection, tokens)
    return user, tokens


def bearer(connection: sqlite3.Connection, access_token: str, now: float) -> User | None:
    """Return the user of an access token; None if the token is unknown, expired or revoked."""
    row = connection.execute(
        "SELECT users.* FROM access_tokens AS token"
        " JOIN grants ON grants.id = grant_id JOIN users ON users.id = user_id"
        " WHERE hash = ? AND token.expires_at > ?",
        (_hash(access_token), now),
    ).fetchone()
    return None if row is None else user_of(row)


def refresh(connection: sqlite3.Connection, refresh_token: str, now: float) -> Tokens | NoTokens:
    """Exchange a refresh token for new tokens. The refresh token is spent afterwards.

    A repeat within `REPEAT_SECONDS` returns the same tokens. Any other use of a spent token ends the grant. Earlier
    access tokens stay valid until they expire, because requests in flight carry them.
    """
    _forget_expired(connection, now)
    digest = _hash(refresh_token)
    row = connection.execute("SELECT id, lifetime, expires_at FROM grants WHERE refresh_hash = ?", (digest,)).fetchone()
    if row is None:
        return _repeated(connection, refresh_token, now)
    salt = secrets.token_bytes(TOKEN_SIZE)
    tokens = _successors(row["id"], refresh_token, salt, now, row["lifetime"])
    connection.execute(
        "INSERT INTO spent_refresh_tokens (hash, grant_id, spent_at, expires_at, salt) VALUES (?, ?, ?, ?, ?)",
        (digest, tokens.grant_id, now, row["expires_at"], salt),
    )
    connection.execute(
        "UPDATE grants SET refresh_hash = ?, expires_at = ? WHERE id = ?",
        (_hash(tokens.refresh_token), tokens.refresh_expires_at, tokens.grant_id),
    )
    _keep_access_token(connection, tokens)
    return tokens


def _repeated(connection: sqlite3.Connection, refresh_token: str, now: float) -> Tokens | NoTokens:
    spent = connection.execute(
        "SELECT grant_id, spent_at, salt, refresh_hash, lifetime FROM spent_refresh_tokens AS spent"
        " JOIN grants ON grants.id = grant_id WHERE hash = ?",
        (_hash(refresh_token),),
    ).fetchone()
    if spent is None:
        return NoTokens.UNKNOWN
    if spent["salt"] is not None:
        tokens = _successors(spent["grant_id"], refresh_token, spent["salt"], spent["spent_at"], spent["lifetime"])
        if now - spent["spent_at"] <= REPEAT_SECONDS and _hash(tokens.refresh_token) == spent["refresh_hash"]:
            return tokens
    revoke(connection, spent["grant_id"])
    return NoTokens.REUSED


def revoke(connection: sqlite3.Connection, grant_id: str) -> None:
    """End a sign-in, which invalidates all its tokens. Raises `Unknown`."""
    if connection.execute("DELETE FROM grants WHERE id = ?", (grant_id,)).rowcount == 0:
        raise Unknown(f"there is no token {grant_id}")


def revoke_bearer(connection: sqlite3.Connection, access_token: str) -> bool:
    """End the sign-in of an access token, even an expired one. Return False if there is no such sign-in (any more)."""
    ended = connection.execute(
        "DELETE FROM grants WHERE id = (SELECT grant_id FROM access_tokens WHERE hash = ?)", (_hash(access_token),)
    )
    return ended.rowcount == 1


def grants(connection: sqlite3.Connection) -> list[Grant]:
    """Return all sign-ins."""
    rows = connection.execute(
        "SELECT grants.id, name, issued_at, expires_at FROM grants JOIN users ON users.id = user_id"
        " ORDER BY name, issued_at"
    )
    return [Grant(*row) for row in rows]


def _new_tokens(grant_id: str, now: float, lifetime: float) -> Tokens:
    access, refreshing = (secrets.token_urlsafe(TOKEN_SIZE) for _ in range(2))
    return Tokens(grant_id, access, refreshing, *_ends(now, lifetime))


def _successors(grant_id: str, refresh_token: str, salt: bytes, now: float, lifetime: float) -> Tokens:
    def derived(purpose: str) -> str:
        made = hmac.digest(salt, f"{purpose}\0{refresh_token}".encode(), "sha256")
        return urlsafe_b64encode(made).decode("ascii").rstrip("=")

    return Tokens(grant_id, derived("access"), derived("refresh"), *_ends(now, lifetime))


def _ends(now: float, lifetime: float) -> tuple[float, float]:
    """Return when an access token and a refresh token that are issued now expire (Unix seconds)."""
    return now + lifetime, now + max(lifetime, REFRESH_LIFETIME)


def _keep_access_token(connection: sqlite3.Connection, tokens: Tokens) -> None:
    connection.execute(
        "INSERT INTO access_tokens (hash, grant_id, expires_at) VALUES (?, ?, ?)",
        (_hash(tokens.access_token), tokens.grant_id, tokens.expires_at),
    )


def _forget_expired(connection: sqlite3.Connection, now: float) -> None:
    connection.execute("DELETE FROM grants WHERE expires_at <= ?", (now,))
    connection.execute("DELETE FROM access_tokens WHERE expires_at <= ?", (now,))
    connection.execute("DELETE FROM spent_refresh_tokens WHERE expires_at <= ?", (now,))
    connection.execute("UPDATE spent_refresh_tokens SET salt = NULL WHERE spent_at < ?", (now - REPEAT_SECONDS,))


def _hash(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()
