"""The tables of sign-ins: `grants`, their `access_tokens`, and the `spent_refresh_tokens` that were replaced.

Tokens are given as their hashes. Times are in Unix seconds.
"""

from typing import NamedTuple

from msgspec import Struct

from roar_publisher.registry.store.database import Connection
from roar_publisher.registry.store.errors import NotFound
from roar_publisher.registry.store.users import User, user_of

ROAR_CLI, BROWSER = "roar-cli", "browser"
"""Clients of sign-ins."""


class Grant(Struct, frozen=True):
    """A sign-in, for listings. `client` is `roar-cli` or `browser`. `expires_at` is that of the last of its tokens."""

    id: str
    user: str
    client: str
    issued_at: float
    expires_at: float


class ActiveGrant(NamedTuple):
    """The sign-in of a refresh token. `lifetime` is that of each access token, in seconds."""

    id: str
    lifetime: float
    expires_at: float


class SpentToken(NamedTuple):
    """A refresh token that was replaced. `refresh_hash` is its sign-in's present token. `salt` is None after a time."""

    grant_id: str
    spent_at: float
    salt: bytes | None
    refresh_hash: bytes
    lifetime: float


def insert_grant(
    connection: Connection,
    grant_id: str,
    user_id: str,
    *,
    refresh_hash: bytes,
    issued_at: float,
    expires_at: float,
    lifetime: float,
    client: str = ROAR_CLI,
) -> None:
    """Add a sign-in."""
    connection.execute(
        "INSERT INTO grants (id, user_id, refresh_hash, expires_at, issued_at, lifetime, client)"
        " VALUES (?, ?, ?, ?, ?, ?, ?)",
        (grant_id, user_id, refresh_hash, expires_at, issued_at, lifetime, client),
    )


def insert_access_token(connection: Connection, token_hash: bytes, grant_id: str, expires_at: float) -> None:
    """Add an access token to a sign-in."""
    connection.execute(
        "INSERT INTO access_tokens (hash, grant_id, expires_at) VALUES (?, ?, ?)", (token_hash, grant_id, expires_at)
    )


def user_of_access_token(connection: Connection, token_hash: bytes, now: float) -> User | None:
    """Return the user of an access token; None if the token is unknown, expired or revoked."""
    row = connection.execute(
        "SELECT users.* FROM access_tokens AS token"
        " JOIN grants ON grants.id = grant_id JOIN users ON users.id = user_id"
        " WHERE hash = ? AND token.expires_at > ?",
        (token_hash, now),
    ).fetchone()
    return None if row is None else user_of(row)


def grant_of_access_token(connection: Connection, token_hash: bytes) -> str | None:
    """Return the id of the sign-in of an access token; None if the token is unknown or its sign-in has ended."""
    row = connection.execute("SELECT grant_id FROM access_tokens WHERE hash = :hash", {"hash": token_hash}).fetchone()
    return None if row is None else str(row["grant_id"])


def end_of_grant(connection: Connection, grant_id: str) -> float | None:
    """Return when a sign-in ends, if it is not renewed; None if it has been ended."""
    row = connection.execute("SELECT expires_at FROM grants WHERE id = :id", {"id": grant_id}).fetchone()
    return None if row is None else float(row["expires_at"])


def grant_of_refresh_token(connection: Connection, token_hash: bytes) -> ActiveGrant | None:
    """Return the sign-in whose present refresh token this is; None if there is none."""
    row = connection.execute(
        "SELECT id, lifetime, expires_at FROM grants WHERE refresh_hash = ?", (token_hash,)
    ).fetchone()
    return None if row is None else ActiveGrant(*row)


def spent_refresh_token(connection: Connection, token_hash: bytes) -> SpentToken | None:
    """Return a replaced refresh token of a sign-in that has not ended; None if there is none."""
    row = connection.execute(
        "SELECT grant_id, spent_at, salt, refresh_hash, lifetime FROM spent_refresh_tokens AS spent"
        " JOIN grants ON grants.id = grant_id WHERE hash = ?",
        (token_hash,),
    ).fetchone()
    return None if row is None else SpentToken(*row)


def replace_refresh_token(
    connection: Connection,
    grant: ActiveGrant,
    *,
    spent_hash: bytes,
    spent_at: float,
    salt: bytes,
    refresh_hash: bytes,
    expires_at: float,
) -> None:
    """Replace the refresh token of a sign-in, and keep the spent one as long as it would have been valid."""
    connection.execute(
        "INSERT INTO spent_refresh_tokens (hash, grant_id, spent_at, expires_at, salt) VALUES (?, ?, ?, ?, ?)",
        (spent_hash, grant.id, spent_at, grant.expires_at, salt),
    )
    connection.execute(
        "UPDATE grants SET refresh_hash = ?, expires_at = ? WHERE id = ?", (refresh_hash, expires_at, grant.id)
    )


def revoke(connection: Connection, grant_id: str) -> None:
    """End a sign-in, which invalidates all its tokens. Raises `NotFound`."""
    if connection.execute("DELETE FROM grants WHERE id = ?", (grant_id,)).rowcount == 0:
        raise NotFound("token", grant_id)


def revoke_access_token(connection: Connection, token_hash: bytes) -> bool:
    """End the sign-in of an access token, even an expired one. Return False if there is no such sign-in (any more)."""
    ended = connection.execute(
        "DELETE FROM grants WHERE id = (SELECT grant_id FROM access_tokens WHERE hash = ?)", (token_hash,)
    )
    return ended.rowcount == 1


def grants(connection: Connection) -> list[Grant]:
    """Return all sign-ins."""
    rows = connection.execute(
        "SELECT grants.id, name, client, issued_at, expires_at FROM grants JOIN users ON users.id = user_id"
        " ORDER BY name, issued_at"
    )
    return [Grant(*row) for row in rows]


def delete_expired(connection: Connection, now: float, *, salts_before: float) -> None:
    """Delete what has expired, and the salts of refresh tokens that were spent before a time.

    The last access token of each sign-in stays, because it also ends the sign-in when it has expired.
    """
    connection.execute("DELETE FROM grants WHERE expires_at <= ?", (now,))
    connection.execute(  # of browsers whose cookie has ended with the sign-in of a token
        "DELETE FROM grants WHERE client = :browser"
        " AND NOT EXISTS (SELECT 1 FROM browser_sessions WHERE grant_id = grants.id)",
        {"browser": BROWSER},
    )
    connection.execute(
        "DELETE FROM access_tokens WHERE expires_at <= ? AND EXISTS (SELECT 1 FROM access_tokens AS later"
        " WHERE later.grant_id = access_tokens.grant_id AND later.expires_at > access_tokens.expires_at)",
        (now,),
    )
    connection.execute("DELETE FROM spent_refresh_tokens WHERE expires_at <= ?", (now,))
    connection.execute(
        "UPDATE spent_refresh_tokens SET salt = NULL WHERE spent_at < ? AND salt IS NOT NULL", (salts_before,)
    )
