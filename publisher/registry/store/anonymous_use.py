"""The table of what clients wrote without a credential."""

from typing import NamedTuple

from roar_publisher.registry.store.database import Connection


class AnonymousUse(NamedTuple):
    """What a client has written, as it stood at `at` (Unix seconds)."""

    sessions: float
    jobs: float
    bytes: float
    at: float


def use_of(connection: Connection, client: str) -> AnonymousUse | None:
    """Return what is recorded for a client; None if there is nothing."""
    row = connection.execute(
        "SELECT sessions, jobs, bytes, at FROM anonymous_use WHERE client = ?", (client,)
    ).fetchone()
    return None if row is None else AnonymousUse(*row)


def record_use(connection: Connection, client: str, use: AnonymousUse) -> None:
    """Record what a client has written. This replaces the earlier record."""
    connection.execute(
        "INSERT INTO anonymous_use (client, sessions, jobs, bytes, at) VALUES (?, ?, ?, ?, ?) ON CONFLICT (client)"
        " DO UPDATE SET sessions = excluded.sessions, jobs = excluded.jobs, bytes = excluded.bytes, at = excluded.at",
        (client, *use),
    )


def delete_older(connection: Connection, at: float, limit: int) -> bool:
    """Delete up to `limit` records of this time or earlier (Unix seconds). Return whether there were any."""
    deleted = connection.execute(
        "DELETE FROM anonymous_use WHERE client IN (SELECT client FROM anonymous_use WHERE at <= ? LIMIT ?)",
        (at, limit),
    )
    return deleted.rowcount > 0
