"""Rows for the pages of one job and of one artifact, in bounded pages."""

from typing import NamedTuple

from roar_publisher.registry.store.access import Reader, spaces_of
from roar_publisher.registry.store.database import Connection
from roar_publisher.registry.store.jobs import SIZED_JOB_WITHOUT_LONG_METADATA, SizedJob, sized_job_of
from roar_publisher.registry.store.schema import NO_STEP

METADATA_READ, TEXT_READ = 20_000, 501
"""Characters of a job's metadata, and of other texts in lists, that are read for a page: more than it shows."""


class Appearance(NamedTuple):
    """An artifact in one of the lineages that have it."""

    graph_id: int
    artifact_id: int
    hash: str
    git_repo: str | None
    published_at: float


class LinkingJob(NamedTuple):
    """A job that wrote or read an artifact, under a path."""

    uid: str
    step_number: int | None
    command: str
    path: str


def shown_job(connection: Connection, graph_id: int, uid: str) -> SizedJob | None:
    """Return the job of a graph with this uid, its metadata cut at `METADATA_READ`; None if there is none."""
    row = connection.execute(
        f"SELECT {SIZED_JOB_WITHOUT_LONG_METADATA} FROM jobs JOIN job_sizes ON job_id = jobs.id"
        " WHERE graph_id = :graph AND uid = :uid",
        {"graph": graph_id, "uid": uid, "metadata": METADATA_READ},
    ).fetchone()
    return None if row is None else sized_job_of(row)


def appearances(
    connection: Connection, digest: str, reader: Reader, before: tuple[float, str] | None, limit: int
) -> list[Appearance]:
    """Return the newest lineages that this reader can see and that have an artifact, after a time and hash."""
    earlier, values = "", dict[str, object]()
    if before is not None:
        earlier = "AND (published_at < :at OR (published_at = :at AND hash > :hash))"
        values = {"at": before[0], "hash": before[1]}
    rows = connection.execute(
        "SELECT lineages.graph_id, artifacts.id, hash, git_repo, published_at FROM artifacts"
        " CROSS JOIN lineages"  # the few artifacts first
        " WHERE digest = :digest AND lineages.graph_id = artifacts.graph_id"
        f" AND space IN (:spaces) {earlier}"
        " ORDER BY published_at DESC, hash LIMIT :limit",
        {"digest": digest, "limit": limit, **values, "spaces": spaces_of(reader)},
    )
    return [Appearance(*row) for row in rows]


def linking_jobs(connection: Connection, found: Appearance, digest: str, kind: str, limit: int) -> list[LinkingJob]:
    """Return the first jobs of an indexed lineage that wrote (`outputs`) or read (`inputs`) an artifact."""
    rows = connection.execute(
        f"SELECT uid, nullif(step_number, :no_step), substr(command, 1, {TEXT_READ}),"
        f" substr(links.path, 1, {TEXT_READ})"
        " FROM (SELECT job_id FROM artifact_links WHERE graph_id = :graph AND artifact_id = :artifact AND kind = :kind"
        " ORDER BY job_id LIMIT :limit) AS found JOIN jobs ON jobs.id = found.job_id AND jobs.graph_id = :graph"
        " JOIN links ON links.job_id = jobs.id AND links.kind = :kind AND links.digest = :digest ORDER BY jobs.id",
        {
            "no_step": NO_STEP,
            "graph": found.graph_id,
            "artifact": found.artifact_id,
            "kind": kind,
            "digest": digest,
            "limit": limit,
        },
    )
    return [LinkingJob(*row) for row in rows]
