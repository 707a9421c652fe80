"""The tables of fragment sessions, and of the encrypted batches in them."""

from collections.abc import Iterator
from typing import NamedTuple

from roar_publisher.registry.store.database import Connection
from roar_publisher.registry.store.pieces import in_pieces


class FragmentSession(NamedTuple):
    """A fragment session. `owner` is the user id of its opener, or empty. `expires_at` is in Unix seconds.

    `bytes` is the size of its batches as texts.
    """

    id: int
    name: str
    owner: str
    token_hash: str
    expires_at: float
    batches: int
    bytes: int


class FragmentBatch(NamedTuple):
    """A batch. `number` counts those of one session; `sequence` is the sender's own number."""

    number: int
    sequence: int
    text: str


_COLUMNS = "id, name, owner, token_hash, expires_at, batches, bytes"


def insert_session(connection: Connection, name: str, owner: str, token_hash: str, expires_at: float) -> bool:
    """Add an empty session. Return False, without a change, if one has this name."""
    added = connection.execute(
        "INSERT INTO fragment_sessions (name, owner, token_hash, expires_at, batches, bytes)"
        " VALUES (:name, :owner, :token_hash, :expires_at, 0, 0) ON CONFLICT (name) DO NOTHING",
        {"name": name, "owner": owner, "token_hash": token_hash, "expires_at": expires_at},
    )
    return added.rowcount == 1


def find_session(connection: Connection, name: str) -> FragmentSession | None:
    """Return the session with this name; None if there is none."""
    row = connection.execute(f"SELECT {_COLUMNS} FROM fragment_sessions WHERE name = :name", {"name": name}).fetchone()
    return None if row is None else FragmentSession(*row)


def set_expiry(connection: Connection, session_id: int, expires_at: float) -> None:
    """Change when a session expires (Unix seconds)."""
    connection.execute(
        "UPDATE fragment_sessions SET expires_at = :at WHERE id = :id", {"at": expires_at, "id": session_id}
    )


def insert_batch(connection: Connection, session: FragmentSession, sequence: int, text: str) -> None:
    """Append a batch to a session, as it was read in this transaction."""
    connection.execute(
        "INSERT INTO fragment_batches (session_id, number, sequence, text) VALUES (:id, :number, :sequence, :text)",
        {"id": session.id, "number": session.batches + 1, "sequence": sequence, "text": text},
    )
    connection.execute(
        "UPDATE fragment_sessions SET batches = batches + 1, bytes = bytes + :size WHERE id = :id",
        {"size": len(text), "id": session.id},
    )


def batches_after(connection: Connection, session_id: int, number: int, limit: int) -> Iterator[FragmentBatch]:
    """Yield up to `limit` batches of a session after a number, in the order in which they came, lazily."""

    def read(after: int, most: int) -> list[FragmentBatch]:
        rows = connection.execute(
            "SELECT number, sequence, text FROM fragment_batches WHERE session_id = :id AND number > :number"
            " ORDER BY number LIMIT :most",
            {"id": session_id, "number": after, "most": most},
        )
        return [FragmentBatch(*row) for row in rows]

    return in_pieces(read, number, limit)


def count_expired(connection: Connection, before: float) -> int:
    """Count the sessions that expired before this time."""
    (count,) = connection.execute(
        "SELECT count(*) FROM fragment_sessions WHERE expires_at < :before", {"before": before}
    ).fetchone()
    return int(count)


def delete_expired(connection: Connection, before: float, limit: int) -> bool:
    """Delete up to `limit` batches of a session that expired before this time; of an empty one, the session itself.

    Return False if there is no such session.
    """
    row = connection.execute(
        "SELECT id FROM fragment_sessions WHERE expires_at < :before LIMIT 1", {"before": before}
    ).fetchone()
    if row is None:
        return False
    of_session = {"id": row["id"]}
    deleted = connection.execute(
        "DELETE FROM fragment_batches WHERE session_id = :id AND number IN"
        " (SELECT number FROM fragment_batches WHERE session_id = :id ORDER BY number LIMIT :most)",
        {**of_session, "most": limit},
    )
    if deleted.rowcount < limit:
        connection.execute("DELETE FROM fragment_sessions WHERE id = :id", of_session)
    return True
