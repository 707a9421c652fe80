"""The jobs of a graph in the order of the lineage hash (`protocol.md §6`), read in bounded slices.

`wide_steps.parts_in_order` is a generator that yields None where other requests may run. Small steps are read whole,
several at a time. The jobs of a step that is too large for that are sorted on disk by `wide_steps`.
"""

import json
import sqlite3
from collections.abc import Generator, Sequence
from dataclasses import dataclass

from roar_publisher.lineage.canonical import canonical_job
from roar_publisher.registry.store.schema import NO_STEP

SLICE_JOBS = 200
"""Maximum jobs that are read at once."""
SLICE_BYTES = 512 * 1024
"""Maximum bytes of jobs and links that are read at once."""
BEFORE_ALL_STEPS = NO_STEP - 1

_NEXT_JOBS = """
    SELECT step_number, bytes FROM jobs JOIN job_sizes ON job_id = jobs.id
    WHERE graph_id = ? AND step_number > ? ORDER BY step_number LIMIT ?
"""
JOBS_WITH_PARENTS = """
    FROM jobs AS job LEFT JOIN jobs AS parent ON parent.graph_id = job.graph_id AND parent.uid = job.parent_uid
"""
CANONICAL_TEXT = f"""canonical_job(job.command, job.job_type,
    nullif(job.step_number, {NO_STEP}), nullif(parent.step_number, {NO_STEP}),
    (SELECT json_group_array(json_array(digest, path)) FROM links WHERE job_id = job.id AND kind = 'inputs'),
    (SELECT json_group_array(json_array(digest, path)) FROM links WHERE job_id = job.id AND kind = 'outputs'),
    job.metadata)
"""
"""An SQL expression over `JOBS_WITH_PARENTS`."""
# Canonical texts are ASCII, so SQLite's byte order is the order that `canonical.sort_key` requires.
_WHOLE_STEPS = f"""
    SELECT job.uid AS uid, {CANONICAL_TEXT} AS text {JOBS_WITH_PARENTS}
    WHERE job.graph_id = ? AND job.step_number > ? AND job.step_number <= ? ORDER BY job.step_number, text, uid
"""


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a job's canonical text. `last` means that the text ends here."""

    uid: str
    text: str
    last: bool = True


Parts = Generator[Part | None, None, None]
"""Parts in order, with None after each bounded slice of work."""


def define_functions(connection: sqlite3.Connection) -> None:
    """Register the SQL function that the hashing queries call."""
    connection.create_function("canonical_job", 7, _canonical_job, deterministic=True)


def small_steps(connection: sqlite3.Connection, graph_id: int, after: int) -> tuple[int | None, int | None]:
    """Return the last step after `after` that can be read in the next slice, and the first step after it.

    The last is None if the first step alone is too large. Both are None if there are no more jobs.
    """
    found = connection.execute(_NEXT_JOBS, (graph_id, after, SLICE_JOBS + 1)).fetchall()
    if not found:
        return None, None
    return _last_whole_step(found), found[0]["step_number"]


def read_steps(connection: sqlite3.Connection, graph_id: int, after: int, last: int) -> list[Part]:
    """Return the jobs of the steps after `after` up to `last`, which comes from `small_steps`."""
    return [Part(row["uid"], row["text"]) for row in connection.execute(_WHOLE_STEPS, (graph_id, after, last))]


def advance(parts: Parts) -> list[Part] | None:
    """Return the next bounded slice of parts, which may be empty; None at the end."""
    taken: list[Part] = []
    for part in parts:
        if part is None:
            return taken
        taken.append(part)
    return taken or None


def _last_whole_step(jobs: Sequence[sqlite3.Row]) -> int | None:
    whole: int | None = None
    before: int | None = None
    size = 0
    for number, job in enumerate(jobs):
        if job["step_number"] != before:
            whole, before = before, job["step_number"]
        size += job["bytes"]
        if number == SLICE_JOBS or size > SLICE_BYTES:
            return whole
    return before


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
