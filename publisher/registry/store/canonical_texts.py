"""Canonical texts of jobs (`protocol.md §6`), read from the tables in the order of the lineage hash.

SQLite makes the texts with a function of ours, and sorts those of a large step in a temporary table that it stores on
disk. A sort is identified by a number that the caller chooses.
"""

import itertools
import json
from collections.abc import Generator, Sequence

from roar_publisher.lineage.canonical import canonical_frame, canonical_job
from roar_publisher.registry.store.database import Connection
from roar_publisher.registry.store.schema import NO_STEP

BEFORE_ALL_STEPS = NO_STEP - 1
"""Sorts before the step number of every job, including jobs without a step."""
_SORT_IDS = itertools.count()
_JOBS_WITH_PARENTS = """
    FROM jobs AS job LEFT JOIN jobs AS parent ON parent.graph_id = job.graph_id AND parent.uid = job.parent_uid
"""
_CANONICAL_TEXT = f"""canonical_job(job.command, job.job_type,
    nullif(job.step_number, {NO_STEP}), nullif(parent.step_number, {NO_STEP}),
    (SELECT json_group_array(json_array(digest, path)) FROM links WHERE job_id = job.id AND kind = 'inputs'),
    (SELECT json_group_array(json_array(digest, path)) FROM links WHERE job_id = job.id AND kind = 'outputs'),
    job.metadata)
"""
"""An SQL expression over `_JOBS_WITH_PARENTS`."""
_NEXT_JOBS = """
    SELECT step_number, bytes FROM jobs JOIN job_sizes ON job_id = jobs.id
    WHERE graph_id = ? AND step_number > ? ORDER BY step_number LIMIT ?
"""
# Canonical texts are ASCII, so SQLite's byte order is the order that `canonical.sort_key` requires.
_WHOLE_STEPS = f"""
    SELECT job.uid AS uid, {_CANONICAL_TEXT} AS text {_JOBS_WITH_PARENTS}
    WHERE job.graph_id = ? AND job.step_number > ? AND job.step_number <= ? ORDER BY job.step_number, text, uid
"""
_JOBS_OF_STEP = """
    SELECT jobs.id, uid, bytes FROM jobs JOIN job_sizes ON job_id = jobs.id
    WHERE graph_id = ? AND step_number = ? AND jobs.id > ? ORDER BY jobs.id LIMIT ?
"""
_SORT_TABLE = """
    CREATE TEMP TABLE IF NOT EXISTS sorted_texts (
        sort INTEGER, text TEXT, uid TEXT, PRIMARY KEY (sort, text, uid)
    ) WITHOUT ROWID
"""
_SORT_JOBS = f"""
    INSERT INTO temp.sorted_texts (sort, text, uid) SELECT ?, {_CANONICAL_TEXT}, job.uid {_JOBS_WITH_PARENTS}
    WHERE job.id IN (SELECT value FROM json_each(?))
"""
_SORTED = "SELECT uid, text FROM temp.sorted_texts WHERE sort = ? ORDER BY text, uid LIMIT ?"
_DROP_SORTED = "DELETE FROM temp.sorted_texts WHERE sort = ? AND (text, uid) <= (?, ?)"
_DROP_ALL = "DELETE FROM temp.sorted_texts WHERE sort = ?"
_LINKS = "SELECT digest, path FROM links WHERE job_id = ? AND kind = ? AND digest > ? ORDER BY digest"
_FRAME = f"""
    SELECT job.command, job.job_type, nullif(job.step_number, {NO_STEP}) AS step_number,
        nullif(parent.step_number, {NO_STEP}) AS parent_step_number, job.metadata {_JOBS_WITH_PARENTS} WHERE job.id = ?
"""


def define_functions(connection: Connection) -> None:
    """Register the SQL function that the queries of this module call."""
    connection.create_function("canonical_job", 7, _canonical_job, deterministic=True)


def next_jobs(connection: Connection, graph_id: int, after: int, limit: int) -> list[tuple[int, int]]:
    """Return step number and bytes of up to `limit` jobs of the steps after `after`, in step order."""
    return [(step, size) for step, size in connection.execute(_NEXT_JOBS, (graph_id, after, limit))]


def texts_of_steps(connection: Connection, graph_id: int, after: int, last: int) -> list[tuple[str, str]]:
    """Return uid and text of the jobs of the steps after `after` up to `last`, in the order of the hash."""
    return [(uid, text) for uid, text in connection.execute(_WHOLE_STEPS, (graph_id, after, last))]


def jobs_of_step(
    connection: Connection, graph_id: int, step: int, after: int, limit: int
) -> list[tuple[int, str, int]]:
    """Return id, uid and bytes of up to `limit` jobs of a step, in the order of their ids, which exceed `after`."""
    return [tuple(row) for row in connection.execute(_JOBS_OF_STEP, (graph_id, step, after, limit))]


def begin_sort(connection: Connection) -> int:
    """Return the number of a new, empty sort. `end_sort` must follow."""
    connection.execute(_SORT_TABLE)
    return next(_SORT_IDS)


def sort_texts(connection: Connection, sort: int, job_ids: Sequence[int]) -> None:
    """Add the texts of jobs to a sort."""
    connection.execute(_SORT_JOBS, (sort, json.dumps(job_ids)))


def sorted_texts(connection: Connection, sort: int, limit: int) -> Generator[tuple[str, str], None, None]:
    """Yield uid and text of up to `limit` jobs of a sort, in order. They are read lazily; close the generator."""
    cursor = connection.execute(_SORTED, (sort, limit))
    try:
        yield from cursor
    finally:
        cursor.close()


def drop_sorted(connection: Connection, sort: int, uid: str, text: str) -> None:
    """Remove the texts of a sort up to this one."""
    connection.execute(_DROP_SORTED, (sort, text, uid))


def end_sort(connection: Connection, sort: int) -> None:
    """Remove all texts of a sort. Repeating it does nothing."""
    connection.execute(_DROP_ALL, (sort,))


def frame_of_job(connection: Connection, job_id: int) -> tuple[str, str, str] | None:
    """Return the text of a job without its links, in three parts (`canonical_frame`); None if there is no such job."""
    row = connection.execute(_FRAME, (job_id,)).fetchone()
    return None if row is None else canonical_frame(**dict(row))


def links_after(connection: Connection, job_id: int, kind: str, digest: str) -> Generator[tuple[str, str], None, None]:
    """Yield digest and path of a job's links after a digest, in order. They are read lazily; close the generator."""
    cursor = connection.execute(_LINKS, (job_id, kind, digest))
    try:
        yield from cursor
    finally:
        cursor.close()


def _canonical_job(
    command: str,
    job_type: str | None,
    step_number: int | None,
    parent_step_number: int | None,
    inputs: str,
    outputs: str,
    metadata: str | None,
) -> str:
    return canonical_job(
        command=command,
        job_type=job_type,
        step_number=step_number,
        parent_step_number=parent_step_number,
        inputs=json.loads(inputs),
        outputs=json.loads(outputs),
        metadata=metadata,
    )
