"""The registry's own bearer tokens: issue, check, refresh, revoke.

A token is 256 random bits. The file holds only its SHA-256, which is safe because the token is random. A grant is one
sign-in. It has one refresh token, which is replaced when it is used, and the access tokens made with it.

If a used refresh token is presented again, either use may have been by a thief, so the grant is revoked (RFC 9700
§4.14.2). The exception is a client that did not receive the reply and repeats the request: for `REPEAT_SECONDS`, and
until the new refresh token is used, it gets the same reply. That reply is derived from the spent token and a salt that
is stored for that time, so the file alone does not reveal it.
"""

import hmac
import secrets
from base64 import urlsafe_b64encode
from enum import Enum
from typing import NamedTuple

from roar_publisher.guarded import Guarded
from roar_publisher.registry.accounts.stored_secrets import stored_hash
from roar_publisher.registry.store import sign_ins
from roar_publisher.registry.store.database import Connection
from roar_publisher.registry.store.users import User, find_user, new_id

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


class Tokens(Guarded, frozen=True):
    """New tokens, which are shown once. `expires_at` and `refresh_expires_at` are in Unix seconds."""

    HIDDEN = ("access_token", "refresh_token")
    grant_id: str
    access_token: str
    refresh_token: str
    expires_at: float
    refresh_expires_at: float


class TokenHolder(NamedTuple):
    """The user of a valid access token, and the sign-in here that it belongs to; None if another service has it."""

    user: User
    grant_id: str | None


def issue(
    connection: Connection, user_name: str, *, now: float, lifetime: float = ACCESS_LIFETIME, renewable: bool = True
) -> tuple[User, Tokens]:
    """Sign a user in. `lifetime` is in seconds and applies to this access token and to those from refreshes.

    If nobody gets the refresh token, the sign-in is not `renewable`: it ends with the access token. Raises `NotFound`.
    """
    user = find_user(connection, user_name)
    return user, issue_to(connection, user, now=now, lifetime=lifetime, renewable=renewable)


def issue_to(
    connection: Connection, user: User, *, now: float, lifetime: float = ACCESS_LIFETIME, renewable: bool = True
) -> Tokens:
    """Like `issue`, for a known user."""
    _delete_expired(connection, now)
    tokens = _new_tokens(new_id(), now, lifetime)
    sign_ins.insert_grant(
        connection,
        tokens.grant_id,
        user.id,
        refresh_hash=stored_hash(tokens.refresh_token),
        issued_at=now,
        expires_at=tokens.refresh_expires_at if renewable else tokens.expires_at,
        lifetime=lifetime,
    )
    _store_access_token(connection, tokens)
    return tokens


def bearer(connection: Connection, access_token: str, now: float) -> User | None:
    """Return the user of an access token; None if the token is unknown, expired or revoked."""
    return sign_ins.user_of_access_token(connection, stored_hash(access_token), now)


def holder(connection: Connection, access_token: str, now: float) -> TokenHolder | None:
    """Return whose an access token is; None if the token is unknown, expired or revoked."""
    user = bearer(connection, access_token, now)
    return (
        None
        if user is None
        else TokenHolder(user, sign_ins.grant_of_access_token(connection, stored_hash(access_token)))
    )


def refresh(connection: Connection, refresh_token: str, now: float) -> Tokens | NoTokens:
    """Exchange a refresh token for new tokens. The refresh token is spent afterwards.

    A repeat within `REPEAT_SECONDS` returns the same tokens. Any other use of a spent token ends the grant. Earlier
    access tokens stay valid until they expire, because requests in flight carry them.
    """
    _delete_expired(connection, now)
    digest = stored_hash(refresh_token)
    grant = sign_ins.grant_of_refresh_token(connection, digest)
    if grant is None:
        return _repeated(connection, refresh_token, now)
    salt = secrets.token_bytes(TOKEN_SIZE)
    tokens = _successors(grant.id, refresh_token, salt, now, grant.lifetime)
    sign_ins.replace_refresh_token(
        connection,
        grant,
        spent_hash=digest,
        spent_at=now,
        salt=salt,
        refresh_hash=stored_hash(tokens.refresh_token),
        expires_at=tokens.refresh_expires_at,
    )
    _store_access_token(connection, tokens)
    return tokens


def _repeated(connection: Connection, refresh_token: str, now: float) -> Tokens | NoTokens:
    spent = sign_ins.spent_refresh_token(connection, stored_hash(refresh_token))
    if spent is None:
        return NoTokens.UNKNOWN
    if spent.salt is not None:
        tokens = _successors(spent.grant_id, refresh_token, spent.salt, spent.spent_at, spent.lifetime)
        if now - spent.spent_at <= REPEAT_SECONDS and stored_hash(tokens.refresh_token) == spent.refresh_hash:
            return tokens
    sign_ins.revoke(connection, spent.grant_id)
    return NoTokens.REUSED


def revoke_bearer(connection: Connection, access_token: str) -> bool:
    """End the sign-in of an access token, even an expired one. Return False if there is no such sign-in (any more)."""
    return sign_ins.revoke_access_token(connection, stored_hash(access_token))


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


def _store_access_token(connection: Connection, tokens: Tokens) -> None:
    sign_ins.insert_access_token(connection, stored_hash(tokens.access_token), tokens.grant_id, tokens.expires_at)


def _delete_expired(connection: Connection, now: float) -> None:
    sign_ins.delete_expired(connection, now, salts_before=now - REPEAT_SECONDS)
