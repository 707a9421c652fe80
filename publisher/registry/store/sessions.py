"""The table of registration sessions."""

import json
import secrets
from typing import Any, NamedTuple

from msgspec import Struct

from roar_publisher.registry.store.database import Connection, Row


class Session(Struct, frozen=True):
    """A registration session.

    `owner` is the user's id, or empty for an anonymous session. `identity` is the creator in the hash, as of the
    opening. `revision` grows with every staged write. `expires_at` is in Unix seconds; once the session is closed, only
    its token expires then. `receipt` is None while the session is open. `prepared_graph` is the published graph that
    finalize settles.
    """

    id: str
    owner: str
    identity: str
    graph_id: int
    mode: str
    revision: int
    expires_at: float
    receipt: dict[str, Any] | None
    prepared_graph: int | None


def insert(
    connection: Connection,
    *,
    owner: str,
    identity: str,
    client_session_id: str | None,
    mode: str,
    graph_id: int,
    expires_at: float,
    client: str,
) -> Session:
    """Create a session with a new random id. `client` is the address that opened it, if it is anonymous."""
    session_id = secrets.token_hex(16)
    connection.execute(
        "INSERT INTO sessions (id, owner, identity, client_session_id, mode, graph_id, expires_at, client)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (session_id, owner, identity, client_session_id, mode, graph_id, expires_at, client),
    )
    return Session(session_id, owner, identity, graph_id, mode, 0, expires_at, None, None)


def find(connection: Connection, session_id: str) -> Session | None:
    """Return a session, even an expired one; None if it is unknown."""
    row = connection.execute("SELECT * FROM sessions WHERE id = ?", (session_id,)).fetchone()
    return None if row is None else _session(row)


def find_by_client_id(connection: Connection, owner: str, client_session_id: str) -> Session | None:
    """Return an owner's session by the id that the client gave it, even an expired one; None if it is unknown."""
    row = connection.execute(
        "SELECT * FROM sessions WHERE owner = ? AND client_session_id = ?", (owner, client_session_id)
    ).fetchone()
    return None if row is None else _session(row)


def extend(connection: Connection, session_id: str, expires_at: float) -> None:
    """Set the time at which a session expires, in Unix seconds."""
    connection.execute("UPDATE sessions SET expires_at = ? WHERE id = ?", (expires_at, session_id))


def record_write(connection: Connection, session_id: str, expires_at: float, size: int) -> tuple[Session, int]:
    """Increment the revision of a session, and set the time at which it expires.

    `size` is that of the body, in bytes. Return the session, with what was written before, and how many bytes have been
    staged, with these.
    """
    row = connection.execute(
        "UPDATE sessions SET revision = revision + 1, expires_at = :expires_at, staged_bytes = staged_bytes + :size"
        " WHERE id = :id RETURNING *",
        {"expires_at": expires_at, "size": size, "id": session_id},
    ).fetchone()
    return _session(row), int(row["staged_bytes"])


def close(
    connection: Connection, session_id: str, graph_id: int, receipt: dict[str, object], expires_at: float
) -> None:
    """Close a session with its receipt and the graph that it refers to from then on. Its client is forgotten."""
    connection.execute(
        "UPDATE sessions SET receipt = ?, graph_id = ?, expires_at = ?, client = '' WHERE id = ?",
        (json.dumps(receipt), graph_id, expires_at, session_id),
    )


def set_prepared_graph(connection: Connection, session_id: str, graph_id: int) -> None:
    """Record the published graph that finalize is to settle."""
    connection.execute("UPDATE sessions SET prepared_graph = ? WHERE id = ?", (graph_id, session_id))


def move_to_graph(connection: Connection, graph_id: int, new_graph_id: int) -> None:
    """Let all sessions that refer to a graph refer to another one."""
    connection.execute("UPDATE sessions SET graph_id = ? WHERE graph_id = ?", (new_graph_id, graph_id))


def delete(connection: Connection, session_id: str) -> None:
    """Delete a session, but not its graph."""
    connection.execute("DELETE FROM sessions WHERE id = ?", (session_id,))


def count_expired(connection: Connection, now: float) -> int:
    """Count the open sessions that have expired."""
    (count,) = connection.execute(
        "SELECT count(*) FROM sessions WHERE receipt IS NULL AND expires_at <= ?", (now,)
    ).fetchone()
    return int(count)


def count_open_anonymous(connection: Connection, now: float, client: str | None) -> int:
    """Count the open anonymous sessions of a client, or with None of all, without those that have expired."""
    (count,) = connection.execute(
        "SELECT count(*) FROM sessions WHERE receipt IS NULL AND owner = '' AND expires_at > :now"
        + ("" if client is None else " AND client = :client"),
        {"now": now} if client is None else {"now": now, "client": client},
    ).fetchone()
    return int(count)


class Staged(NamedTuple):
    """The number of open sessions, and the bytes that were staged in them."""

    sessions: int
    bytes: int


def count_staged(connection: Connection, now: float) -> Staged:
    """Count the open sessions and what is staged in them, without those that have expired."""
    row = connection.execute(
        "SELECT count(*), coalesce(sum(staged_bytes), 0) FROM sessions WHERE receipt IS NULL AND expires_at > :now",
        {"now": now},
    ).fetchone()
    return Staged(int(row[0]), int(row[1]))


def delete_expired(connection: Connection, now: float, limit: int) -> list[int]:
    """Delete up to `limit` open sessions that have expired. Return their graphs, which the caller discards."""
    expired = connection.execute(
        "DELETE FROM sessions WHERE id IN"
        " (SELECT id FROM sessions WHERE receipt IS NULL AND expires_at <= ? LIMIT ?) RETURNING graph_id",
        (now, limit),
    )
    return [graph_id for (graph_id,) in expired.fetchall()]


def _session(row: Row) -> Session:
    receipt = row["receipt"]
    return Session(
        id=row["id"],
        owner=row["owner"],
        identity=row["identity"],
        graph_id=row["graph_id"],
        mode=row["mode"],
        revision=row["revision"],
        expires_at=row["expires_at"],
        receipt=None if receipt is None else json.loads(receipt),
        prepared_graph=row["prepared_graph"],
    )
