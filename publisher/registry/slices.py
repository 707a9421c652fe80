"""The jobs of a graph in the order of the lineage hash (`protocol.md §6`), a slice at a time.

A slice holds whole steps.  Reading one is a bounded piece of work, so other requests get their turn in between.
"""

import json
import sqlite3

from roar_publisher.lineage.canonical import canonical_job
from roar_publisher.registry.schema import NO_STEP

SLICE_JOBS = 200
"""Jobs that are hashed in one go; a step is never split."""

_SLICE_END = """
    SELECT step_number FROM jobs WHERE graph_id = ? AND step_number > ? ORDER BY step_number LIMIT 1 OFFSET ?
"""
_LAST_STEP = "SELECT max(step_number) FROM jobs WHERE graph_id = ? AND step_number > ?"
# Canonical texts are ASCII, so SQLite's byte order is the order that `canonical.sort_key` asks for.  SQLite sorts
# within one step only (the index gives the steps) and spills to disk where a step is huge.
_CANONICAL_JOBS = f"""
    SELECT job.uid AS uid, canonical_job(job.command, job.job_type,
            nullif(job.step_number, {NO_STEP}), nullif(parent.step_number, {NO_STEP}),
            (SELECT json_group_array(json_array(digest, path)) FROM links WHERE job_id = job.id AND kind = 'inputs'),
            (SELECT json_group_array(json_array(digest, path)) FROM links WHERE job_id = job.id AND kind = 'outputs'),
            job.metadata) AS text,
        (SELECT count(*) FROM links WHERE job_id = job.id AND kind = 'inputs') AS inputs,
        (SELECT count(*) FROM links WHERE job_id = job.id AND kind = 'outputs') AS outputs
    FROM jobs AS job LEFT JOIN jobs AS parent ON parent.graph_id = job.graph_id AND parent.uid = job.parent_uid
    WHERE job.graph_id = ? AND job.step_number > ? AND job.step_number <= ?
    ORDER BY job.step_number, text
"""
BEFORE_ALL_STEPS = NO_STEP - 1
"""Where the first slice begins."""


def define_functions(connection: sqlite3.Connection) -> None:
    """Teach a connection the SQL function that the hashing query calls."""
    connection.create_function("canonical_job", 7, _canonical_job, deterministic=True)


def end_of_slice(connection: sqlite3.Connection, graph_id: int, after: int) -> int | None:
    """The last step of the slice that begins behind the step `after`; None where there are no more jobs."""
    row = connection.execute(_SLICE_END, (graph_id, after, SLICE_JOBS - 1)).fetchone()
    if row is None:
        row = connection.execute(_LAST_STEP, (graph_id, after)).fetchone()
    last: int | None = row[0]
    return last


def canonical_jobs(connection: sqlite3.Connection, graph_id: int, after: int, last: int) -> sqlite3.Cursor:
    """The jobs of the steps behind `after` up to `last`, as rows of (uid, text, inputs, outputs): the canonical text
    and how many links of each kind there are.
    """
    return connection.execute(_CANONICAL_JOBS, (graph_id, after, last))


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
