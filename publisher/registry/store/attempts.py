"""The table of failed attempts to guess a code."""

from typing import NamedTuple

from roar_publisher.registry.store.database import Connection


class FailedAttempts(NamedTuple):
    """How often somebody has failed, and since when (Unix seconds)."""

    failures: int
    since: float


def attempts_of(connection: Connection, guesser: str) -> FailedAttempts | None:
    """Return the attempts of somebody; None if there were none."""
    row = connection.execute("SELECT failures, since FROM attempts WHERE guesser = :who", {"who": guesser}).fetchone()
    return None if row is None else FailedAttempts(row["failures"], row["since"])


def record_attempts(connection: Connection, guesser: str, attempts: FailedAttempts) -> None:
    """Record the attempts of somebody. This replaces an earlier record."""
    connection.execute(
        "INSERT INTO attempts (guesser, failures, since) VALUES (:who, :failures, :since)"
        " ON CONFLICT (guesser) DO UPDATE SET failures = excluded.failures, since = excluded.since",
        {"who": guesser, "failures": attempts.failures, "since": attempts.since},
    )


def delete_attempts(connection: Connection, before: float, after: float) -> None:
    """Delete the records that began up to `before`, or after `after`, because the clock was set back (Unix seconds)."""
    connection.execute(
        "DELETE FROM attempts WHERE since <= :before OR since > :after", {"before": before, "after": after}
    )


def count_attempts(connection: Connection) -> int:
    """Return the number of records."""
    (count,) = connection.execute("SELECT count(*) FROM attempts").fetchone()
    return int(count)
