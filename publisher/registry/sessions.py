"""Registration sessions: private staging areas, one graph each (`protocol.md §1, §4`).

A session lives for `LIFETIME` after its last write.  What has expired is put away when somebody opens a session, a
bounded piece each time, so no request pays for another's gigabytes.
"""

import json
import secrets
import sqlite3
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from publisher.registry.auth import Caller, check_session_token
from publisher.registry.refusals import Refusal

LIFETIME = 24 * 3600.0
"""Seconds from the last write to the end of an open session."""
SWEEP_ROWS = 500
"""Rows of discarded graphs that one opening deletes at most, per table."""


@dataclass(frozen=True, slots=True)
class Access:
    """A caller's wish to use a session.  secret: the server's, for the token.  now: Unix seconds."""

    session_id: str
    caller: Caller
    secret: bytes
    now: float


@dataclass(frozen=True, slots=True)
class Session:
    """A row of `sessions`.  `receipt` is None while it is open."""

    id: str
    graph_id: int
    mode: str
    revision: int
    receipt: dict[str, Any] | None


def open_session(
    connection: sqlite3.Connection, *, owner: str, client_session_id: str | None, mode: str, now: float
) -> tuple[Session, bool]:
    """The session of this owner and client id, and whether it was made just now.  Without a client id: a new one."""
    _expire(connection, now)
    _sweep(connection)
    if client_session_id is not None:
        row = connection.execute(
            "SELECT * FROM sessions WHERE owner = ? AND client_session_id = ?", (owner, client_session_id)
        ).fetchone()
        if row is not None:
            connection.execute("UPDATE sessions SET expires_at = ? WHERE id = ?", (now + LIFETIME, row["id"]))
            return _session(row), False
    graph_id = new_graph(connection)
    session = Session(id=secrets.token_hex(16), graph_id=graph_id, mode=mode, revision=0, receipt=None)
    connection.execute(
        "INSERT INTO sessions (id, owner, client_session_id, mode, graph_id, expires_at) VALUES (?, ?, ?, ?, ?, ?)",
        (session.id, owner, client_session_id, mode, graph_id, now + LIFETIME),
    )
    return session, True


def find_session(connection: sqlite3.Connection, access: Access) -> Session:
    """The session, open or closed, for the caller that it belongs to.

    Raises `Refusal`: 404 where it is unknown or has expired, 401 or 403 as `auth.check_session_token`.
    """
    row = connection.execute("SELECT * FROM sessions WHERE id = ?", (access.session_id,)).fetchone()
    if row is None or (row["receipt"] is None and row["expires_at"] <= access.now):
        raise Refusal(HTTPStatus.NOT_FOUND, "no such registration session, or it has expired: open a new one")
    check_session_token(access.secret, access.session_id, access.caller)
    return _session(row)


def touch_open_session(connection: sqlite3.Connection, access: Access) -> Session:
    """The open session that is about to be written to; its life is prolonged, its revision grows.

    Raises `Refusal`: as `find_session`; 409 with the receipt where the session is closed.
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


def close_session(connection: sqlite3.Connection, session_id: str, graph_id: int, receipt: dict[str, Any]) -> None:
    """End the session with its receipt; from now on it speaks of the published graph."""
    connection.execute(
        "UPDATE sessions SET receipt = ?, graph_id = ? WHERE id = ?", (json.dumps(receipt), graph_id, session_id)
    )


def new_graph(connection: sqlite3.Connection) -> int:
    """The id of a new, empty graph."""
    graph_id = connection.execute("INSERT INTO graphs DEFAULT VALUES").lastrowid
    assert graph_id is not None
    return graph_id


def discard_graph(connection: sqlite3.Connection, graph_id: int) -> None:
    """Mark a graph that nothing refers to any more; later openings delete it piece by piece."""
    connection.execute("INSERT INTO discarded_graphs (graph_id) VALUES (?)", (graph_id,))


def _expire(connection: sqlite3.Connection, now: float) -> None:
    expired = connection.execute(
        "DELETE FROM sessions WHERE receipt IS NULL AND expires_at <= ? RETURNING graph_id", (now,)
    ).fetchall()
    for (graph_id,) in expired:
        discard_graph(connection, graph_id)


def _sweep(connection: sqlite3.Connection) -> None:
    discarded = connection.execute("SELECT graph_id FROM discarded_graphs LIMIT 1").fetchone()
    if discarded is None:
        return
    deleted = 0
    for table in ("jobs", "artifacts"):
        deleted += connection.execute(
            f"DELETE FROM {table} WHERE id IN (SELECT id FROM {table} WHERE graph_id = ? LIMIT {SWEEP_ROWS})",
            tuple(discarded),
        ).rowcount
    if deleted == 0:
        connection.execute("DELETE FROM discarded_graphs WHERE graph_id = ?", tuple(discarded))
        connection.execute("DELETE FROM graphs WHERE id = ?", tuple(discarded))


def _session(row: sqlite3.Row) -> Session:
    receipt = row["receipt"]
    return Session(
        id=row["id"],
        graph_id=row["graph_id"],
        mode=row["mode"],
        revision=row["revision"],
        receipt=None if receipt is None else json.loads(receipt),
    )
