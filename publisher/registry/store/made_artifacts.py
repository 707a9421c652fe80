"""The table `made_artifacts`: which jobs made an artifact, by its digest. `provenance` reads it.

Digests have no order, so one row at a time, each in another place of the table, costs as much as the link that it is
about. What is staged is therefore added when it is finalized, many rows at once in the order of their digests
(`lineages.makers`). A legacy lineage is visible at once: each of its outputs is added with the link. Rows about graphs
that are not published are of no use, and do no harm.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from roar_publisher.registry.store.database import Connection


class MakingJob(NamedTuple):
    """A job, and how many artifacts it made."""

    uid: str
    id: int
    outputs: int


_INTO = "INSERT INTO made_artifacts (digest, job_id)"
_OUTPUTS = "SELECT digest, job_id FROM links WHERE kind = 'outputs'"


def add_makers(connection: Connection, rows: Iterable[tuple[str, int]]) -> None:
    """Add jobs that made artifacts, as pairs of digest and the job's id. Existing rows stay."""
    connection.executemany(f"{_INTO} VALUES (?, ?) ON CONFLICT DO NOTHING", sorted(rows))


def delete_makers(connection: Connection, rows: Iterable[tuple[str, int]]) -> None:
    """Delete what `add_makers` added. Rows that are not there are no error."""
    connection.executemany("DELETE FROM made_artifacts WHERE digest = ? AND job_id = ?", sorted(rows))


def jobs_after(connection: Connection, graph_id: int, uid: str, limit: int) -> list[MakingJob]:
    """Return up to `limit` jobs of a graph after a uid, in the order of uids."""
    rows = connection.execute(
        "SELECT uid, id, outputs FROM jobs JOIN job_sizes ON job_id = jobs.id"
        " WHERE graph_id = :graph AND uid > :uid ORDER BY uid LIMIT :limit",
        {"graph": graph_id, "uid": uid, "limit": limit},
    )
    return [MakingJob(*row) for row in rows]


def add_outputs_of_jobs(connection: Connection, jobs: Sequence[MakingJob]) -> None:
    """Add all artifacts that these jobs made."""
    connection.execute(
        f"{_INTO} {_OUTPUTS} AND job_id IN (:jobs) ORDER BY digest ON CONFLICT DO NOTHING",
        {"jobs": [job.id for job in jobs]},
    )


def add_outputs_after(connection: Connection, job: MakingJob, digest: str, limit: int) -> str | None:
    """Add up to `limit` artifacts that a job made, after a digest. Return the last one; None if there was none left."""
    chosen = f"{_OUTPUTS} AND job_id = :job AND digest > :after ORDER BY digest LIMIT :limit"
    values = {"job": job.id, "after": digest, "limit": limit}
    (last,) = connection.execute(f"SELECT max(digest) FROM ({chosen}) AS next", values).fetchone()
    connection.execute(f"{_INTO} {chosen} ON CONFLICT DO NOTHING", values)
    return None if last is None else str(last)
