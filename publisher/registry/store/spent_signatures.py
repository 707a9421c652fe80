"""The table of signatures that have written something that must not be written twice."""

from roar_publisher.registry.store.database import Connection


def spend_signature(connection: Connection, digest: bytes, *, until: float, now: float) -> bool:
    """Record a signature until a time (Unix seconds), and forget those whose time is over. Return whether it is new."""
    connection.execute("DELETE FROM spent_signatures WHERE until < ?", (now,))
    inserted = connection.execute(
        "INSERT INTO spent_signatures (digest, until) VALUES (?, ?) ON CONFLICT DO NOTHING", (digest, until)
    )
    return inserted.rowcount == 1
