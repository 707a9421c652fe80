"""Sign-in in a browser: codes that an administrator hands out, and cookies.

A code works once. It has 69 random bits, and attempts are limited (`attempts`). A cookie has 256 random bits. The file
holds only hashes of both. A cookie is a sign-in of its own, which `roar registry token` lists and revokes. An access
token signs in, too; its cookie ends with the token's sign-in, and signs in no program.
"""

import secrets

from roar_publisher.registry.accounts.codes import new_code, typed_code
from roar_publisher.registry.accounts.grants import TokenHolder
from roar_publisher.registry.accounts.stored_secrets import stored_hash
from roar_publisher.registry.store import browser_sign_ins, sign_ins
from roar_publisher.registry.store.database import Connection
from roar_publisher.registry.store.users import User, find_user, new_id

CODE_LENGTH = 16
CODE_SECONDS = 3600.0
"""Seconds in which a code can be used."""
SESSION_SECONDS = 12 * 3600.0
"""Seconds after which a browser has to sign in again."""
COOKIE_SIZE = 32
"""Bytes."""


def issue_code(connection: Connection, user_name: str, now: float) -> str:
    """Return a new sign-in code for a user. Raises `NotFound`."""
    user = find_user(connection, user_name)
    code = new_code(CODE_LENGTH)
    browser_sign_ins.insert_code(connection, stored_hash(code), user.id, now + CODE_SECONDS)
    return code


def spend_code(connection: Connection, text: str, now: float) -> User | None:
    """Return the user of a sign-in code, as typed, and make it invalid; None if it is unknown, spent or expired."""
    code = typed_code(text, CODE_LENGTH)
    return None if code is None else browser_sign_ins.take_code(connection, stored_hash(code), now)


def begin_session(connection: Connection, user: User, now: float) -> str:
    """Sign in the user of a code and return the cookie."""
    return _begun(connection, user, now, now + SESSION_SECONDS, by_code=True, token_grant_id=None)


def begin_session_of_token(connection: Connection, holder: TokenHolder, now: float) -> str | None:
    """Sign in the user of an access token and return the cookie; None if the token's sign-in has ended meanwhile.

    The cookie ends with that sign-in, so a token that is short-lived, or revoked, does not become more than it was.
    """
    ends = now + SESSION_SECONDS
    if holder.grant_id is not None:
        end = sign_ins.end_of_grant(connection, holder.grant_id)
        if end is None:
            return None
        ends = min(ends, end)
    return _begun(connection, holder.user, now, ends, by_code=False, token_grant_id=holder.grant_id)


def _begun(
    connection: Connection, user: User, now: float, ends: float, *, by_code: bool, token_grant_id: str | None
) -> str:
    sign_ins.delete_expired(connection, now, salts_before=0.0)
    cookie, grant_id = new_cookie(), new_id()
    sign_ins.insert_grant(
        connection,
        grant_id,
        user.id,
        refresh_hash=stored_hash(secrets.token_urlsafe(COOKIE_SIZE)),  # of a token that nobody gets
        issued_at=now,
        expires_at=ends,
        lifetime=SESSION_SECONDS,
        client=sign_ins.BROWSER,
    )
    browser_sign_ins.insert_session(
        connection, stored_hash(cookie), grant_id, by_code=by_code, token_grant_id=token_grant_id
    )
    return cookie


def session_user(connection: Connection, cookie: str, now: float) -> User | None:
    """Return the user of a cookie; None if its sign-in has ended."""
    return browser_sign_ins.user_of_cookie(connection, stored_hash(cookie), now)


def may_sign_in_programs(connection: Connection, cookie: str, now: float) -> bool:
    """Return whether a browser has signed in with a code.

    With an access token, whoever has read it somewhere would get a sign-in of their own that outlives it.
    """
    return browser_sign_ins.user_of_cookie(connection, stored_hash(cookie), now, by_code=True) is not None


def end_session(connection: Connection, cookie: str) -> None:
    """End the sign-in of a cookie. Repeating it does nothing."""
    browser_sign_ins.end_session(connection, stored_hash(cookie))


def new_cookie() -> str:
    """Return a random cookie."""
    return secrets.token_urlsafe(COOKIE_SIZE)
