"""Sign-in in a browser: codes that an administrator hands out, and cookies.

A code works once. It has 69 random bits, and attempts are limited (`attempts`). A cookie has 256 random bits. The file
holds only hashes of both. A cookie is a sign-in of its own, which `roar registry token` lists and revokes.
"""

import hashlib
import secrets

from roar_publisher.registry.accounts.codes import new_code, typed_code
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
    browser_sign_ins.insert_code(connection, _hash(code), user.id, now + CODE_SECONDS)
    return code


def spend_code(connection: Connection, text: str, now: float) -> User | None:
    """Return the user of a sign-in code, as typed, and make it invalid; None if it is unknown, spent or expired."""
    code = typed_code(text, CODE_LENGTH)
    return None if code is None else browser_sign_ins.take_code(connection, _hash(code), now)


def begin_session(connection: Connection, user: User, now: float) -> str:
    """Sign a user in and return the cookie."""
    sign_ins.delete_expired(connection, now, salts_before=0.0)
    cookie, grant_id = new_cookie(), new_id()
    sign_ins.insert_grant(
        connection,
        grant_id,
        user.id,
        refresh_hash=_hash(secrets.token_urlsafe(COOKIE_SIZE)),  # of a token that nobody gets
        issued_at=now,
        expires_at=now + SESSION_SECONDS,
        lifetime=SESSION_SECONDS,
        client=sign_ins.BROWSER,
    )
    browser_sign_ins.insert_session(connection, _hash(cookie), grant_id)
    return cookie


def session_user(connection: Connection, cookie: str, now: float) -> User | None:
    """Return the user of a cookie; None if its sign-in has ended."""
    return browser_sign_ins.user_of_cookie(connection, _hash(cookie), now)


def end_session(connection: Connection, cookie: str) -> None:
    """End the sign-in of a cookie. Repeating it does nothing."""
    browser_sign_ins.end_session(connection, _hash(cookie))


def new_cookie() -> str:
    """Return a random cookie."""
    return secrets.token_urlsafe(COOKIE_SIZE)


def _hash(secret: str) -> bytes:
    return hashlib.sha256(secret.encode()).digest()
