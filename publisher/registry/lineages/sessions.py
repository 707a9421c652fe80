"""Registration sessions: private staging areas with one graph each (`protocol.md §1, §4`).

A user's session belongs to that user, regardless of the kind of credential. An anonymous session belongs to the holder
of its token. A session lives for `LIFETIME` after its last write; `sweeping` removes expired ones.

The token of an open anonymous session expires with the session. After finalize it is valid for `LABELLING_TIME`, for
the labels and for a receipt that was lost in transit. Opening the session again, by its `client_session_id`, restarts
that time.
"""

import json
import secrets
import sqlite3
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from roar_publisher.registry.accounts.callers import ANONYMOUS_OWNER, Caller, Credential, check_session_token
from roar_publisher.registry.http.refusals import Refusal

LIFETIME = 24 * 3600.0
"""Seconds from the last write to the end of an open session."""
LABELLING_TIME = 7 * 24 * 3600.0
"""Seconds from a finalize to the end of the session's token, because a publisher may be interrupted before it sends
its labels."""


@dataclass(frozen=True, slots=True)
class Access:
    """A caller's request to use a session. `secret` is the server's, for the token. `now` is in Unix seconds."""

    session_id: str
    caller: Caller
    secret: bytes
    now: float


@dataclass(frozen=True, slots=True)
class Session:
    """A row of `sessions`.

    `owner` is the user's id, or empty for an anonymous session. `identity` is the creator in the hash, as of the
    opening. `receipt` is None while the session is open. `prepared_graph` is the published graph that finalize settles
    (see `prepared`).
    """

    id: str
    owner: str
    identity: str
    graph_id: int
    mode: str
    revision: int
    receipt: dict[str, Any] | None
    prepared_graph: int | None


def open_session(
    connection: sqlite3.Connection, caller: Caller, *, client_session_id: str | None, mode: str, now: float
) -> tuple[Session, bool]:
    """Return the caller's session for this client id, and whether it is new. Without a client id, it is always new."""
    if client_session_id is not None:
        row = connection.execute(
            "SELECT * FROM sessions WHERE owner = ? AND client_session_id = ?", (caller.owner, client_session_id)
        ).fetchone()
        if row is not None and _has_expired(row, now):
            connection.execute("DELETE FROM sessions WHERE id = ?", (row["id"],))
            discard_graph(connection, row["graph_id"])
        elif row is not None:
            left = LIFETIME if row["receipt"] is None else LABELLING_TIME
            connection.execute("UPDATE sessions SET expires_at = ? WHERE id = ?", (now + left, row["id"]))
            return _session(row), False
    connection.execute(
        "INSERT INTO sessions (id, owner, identity, client_session_id, mode, graph_id, expires_at)"
        " VALUES (?, ?, ?, ?, ?, ?, ?)",
        (
            session_id := secrets.token_hex(16),
            caller.owner,
            caller.identity,
            client_session_id,
            mode,
            new_graph(connection),
            now + LIFETIME,
        ),
    )
    return _session(connection.execute("SELECT * FROM sessions WHERE id = ?", (session_id,)).fetchone()), True


def find_session(connection: sqlite3.Connection, access: Access) -> Session:
    """Return the caller's session, open or closed.

    Raises `Refusal`: 404 if it is unknown, expired or another user's; 401 without a credential and for an expired
    token; 403 for the token of another session.
    """
    row = connection.execute("SELECT * FROM sessions WHERE id = ?", (access.session_id,)).fetchone()
    if row is None or _has_expired(row, access.now):
        raise _no_such_session()
    if row["owner"] == ANONYMOUS_OWNER:
        check_session_token(access.secret, access.session_id, access.caller)
        if row["expires_at"] <= access.now:
            raise Refusal(HTTPStatus.UNAUTHORIZED, "this registration session is over, and its token with it")
    else:
        _check_owner(row["owner"], access.caller)
    return _session(row)


def touch_open_session(connection: sqlite3.Connection, access: Access) -> Session:
    """Return the open session for a write, extend its lifetime, and increment its revision.

    Raises `Refusal`: as `find_session`; 409 with the receipt if the session is closed.
    """
    session = find_session(connection, access)
    if session.receipt is not None:
        detail = "this registration session is closed: its lineage is published"
        raise Refusal(HTTPStatus.CONFLICT, detail, {"status": "closed", "receipt": session.receipt})
    connection.execute(
        "UPDATE sessions SET revision = revision + 1, expires_at = ? WHERE id = ?",
        (access.now + LIFETIME, access.session_id),
    )
    return session


def close_session(connection: sqlite3.Connection, access: Access, graph_id: int, receipt: dict[str, Any]) -> None:
    """Close the session with its receipt. It refers to the published graph from then on."""
    connection.execute(
        "UPDATE sessions SET receipt = ?, graph_id = ?, expires_at = ? WHERE id = ?",
        (json.dumps(receipt), graph_id, access.now + LABELLING_TIME, access.session_id),
    )


def new_graph(connection: sqlite3.Connection) -> int:
    """Create an empty graph and return its id."""
    graph_id = connection.execute("INSERT INTO graphs DEFAULT VALUES").lastrowid
    assert graph_id is not None
    return graph_id


def discard_graph(connection: sqlite3.Connection, graph_id: int) -> None:
    """Mark a graph that has no references any more; `sweeping` deletes it in slices."""
    connection.execute("INSERT INTO discarded_graphs (graph_id) VALUES (?)", (graph_id,))


def _check_owner(owner: str, caller: Caller) -> None:
    if caller.credential is Credential.NOTHING:
        raise Refusal(HTTPStatus.UNAUTHORIZED, "this registration session belongs to a user: sign in")
    if caller.credential is Credential.SESSION_TOKEN:
        raise Refusal(HTTPStatus.FORBIDDEN, "this token belongs to another registration session")
    if caller.owner != owner:
        raise _no_such_session()


def _no_such_session() -> Refusal:
    return Refusal(HTTPStatus.NOT_FOUND, "no such registration session, or it has expired: open a new one")


def _has_expired(row: sqlite3.Row, now: float) -> bool:
    return row["receipt"] is None and row["expires_at"] <= now


def _session(row: sqlite3.Row) -> Session:
    receipt = row["receipt"]
    return Session(
        id=row["id"],
        owner=row["owner"],
        identity=row["identity"],
        graph_id=row["graph_id"],
        mode=row["mode"],
        revision=row["revision"],
        receipt=None if receipt is None else json.loads(receipt),
        prepared_graph=row["prepared_graph"],
    )
