"""Recording of which jobs made the artifacts of a lineage (`store.made_artifacts`), before it is published.

This runs in slices of one short transaction each. Repeating it changes nothing, so a finalize that is interrupted or
that begins again because more was staged only does it again.
"""

from collections.abc import Generator, Sequence
from itertools import accumulate, takewhile

from roar_publisher.registry.lineages.finalize import Hashing
from roar_publisher.registry.lineages.registration import Access, find_session
from roar_publisher.registry.store import lineages, made_artifacts
from roar_publisher.registry.store.database import Connection
from roar_publisher.registry.store.made_artifacts import MakingJob

SLICE_JOBS, SLICE_OUTPUTS = 1000, 1500
"""Maximum jobs and artifacts that one slice handles."""

Slices = Generator[None, None, None]
"""Yields after each slice. Run each step in a transaction."""


def begin(connection: Connection, access: Access, hashing: Hashing) -> Slices | None:
    """Start the recording that precedes the publication of a hashed session.

    Return None if this graph will not be published, because the session is closed, or prepared for a lineage, or the
    lineage has been finalized before. Raises `Refusal` as `find_session`.
    """
    session = find_session(connection, access)
    if session.receipt is not None or session.prepared_graph is not None:
        return None
    known = lineages.find(connection, hashing.hasher.digests()[session.identity])
    if known is not None and known.session_id is not None:
        return None
    return _slices(connection, session.graph_id)


def advance(connection: Connection, slices: Slices) -> bool:
    """Do the next slice. Return False if all is done."""
    for _ in slices:
        return True
    return False


def _slices(connection: Connection, graph_id: int) -> Slices:
    uid = ""
    while jobs := made_artifacts.jobs_after(connection, graph_id, uid, SLICE_JOBS):
        chosen = _that_fit(jobs)
        if chosen:
            made_artifacts.add_outputs_of_jobs(connection, chosen)
            uid = chosen[-1].uid
            yield
        else:
            yield from _slices_of_job(connection, jobs[0])
            uid = jobs[0].uid


def _slices_of_job(connection: Connection, job: MakingJob) -> Slices:
    digest: str | None = ""
    while digest is not None:
        digest = made_artifacts.add_outputs_after(connection, job, digest, SLICE_OUTPUTS)
        yield


def _that_fit(jobs: Sequence[MakingJob]) -> Sequence[MakingJob]:
    """Return the first jobs that fit into one slice; none if the first one is too large for that."""
    totals = takewhile(lambda total: total <= SLICE_OUTPUTS, accumulate(job.outputs for job in jobs))
    return jobs[: len(list(totals))]
