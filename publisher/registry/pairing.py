"""Jobs that were staged once more under other uids: both uids are to find the job (`protocol.md §6`).

The uid of a job depends on the provisional hash, and that on the identity that the client knew of when it published.
So the same lineage may come again with other uids, and the client labels its jobs by them.  Two graphs with the same
lineage hash have the same jobs in the same order, which pairs them.
"""

import sqlite3
from dataclasses import dataclass

from roar_publisher.registry.finalize import Hashing
from roar_publisher.registry.sessions import Access, find_session
from roar_publisher.registry.settling import find_lineage
from roar_publisher.registry.slices import BEFORE_ALL_STEPS, canonical_jobs, end_of_slice

MOST_ALIASES = 8
"""Uids per job that are remembered beside the first: whoever publishes a lineage again and again fills no disk."""


@dataclass(slots=True)
class Pairing:
    """A pairing under way.  staged, known: the graphs.  after: the last step that is paired."""

    staged: int
    known: int
    after: int = BEFORE_ALL_STEPS
    complete: bool = False


def begin(connection: sqlite3.Connection, access: Access, hashing: Hashing) -> Pairing | None:
    """The pairing to go through before a hashed session is published; None where every uid is known.

    Raises `Refusal` as `find_session`.
    """
    session = find_session(connection, access)
    if session.receipt is not None or hashing.counts["jobs"] == 0:
        return None
    known = find_lineage(connection, hashing.hasher.digests()[session.identity])
    if known is None or known["session_id"] is None or known["owner"] != session.owner:
        return None
    graph_id: int = known["graph_id"]
    (aliases,) = connection.execute("SELECT count(*) FROM job_aliases WHERE graph_id = ?", (graph_id,)).fetchone()
    unknown = connection.execute(
        "SELECT 1 FROM jobs WHERE graph_id = ?1 AND uid NOT IN (SELECT uid FROM jobs WHERE graph_id = ?2)"
        " AND uid NOT IN (SELECT uid FROM job_aliases WHERE graph_id = ?2) LIMIT 1",
        (session.graph_id, graph_id),
    ).fetchone()
    if unknown is None or aliases >= MOST_ALIASES * hashing.counts["jobs"]:
        return None
    return Pairing(session.graph_id, graph_id)


def pair_slice(connection: sqlite3.Connection, pairing: Pairing) -> None:
    """Pair the jobs of the next slice.  Repeating it changes nothing."""
    last = end_of_slice(connection, pairing.staged, pairing.after)
    if last is None:
        pairing.complete = True
        return
    staged = canonical_jobs(connection, pairing.staged, pairing.after, last)
    known = canonical_jobs(connection, pairing.known, pairing.after, last)
    # What is staged meanwhile is hashed anew, and paired anew.  Until then only equal jobs are paired.
    pairs = [
        (pairing.known, second["uid"], first["uid"])
        for second, first in zip(staged, known, strict=False)
        if second["text"] == first["text"] and second["uid"] != first["uid"]
    ]
    connection.executemany(
        "INSERT INTO job_aliases (graph_id, uid, job_uid) VALUES (?, ?, ?) ON CONFLICT DO NOTHING", pairs
    )
    pairing.after = last
