"""Jobs that were staged once more under other uids: both uids are to find the job (`protocol.md §6`).

The uid of a job depends on the provisional hash, and that on the identity that the client knew of when it published.
So the same lineage may come again with other uids, and the client labels its jobs by them.  Two graphs with the same
lineage hash have the same jobs in the same order, which pairs them.
"""

import hashlib
import sqlite3
from collections import deque
from dataclasses import dataclass, field

from roar_publisher.registry.lineages.finalize import Hashing
from roar_publisher.registry.lineages.sessions import Access, find_session
from roar_publisher.registry.lineages.settling import find_lineage
from roar_publisher.registry.lineages.slices import Parts, advance
from roar_publisher.registry.lineages.wide_steps import parts_in_order

MOST_ALIASES = 8
"""Uids per job that are remembered beside the first: whoever publishes a lineage again and again fills no disk."""

MOST_LOOKED_UP = 2000
"""Jobs whose uids are looked up before pairing; more are paired in any case, which is done in pieces."""


@dataclass(slots=True)
class _Side:
    """The jobs of one graph in their order.  jobs: as (uid, digest of the text), read but not paired yet."""

    parts: Parts
    jobs: deque[tuple[str, bytes]] = field(default_factory=deque)
    complete: bool = False
    text: "hashlib._Hash" = field(default_factory=hashlib.sha256)

    def read_on(self) -> None:
        """Read a bounded piece more, unless jobs wait already."""
        if self.jobs:
            return
        parts = advance(self.parts)
        self.complete = parts is None
        for part in parts or ():
            self.text.update(part.text.encode("ascii"))
            if part.last:
                self.jobs.append((part.uid, self.text.digest()))
                self.text = hashlib.sha256()


@dataclass(slots=True)
class Pairing:
    """A pairing under way.  known_graph: where the aliases go."""

    known_graph: int
    staged: _Side
    known: _Side
    complete: bool = False


def begin(connection: sqlite3.Connection, access: Access, hashing: Hashing) -> Pairing | None:
    """The pairing to go through before a hashed session is published; None where every uid is known.

    Raises `Refusal` as `find_session`.
    """
    session = find_session(connection, access)
    if session.receipt is not None or hashing.counts["jobs"] == 0:
        return None
    lineage = find_lineage(connection, hashing.hasher.digests()[session.identity])
    if lineage is None or lineage["session_id"] is None or lineage["owner"] != session.owner:
        return None
    graph_id: int = lineage["graph_id"]
    (aliases,) = connection.execute("SELECT count(*) FROM job_aliases WHERE graph_id = ?", (graph_id,)).fetchone()
    if aliases >= MOST_ALIASES * hashing.counts["jobs"] or _are_known(connection, session.graph_id, graph_id, hashing):
        return None
    staged, known = (_Side(parts_in_order(connection, side)) for side in (session.graph_id, graph_id))
    return Pairing(graph_id, staged, known)


def _are_known(connection: sqlite3.Connection, staged: int, known: int, hashing: Hashing) -> bool:
    """Whether a published graph finds every staged uid; False, too, where there are too many to look up at once."""
    if hashing.counts["jobs"] > MOST_LOOKED_UP:
        return False
    unknown = connection.execute(
        "SELECT 1 FROM jobs WHERE graph_id = ?1"
        " AND NOT EXISTS (SELECT 1 FROM jobs AS other WHERE other.graph_id = ?2 AND other.uid = jobs.uid)"
        " AND NOT EXISTS (SELECT 1 FROM job_aliases WHERE graph_id = ?2 AND uid = jobs.uid) LIMIT 1",
        (staged, known),
    )
    return unknown.fetchone() is None


def pair_slice(connection: sqlite3.Connection, pairing: Pairing) -> None:
    """Pair a bounded piece more.  Repeating it changes nothing."""
    staged, known = pairing.staged, pairing.known
    staged.read_on()
    known.read_on()
    pairs = []
    while staged.jobs and known.jobs:
        (second, text), (first, known_text) = staged.jobs.popleft(), known.jobs.popleft()
        # What is staged meanwhile is hashed anew, and paired anew.  Until then only equal jobs are paired.
        if text == known_text and second != first:
            pairs.append((pairing.known_graph, second, first))
    connection.executemany(
        "INSERT INTO job_aliases (graph_id, uid, job_uid) VALUES (?, ?, ?) ON CONFLICT DO NOTHING", pairs
    )
    pairing.complete = staged.complete or known.complete


def stop(connection: sqlite3.Connection, pairing: Pairing) -> None:
    """Drop what a pairing has sorted.  Repeating it does nothing."""
    pairing.staged.parts.close()
    pairing.known.parts.close()
