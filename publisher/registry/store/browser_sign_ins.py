"""The tables of browsers that have signed in: `sign_in_codes`, which are used once, and `browser_sessions`.

Codes and cookies are given as their hashes. Times are in Unix seconds.
"""

from roar_publisher.registry.store.database import Connection
from roar_publisher.registry.store.users import User, user_of


def insert_code(connection: Connection, code_hash: bytes, user_id: str, expires_at: float) -> None:
    """Add a sign-in code."""
    connection.execute(
        "INSERT INTO sign_in_codes (hash, user_id, expires_at) VALUES (:hash, :user, :expires_at)",
        {"hash": code_hash, "user": user_id, "expires_at": expires_at},
    )


def take_code(connection: Connection, code_hash: bytes, now: float) -> User | None:
    """Delete a sign-in code and return its user; None if it is unknown or expired."""
    row = connection.execute(
        "SELECT users.* FROM sign_in_codes JOIN users ON users.id = user_id WHERE hash = :hash AND expires_at > :now",
        {"hash": code_hash, "now": now},
    ).fetchone()
    connection.execute(
        "DELETE FROM sign_in_codes WHERE hash = :hash OR expires_at <= :now", {"hash": code_hash, "now": now}
    )
    return None if row is None else user_of(row)


def insert_session(
    connection: Connection, cookie_hash: bytes, grant_id: str, *, by_code: bool, token_grant_id: str | None
) -> None:
    """Let a cookie stand for a sign-in, until `token_grant_id` ends, the sign-in of the token that began it."""
    connection.execute(
        "INSERT INTO browser_sessions (hash, grant_id, by_code, token_grant_id) VALUES (:hash, :grant, :by_code, :of)",
        {"hash": cookie_hash, "grant": grant_id, "by_code": int(by_code), "of": token_grant_id},
    )


def user_of_cookie(connection: Connection, cookie_hash: bytes, now: float, *, by_code: bool = False) -> User | None:
    """Return the user of a cookie; None if its sign-in is unknown, expired or revoked.

    With `by_code`, only sign-ins that began with a code count.
    """
    row = connection.execute(
        "SELECT users.* FROM browser_sessions JOIN grants ON grants.id = grant_id JOIN users ON users.id = user_id"
        " WHERE hash = :hash AND expires_at > :now AND by_code >= :least",
        {"hash": cookie_hash, "now": now, "least": int(by_code)},
    ).fetchone()
    return None if row is None else user_of(row)


def end_session(connection: Connection, cookie_hash: bytes) -> None:
    """End the sign-in of a cookie. Repeating it does nothing."""
    connection.execute(
        "DELETE FROM grants WHERE id IN (SELECT grant_id FROM browser_sessions WHERE hash = :hash)",
        {"hash": cookie_hash},
    )
