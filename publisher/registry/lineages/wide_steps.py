"""The jobs of a step in the order of their canonical texts, if they are too many or too large to sort at once.

SQLite sorts the texts of normal jobs in a temporary table that it stores on disk. The text of a job with very many
links is never held as a whole. Such jobs are compared in chunks, and their texts are read from the links again.
"""

import itertools
import sqlite3
from collections.abc import Generator, Iterator
from typing import TypeVar

from roar_publisher.registry.lineages.huge_jobs import HugeJob, in_order
from roar_publisher.registry.lineages.slices import (
    BEFORE_ALL_STEPS,
    CANONICAL_TEXT,
    JOBS_WITH_PARENTS,
    SLICE_BYTES,
    SLICE_JOBS,
    Part,
    Parts,
    read_steps,
    small_steps,
)

T = TypeVar("T")

HUGE_BYTES = 256 * 1024
"""A job with more than this, links included, is read in pieces."""
_SORT_IDS = itertools.count()
_TABLE = """
    CREATE TEMP TABLE IF NOT EXISTS sorted_texts (
        sort INTEGER, text TEXT, uid TEXT, PRIMARY KEY (sort, text, uid)
    ) WITHOUT ROWID
"""
_JOBS_OF_STEP = """
    SELECT jobs.id, uid, bytes FROM jobs JOIN job_sizes ON job_id = jobs.id
    WHERE graph_id = ? AND step_number = ? AND jobs.id > ? ORDER BY jobs.id LIMIT ?
"""
_SORT_JOBS = f"""
    INSERT INTO temp.sorted_texts (sort, text, uid) SELECT ?, {CANONICAL_TEXT}, job.uid {JOBS_WITH_PARENTS}
    WHERE job.id IN (SELECT value FROM json_each(?))
"""
_SORTED = "SELECT text, uid FROM temp.sorted_texts WHERE sort = ? ORDER BY text, uid LIMIT ?"
_DROP_SORTED = "DELETE FROM temp.sorted_texts WHERE sort = ? AND (text, uid) <= (?, ?)"
_DROP_ALL = "DELETE FROM temp.sorted_texts WHERE sort = ?"


def parts_in_order(connection: sqlite3.Connection, graph_id: int) -> Parts:
    """Yield the canonical texts of a graph's jobs in the order of the hash, and None after each bounded slice of work.

    Run each step of this generator in a transaction. The result may lack what is written in between. Close it in a
    transaction, too, which removes the sorted data.
    """
    after = BEFORE_ALL_STEPS
    while True:
        last, first = small_steps(connection, graph_id, after)
        if first is None:
            return
        if last is None:
            yield from _wide_step(connection, graph_id, first)
            after = first
        else:
            yield from read_steps(connection, graph_id, after, last)
            after = last
        yield None


def _wide_step(connection: sqlite3.Connection, graph_id: int, step: int) -> Parts:
    sort = next(_SORT_IDS)
    connection.execute(_TABLE)
    try:
        huge = yield from _sort_usual(connection, graph_id, step, sort)
        usual, others = _usual_in_order(connection, sort), in_order(huge)
        part = yield from _pull(usual)
        other = yield from _pull(others)
        while part is not None or other is not None:
            # No canonical text is a prefix of another, because each is one JSON object.
            if part is not None and (other is None or part.text < other.beginning(len(part.text))):
                yield part
                part = yield from _pull(usual)
            elif other is not None:
                yield from other.parts()
                other = yield from _pull(others)
    finally:
        connection.execute(_DROP_ALL, (sort,))


def _sort_usual(
    connection: sqlite3.Connection, graph_id: int, step: int, sort: int
) -> Generator[None, None, list[HugeJob]]:
    """Sort the usual jobs of a step; returns the huge ones."""
    huge: list[HugeJob] = []
    after = 0
    while jobs := connection.execute(_JOBS_OF_STEP, (graph_id, step, after, SLICE_JOBS)).fetchall():
        chosen: list[int] = []
        size = 0
        for job in jobs:
            if job["bytes"] > HUGE_BYTES:
                huge.append(HugeJob(connection, job["id"], job["uid"]))
            elif chosen and size + job["bytes"] > SLICE_BYTES:
                break
            else:
                chosen.append(job["id"])
                size += job["bytes"]
            after = job["id"]
        connection.execute(_SORT_JOBS, (sort, str(chosen)))
        yield None
    return huge


def _usual_in_order(connection: sqlite3.Connection, sort: int) -> Parts:
    while True:
        parts = []
        size = 0
        for text, uid in (cursor := connection.execute(_SORTED, (sort, SLICE_JOBS))):
            parts.append(Part(uid, text))
            size += len(text)
            if size > SLICE_BYTES:
                break
        cursor.close()
        if not parts:
            return
        connection.execute(_DROP_SORTED, (sort, parts[-1].text, parts[-1].uid))
        yield from parts
        yield None


def _pull(items: "Iterator[T | None]") -> "Generator[None, None, T | None]":
    """Return the next item, None at the end. Yields None where the items do, so other requests can run."""
    for item in items:
        if item is not None:
            return item
        yield None
    return None
