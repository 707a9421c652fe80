"""Pairing of jobs that were staged again under other uids, so that both uids find the job (`protocol.md §6`).

A job's uid depends on the provisional hash, and so on the identity that the client knew when it published. The same
lineage may therefore come again with other uids, and the client uses these to label its jobs. Two graphs with the same
lineage hash have the same jobs in the same order, which determines the pairs.
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
"""Maximum aliases per job. This bounds disk use if a lineage is published again and again."""

MOST_LOOKED_UP = 2000
"""Maximum jobs whose uids are looked up before pairing. Larger graphs are always paired, in slices."""


@dataclass(slots=True)
class _Side:
    """The jobs of one graph in order. `jobs` holds pairs of uid and digest of the text that are not paired yet."""

    parts: Parts
    jobs: deque[tuple[str, bytes]] = field(default_factory=deque)
    complete: bool = False
    text: "hashlib._Hash" = field(default_factory=hashlib.sha256)

    def read_on(self) -> None:
        """Read another bounded slice, unless unpaired jobs are left."""
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
    """A pairing in progress. `known_graph` is the graph that gets the aliases."""

    known_graph: int
    staged: _Side
    known: _Side
    complete: bool = False


def begin(connection: sqlite3.Connection, access: Access, hashing: Hashing) -> Pairing | None:
    """Start the pairing that precedes the publication of a hashed session; None if every uid is known.

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
    """Return whether a published graph knows every staged uid. Also False if there are too many to look up at once."""
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
    """Pair the next bounded slice. Repeating it changes nothing."""
    staged, known = pairing.staged, pairing.known
    staged.read_on()
    known.read_on()
    pairs = []
    while staged.jobs and known.jobs:
        (second, text), (first, known_text) = staged.jobs.popleft(), known.jobs.popleft()
        # If more is staged meanwhile, hashing and pairing start over. Until then only equal jobs are paired.
        if text == known_text and second != first:
            pairs.append((pairing.known_graph, second, first))
    connection.executemany(
        "INSERT INTO job_aliases (graph_id, uid, job_uid) VALUES (?, ?, ?) ON CONFLICT DO NOTHING", pairs
    )
    pairing.complete = staged.complete or known.complete


def stop(connection: sqlite3.Connection, pairing: Pairing) -> None:
    """Discard the sorted data of a pairing. Repeating it does nothing."""
    pairing.staged.parts.close()
    pairing.known.parts.close()
