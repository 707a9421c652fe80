"""Bearer tokens of the registry's own: issued, checked, refreshed, revoked.

A token is 256 random bits; the file has its SHA-256, which is as good as the token's own randomness.  A grant is one
sign-in: it has one refresh token, which is replaced when it is used, and the access tokens made with it.

A refresh token that comes again after it was used may be a thief's, or its use was one, and nobody can tell which.  So
the grant ends (RFC 9700 §4.14.2).  The exception is a client that never got its answer and asks again: for
`REPEAT_SECONDS`, and until the successor is used, the same request gets the same answer.  The answer is made of the
token that is spent and of a salt that is kept for as long, so the file alone does not hold it.
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
"""Seconds that an access token lives, unless it is issued for another time."""
REFRESH_LIFETIME = 30 * 86400.0
"""Seconds from the last refresh to the end of a grant."""


REPEAT_SECONDS = 120.0
"""Seconds in which a refresh may be repeated: a client waits for an answer up to 20 s, and up to 60 s the next time."""


class NoTokens(Enum):
    """Why a refresh token gets no new tokens."""

    UNKNOWN = "never issued, revoked or expired"
    REUSED = "used before, and its grant is revoked now"


@dataclass(frozen=True, slots=True)
class Tokens:
    """What is shown once, to the person or program that signs in.  expires_at, refresh_expires_at: Unix seconds."""

    grant_id: str
    access_token: str = field(repr=False)
    refresh_token: str = field(repr=False)
    expires_at: float
    refresh_expires_at: float


@dataclass(frozen=True, slots=True)
class Grant:
    """A sign-in as it is listed.  issued_at, expires_at: Unix seconds; the end is the refresh token's."""

    id: str
    user: str
    issued_at: float
    expires_at: float


def issue(
    connection: sqlite3.Connection, user_name: str, *, now: float, lifetime: float = ACCESS_LIFETIME
) -> tuple[User, Tokens]:
    """Sign a user in.  lifetime: seconds of this access token, and of each that it is refreshed to.

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
    """Whose access token this is; None where it is nobody's, or has expired, or was revoked."""
    row = connection.execute(
        "SELECT users.* FROM access_tokens AS token"
        " JOIN grants ON grants.id = grant_id JOIN users ON users.id = user_id"
        " WHERE hash = ? AND token.expires_at > ?",
        (_hash(access_token), now),
    ).fetchone()
    return None if row is None else user_of(row)


def refresh(connection: sqlite3.Connection, refresh_token: str, now: float) -> Tokens | NoTokens:
    """New tokens for a refresh token, which is spent afterwards.

    Repeated in time it returns the same tokens; any other use of a spent token ends the grant.  The access tokens made
    before live on to their end: requests that are under way carry them.
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
    """End a sign-in: all its tokens are dead.  Raises `Unknown`."""
    if connection.execute("DELETE FROM grants WHERE id = ?", (grant_id,)).rowcount == 0:
        raise Unknown(f"there is no token {grant_id}")


def revoke_bearer(connection: sqlite3.Connection, access_token: str) -> bool:
    """End the sign-in that an access token belongs to, also where the token itself has expired; False where there is
    none (any more).
    """
    ended = connection.execute(
        "DELETE FROM grants WHERE id = (SELECT grant_id FROM access_tokens WHERE hash = ?)", (_hash(access_token),)
    )
    return ended.rowcount == 1


def grants(connection: sqlite3.Connection) -> list[Grant]:
    """All sign-ins."""
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
    """When an access token and a refresh token that are made now expire (Unix seconds)."""
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
