"""Canonical texts of jobs (`protocol.md §6`), made of the tables in the order of the lineage hash."""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from roar_publisher.lineage.canonical import canonical_frame, canonical_job
from roar_publisher.registry.store.database import Connection, Row
from roar_publisher.registry.store.pieces import in_pieces
from roar_publisher.registry.store.schema import NO_STEP

BEFORE_ALL_STEPS = NO_STEP - 1
"""Sorts before the step number of every job, including jobs without a step."""
LAST_STEP = 2**63 - 1
_NEXT_JOBS = """
    SELECT step_number, bytes FROM jobs JOIN job_sizes ON job_id = jobs.id
    WHERE graph_id = ? AND step_number > ? ORDER BY step_number LIMIT ?
"""
_JOBS_OF_STEP = """
    SELECT jobs.id, uid, bytes FROM jobs JOIN job_sizes ON job_id = jobs.id
    WHERE graph_id = ? AND step_number = ? AND jobs.id > ? ORDER BY jobs.id LIMIT ?
"""
_JOBS_WITH_PARENTS = """
    SELECT job.id, job.uid, job.command, job.job_type, job.step_number, parent.step_number, job.metadata
    FROM jobs AS job LEFT JOIN jobs AS parent ON parent.graph_id = job.graph_id AND parent.uid = job.parent_uid
"""
_REST_OF_STEP = f"""
    {_JOBS_WITH_PARENTS} WHERE job.graph_id = :graph AND job.step_number = :step AND job.id >= :job
    ORDER BY job.id LIMIT :limit
"""
_LATER_STEPS = f"""
    {_JOBS_WITH_PARENTS} WHERE job.graph_id = :graph AND job.step_number > :step
    ORDER BY job.step_number, job.id LIMIT :limit
"""
"""Both begin at their place in the index. With one condition for both, SQLite would read all of the step."""
_OF_STEPS = "job.graph_id = :graph AND job.step_number > :after AND job.step_number <= :last"
_LINKS_OF_STEPS = f"SELECT job_id, kind, digest, path FROM jobs AS job JOIN links ON job_id = job.id WHERE {_OF_STEPS}"
_LINKS_OF_JOBS = "SELECT job_id, kind, digest, path FROM links WHERE job_id IN (:jobs)"
_LINKS = "SELECT digest, path FROM links WHERE job_id = ? AND kind = ? AND digest > ? ORDER BY digest LIMIT ?"


class HashedJob(NamedTuple):
    """What the hash of a lineage covers of a job, besides its links, with the job's place in its graph."""

    id: int
    uid: str
    command: str
    job_type: str | None
    stored_step: int
    parent_step: int | None
    metadata: str | None

    @property
    def step(self) -> int | None:
        """The step number; None for a job without a step."""
        return _number(self.stored_step)


def jobs_from(connection: Connection, graph_id: int, step: int, job_id: int, limit: int) -> Iterator[HashedJob]:
    """Yield up to `limit` jobs by step and id, from the place of a step and an id on. They are read lazily."""
    place: dict[str, object] = {"graph": graph_id, "step": step}
    for row in connection.stream(_REST_OF_STEP, {"job": job_id, "limit": limit, **place}):
        limit -= 1
        yield _hashed(row)
    for row in connection.stream(_LATER_STEPS, {"limit": limit, **place}):
        yield _hashed(row)


def _hashed(row: Row) -> HashedJob:
    job = HashedJob(*row)
    return job._replace(parent_step=_number(job.parent_step))


def next_jobs(connection: Connection, graph_id: int, after: int, limit: int) -> list[tuple[int, int]]:
    """Return step number and bytes of up to `limit` jobs of the steps after `after`, in step order."""
    return [(step, size) for step, size in connection.execute(_NEXT_JOBS, (graph_id, after, limit))]


def texts_of_steps(connection: Connection, graph_id: int, after: int, last: int) -> list[tuple[str, str]]:
    """Return uid and text of the jobs of the steps after `after` up to `last`, in the order of the hash."""
    steps = {"graph": graph_id, "after": after, "last": last}
    jobs = connection.execute(f"{_JOBS_WITH_PARENTS} WHERE {_OF_STEPS}", steps).fetchall()
    texts = sorted(_texts(jobs, connection.execute(_LINKS_OF_STEPS, steps).fetchall()))
    return [(uid, text) for _step, text, uid in texts]


def texts_of_lineage(connection: Connection, graph_id: int) -> Iterator[str]:
    """Yield the texts of all jobs in the order of the hash. They are in memory together: ask for `bytes_of_jobs`."""
    return (text for _uid, text in texts_of_steps(connection, graph_id, BEFORE_ALL_STEPS, LAST_STEP))


def bytes_of_jobs(connection: Connection, graph_id: int) -> int:
    """Return what the jobs of a graph take with their links, in bytes, about."""
    statement = "SELECT coalesce(sum(bytes), 0) FROM jobs JOIN job_sizes ON job_id = jobs.id WHERE graph_id = ?"
    (size,) = connection.execute(statement, (graph_id,)).fetchone()
    return int(size)


def jobs_of_step(
    connection: Connection, graph_id: int, step: int, after: int, limit: int
) -> list[tuple[int, str, int]]:
    """Return id, uid and bytes of up to `limit` jobs of a step, in the order of their ids, which exceed `after`."""
    return [(id, uid, size) for id, uid, size in connection.execute(_JOBS_OF_STEP, (graph_id, step, after, limit))]


def texts_of_jobs(connection: Connection, job_ids: Sequence[int]) -> list[tuple[str, str]]:
    """Return text and uid of jobs."""
    chosen = {"jobs": job_ids}
    jobs = connection.execute(f"{_JOBS_WITH_PARENTS} WHERE job.id IN (:jobs)", chosen).fetchall()
    return [(text, uid) for _step, text, uid in _texts(jobs, connection.execute(_LINKS_OF_JOBS, chosen).fetchall())]


def frame_of_job(connection: Connection, job_id: int) -> tuple[str, str, str] | None:
    """Return the text of a job without its links, in three parts (`canonical_frame`); None if there is no such job."""
    row = connection.execute(f"{_JOBS_WITH_PARENTS} WHERE job.id = ?", (job_id,)).fetchone()
    if row is None:
        return None
    _id, _uid, command, job_type, step, parent_step, metadata = row
    return canonical_frame(
        command=command,
        job_type=job_type,
        step_number=_number(step),
        parent_step_number=_number(parent_step),
        metadata=metadata,
    )


def links_after(connection: Connection, job_id: int, kind: str, digest: str, limit: int) -> Iterator[tuple[str, str]]:
    """Yield digest and path of up to `limit` links of a job after a digest, in order. They are read lazily."""

    def read(after: str, most: int) -> list[tuple[str, str]]:
        return [(digest, path) for digest, path in connection.execute(_LINKS, (job_id, kind, after, most))]

    return in_pieces(read, digest, limit)


def _texts(jobs: Sequence[Sequence[Any]], links: Sequence[Sequence[Any]]) -> list[tuple[int, str, str]]:
    """Return step, text and uid of jobs. Texts are ASCII, so Python sorts them as `canonical.sort_key` requires."""
    by_job: dict[int, dict[str, list[tuple[str, str]]]] = {job[0]: {"inputs": [], "outputs": []} for job in jobs}
    for job_id, kind, digest, path in links:
        by_job[job_id][kind].append((digest, path))
    return [
        (
            step,
            canonical_job(
                command=command,
                job_type=job_type,
                step_number=_number(step),
                parent_step_number=_number(parent_step),
                inputs=by_job[job_id]["inputs"],
                outputs=by_job[job_id]["outputs"],
                metadata=metadata,
            ),
            uid,
        )
        for job_id, uid, command, job_type, step, parent_step, metadata in jobs
    ]


def _number(step: int | None) -> int | None:
    return None if step == NO_STEP else step
