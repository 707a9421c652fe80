"""The table of the bytes that clients have sent lately."""

from typing import NamedTuple

from roar_publisher.registry.store.database import Connection


class BodyRate(NamedTuple):
    """The level of a client's bucket, in bytes, as it stood at `at` (Unix seconds)."""

    bytes: float
    at: float


def rate_of(connection: Connection, client: str) -> BodyRate | None:
    """Return what is recorded for a client; None if there is nothing."""
    row = connection.execute("SELECT bytes, at FROM body_rates WHERE client = :client", {"client": client}).fetchone()
    return None if row is None else BodyRate(row["bytes"], row["at"])


def record_rate(connection: Connection, client: str, rate: BodyRate) -> None:
    """Record the level of a client's bucket. This replaces the earlier record."""
    connection.execute(
        "INSERT INTO body_rates (client, bytes, at) VALUES (:client, :bytes, :at)"
        " ON CONFLICT (client) DO UPDATE SET bytes = excluded.bytes, at = excluded.at",
        {"client": client, **rate._asdict()},
    )


def delete_older(connection: Connection, at: float, limit: int) -> bool:
    """Delete up to `limit` records of this time or earlier (Unix seconds). Return whether there were any."""
    deleted = connection.execute(
        "DELETE FROM body_rates WHERE client IN (SELECT client FROM body_rates WHERE at <= :at LIMIT :limit)",
        {"at": at, "limit": limit},
    )
    return deleted.rowcount > 0
