"""The jobs of a step in the order of their canonical texts, if they are too many or too large to sort at once.

The texts of usual jobs are sorted on disk (`store.sorting`). The text of a job with very many
links is never held as a whole. Such jobs are compared in chunks, and their texts are read from the links again.
"""

from collections.abc import Generator, Iterator
from contextlib import closing
from typing import TypeVar

from roar_publisher.registry.http.bounds import up_to_size
from roar_publisher.registry.lineages.huge_jobs import HugeJob, in_order
from roar_publisher.registry.lineages.slices import (
    SLICE_BYTES,
    SLICE_JOBS,
    Parts,
    TextPart,
    read_steps,
    small_steps,
)
from roar_publisher.registry.store import canonical_texts
from roar_publisher.registry.store.canonical_texts import BEFORE_ALL_STEPS
from roar_publisher.registry.store.database import Connection
from roar_publisher.registry.store.sorting import Sort

T = TypeVar("T")

HUGE_BYTES = 256 * 1024
"""A job with more than this, links included, is read in pieces."""


def parts_in_order(connection: Connection, graph_id: int) -> Parts:
    """Yield the canonical texts of a graph's jobs in the order of the hash, and None after each bounded slice of work.

    Run each step of this generator in a transaction. The result may lack what is written in between. Closing it
    removes the sorted data.
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


def _wide_step(connection: Connection, graph_id: int, step: int) -> Parts:
    sort = Sort(connection.temporary_folder)
    try:
        huge = yield from _sort_usual(connection, graph_id, step, sort)
        usual, others = _usual_in_order(sort), in_order(huge)
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
        sort.close()


def _sort_usual(connection: Connection, graph_id: int, step: int, sort: Sort) -> Generator[None, None, list[HugeJob]]:
    """Sort the usual jobs of a step; returns the huge ones."""
    huge: list[HugeJob] = []
    after = 0
    while jobs := canonical_texts.jobs_of_step(connection, graph_id, step, after, SLICE_JOBS):
        chosen: list[int] = []
        total = 0
        for job_id, uid, size in jobs:
            if size > HUGE_BYTES:
                huge.append(HugeJob(connection, job_id, uid))
            elif chosen and total + size > SLICE_BYTES:
                break
            else:
                chosen.append(job_id)
                total += size
            after = job_id
        sort.add(canonical_texts.texts_of_jobs(connection, chosen))
        yield None
    return huge


def _usual_in_order(sort: Sort) -> Parts:
    while True:
        with closing(sort.first(SLICE_JOBS)) as texts:
            parts = up_to_size(
                (TextPart(uid, text) for text, uid in texts), SLICE_BYTES + 1, lambda part: len(part.text)
            )
        if not parts:
            return
        sort.drop(parts[-1].text, parts[-1].uid)
        yield from parts
        yield None


def _pull(items: "Iterator[T | None]") -> "Generator[None, None, T | None]":
    """Return the next item, None at the end. Yields None where the items do, so other requests can run."""
    for item in items:
        if item is not None:
            return item
        yield None
    return None
