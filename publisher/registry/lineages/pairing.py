"""Pairing of jobs that were staged again under other uids, so that both uids find the job (`protocol.md §6`).

A job's uid depends on the provisional hash, and so on the identity that the client knew when it published. The same
lineage may therefore come again with other uids, and the client uses these to label its jobs. Two graphs with the same
lineage hash have the same jobs in the same order, which determines the pairs.
"""

import hashlib
from collections import deque

from msgspec import Struct, field

from roar_publisher.registry.lineages.finalize import Hashing
from roar_publisher.registry.lineages.registration import Access, find_session
from roar_publisher.registry.lineages.slices import Parts, advance
from roar_publisher.registry.lineages.wide_steps import parts_in_order
from roar_publisher.registry.store import jobs, lineages
from roar_publisher.registry.store.database import Connection

MAX_ALIASES = 8
"""Maximum aliases per job. This bounds disk use if a lineage is published again and again."""

MAX_LOOKED_UP = 2000
"""Maximum jobs whose uids are looked up before pairing. Larger graphs are always paired, in slices."""


class _Side(Struct):
    """The jobs of one graph in order. `jobs` holds pairs of uid and digest of the text that are not paired yet."""

    parts: Parts
    jobs: deque[tuple[str, bytes]] = field(default_factory=deque)
    complete: bool = False
    hasher: "hashlib._Hash" = field(default_factory=hashlib.sha256)

    def read_on(self) -> None:
        """Read another bounded slice, unless unpaired jobs are left."""
        if self.jobs:
            return
        parts = advance(self.parts)
        self.complete = parts is None
        for part in parts or ():
            self.hasher.update(part.text.encode("ascii"))
            if part.last:
                self.jobs.append((part.uid, self.hasher.digest()))
                self.hasher = hashlib.sha256()


class Pairing(Struct):
    """A pairing in progress. `known_graph` is the graph that gets the aliases."""

    known_graph: int
    staged: _Side
    known: _Side
    complete: bool = False


def begin(connection: Connection, access: Access, hashing: Hashing) -> Pairing | None:
    """Start the pairing that precedes the publication of a hashed session; None if every uid is known.

    Raises `Refusal` as `find_session`.
    """
    session = find_session(connection, access)
    if session.receipt is not None or hashing.counts["jobs"] == 0:
        return None
    lineage = lineages.find(connection, hashing.hasher.digests()[session.identity])
    if lineage is None or lineage.session_id is None or lineage.owner != session.owner:
        return None
    count = hashing.counts["jobs"]
    if jobs.count_aliases(connection, lineage.graph_id) >= MAX_ALIASES * count:
        return None
    # Larger graphs are too much for one lookup.
    if count <= MAX_LOOKED_UP and jobs.knows_all_jobs(connection, lineage.graph_id, session.graph_id):
        return None
    staged, known = (_Side(parts_in_order(connection, side)) for side in (session.graph_id, lineage.graph_id))
    return Pairing(lineage.graph_id, staged, known)


def pair_slice(connection: Connection, pairing: Pairing) -> None:
    """Pair the next bounded slice. Repeating it changes nothing."""
    staged, known = pairing.staged, pairing.known
    staged.read_on()
    known.read_on()
    pairs = []
    while staged.jobs and known.jobs:
        (second, text), (first, known_text) = staged.jobs.popleft(), known.jobs.popleft()
        # If more is staged meanwhile, hashing and pairing start over. Until then only equal jobs are paired.
        if text == known_text and second != first:
            pairs.append((second, first))
    jobs.insert_aliases(connection, pairing.known_graph, pairs)
    pairing.complete = staged.complete or known.complete


def stop(connection: Connection, pairing: Pairing) -> None:
    """Discard the sorted data of a pairing. Repeating it does nothing."""
    pairing.staged.parts.close()
    pairing.known.parts.close()
