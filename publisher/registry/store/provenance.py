"""Where artifacts come from: the jobs that made them, in one graph and among all lineages that a reader can see."""

from collections.abc import Collection, Iterator, Sequence
from typing import NamedTuple

from roar_publisher.registry.store.access import CREDIBILITY, READABLE, Reader, reader_parameters
from roar_publisher.registry.store.database import Connection
from roar_publisher.registry.store.jobs import SIZED_JOB, SizedJob, sized_job_of
from roar_publisher.registry.store.lineages import Lineage, lineage_of
from roar_publisher.registry.store.pieces import in_pieces
from roar_publisher.registry.store.schema import NO_STEP

MOST_MAKERS = 10_000
"""Maximum jobs, of any lineage, that are examined for having made one artifact: the oldest."""


class JobPlace(NamedTuple):
    """A job's place in the order in which roar runs jobs: by step, then by time. `step` is `NO_STEP` without a step."""

    step: int
    timestamp: float
    id: int


class JobSpan(NamedTuple):
    """The smallest and the largest id of a graph's jobs. Jobs of other graphs may lie between them."""

    first: int
    last: int


class LinkedArtifact(NamedTuple):
    """An artifact as a job's link names it. `size` is in bytes, or None if it is unknown."""

    digest: str
    path: str
    size: int | None


_JOB_PLACE = "jobs.step_number, coalesce(jobs.timestamp, 0), jobs.id"


def first_maker(connection: Connection, digest: str, reader: Reader) -> tuple[Lineage, JobPlace] | None:
    """Return the job that first made an artifact in the first of the most credible lineages (`access.CREDIBILITY`).

    Return None if no lineage that this reader can see made it.
    """
    row = connection.execute(
        f"SELECT lineages.*, {_JOB_PLACE} FROM"
        " (SELECT job_id FROM links WHERE kind = 'outputs' AND digest = :digest ORDER BY job_id LIMIT :most) AS made"
        " JOIN jobs ON jobs.id = made.job_id JOIN lineages ON lineages.graph_id = jobs.graph_id"
        f" WHERE {READABLE} ORDER BY {CREDIBILITY} DESC, published_at, hash, {_JOB_PLACE} LIMIT 1",
        {"digest": digest, "most": MOST_MAKERS, **reader_parameters(reader)},
    ).fetchone()
    return None if row is None else (lineage_of(row), JobPlace(*tuple(row)[-3:]))


def job_span(connection: Connection, graph_id: int) -> JobSpan:
    """Return the span of a graph's jobs. The graph must have jobs."""
    row = connection.execute("SELECT min(id), max(id) FROM jobs WHERE graph_id = :graph", {"graph": graph_id})
    return JobSpan(*row.fetchone())


def makers(connection: Connection, graph_id: int, span: JobSpan, digests: Collection[str]) -> dict[str, JobPlace]:
    """Return the first job of a graph that made each of these artifacts, by digest. Others are left out."""
    rows = connection.execute(
        f"SELECT links.digest, {_JOB_PLACE} FROM links JOIN jobs ON jobs.id = links.job_id"
        " WHERE links.kind = 'outputs' AND links.digest IN (:digests)"
        " AND links.job_id BETWEEN :first AND :last AND jobs.graph_id = :graph",
        {"digests": sorted(digests), "first": span.first, "last": span.last, "graph": graph_id},
    )
    found: dict[str, JobPlace] = {}
    for digest, *place in rows:
        made = JobPlace(*place)
        found[digest] = min(made, found.get(digest, made))
    return found


def links_after(
    connection: Connection, graph_id: int, job_id: int, kind: str, digest: str, limit: int
) -> Iterator[LinkedArtifact]:
    """Yield up to `limit` links of a job after a digest, in the order of digests. `kind` is `inputs` or `outputs`.

    They are read lazily. The size is that of the link, or else that of the graph's artifact.
    """

    def read(after: str, most: int) -> list[LinkedArtifact]:
        rows = connection.execute(
            "SELECT links.digest, links.path, coalesce(links.size, artifacts.size) FROM links"
            " LEFT JOIN artifacts ON artifacts.graph_id = :graph AND artifacts.digest = links.digest"
            " WHERE links.job_id = :job AND links.kind = :kind AND links.digest > :after"
            " ORDER BY links.digest LIMIT :most",
            {"graph": graph_id, "job": job_id, "kind": kind, "after": after, "most": most},
        )
        return [LinkedArtifact(*row) for row in rows]

    return in_pieces(read, digest, limit)


def build_jobs(connection: Connection, graph_id: int, limit: int) -> list[JobPlace]:
    """Return up to `limit` jobs of a graph that prepare its environment (`job_type` is `build`)."""
    rows = connection.execute(
        f"SELECT {_JOB_PLACE} FROM jobs WHERE graph_id = :graph AND job_type = 'build' LIMIT :most",
        {"graph": graph_id, "most": limit},
    )
    return [JobPlace(*row) for row in rows]


def places_after(connection: Connection, graph_id: int, after: JobPlace | None, limit: int) -> list[JobPlace]:
    """Return up to `limit` jobs of a graph after a place, by step and id. Begin with None."""
    step, number = (NO_STEP, 0) if after is None else (after.step, after.id)
    place = {"graph": graph_id, "step": step, "id": number}
    rest = connection.execute(
        f"SELECT {_JOB_PLACE} FROM jobs WHERE graph_id = :graph AND step_number = :step AND id > :id"
        " ORDER BY id LIMIT :most",
        {**place, "most": limit},
    )
    found = [JobPlace(*row) for row in rest]
    later = connection.execute(  # by itself: with one condition for both, SQLite would read all of the step
        f"SELECT {_JOB_PLACE} FROM jobs WHERE graph_id = :graph AND step_number > :step"
        " ORDER BY step_number, id LIMIT :most",
        {**place, "most": limit - len(found)},
    )
    return [*found, *(JobPlace(*row) for row in later)]


def jobs_with_ids(connection: Connection, ids: Sequence[int]) -> Iterator[SizedJob]:
    """Yield the jobs with these ids, in this order. They are read lazily. A job that is gone is left out."""
    for number in ids:
        row = connection.execute(
            f"SELECT {SIZED_JOB} FROM jobs JOIN job_sizes ON job_id = jobs.id WHERE jobs.id = :id", {"id": number}
        ).fetchone()
        if row is not None:
            yield sized_job_of(row)
