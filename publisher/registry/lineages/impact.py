"""What descends from an artifact, across all indexed lineages that a reader can see."""

from msgspec import Struct

from roar_publisher.registry.store.access import Reader
from roar_publisher.registry.store.database import Connection
from roar_publisher.registry.store.descent import Descent, written_from

MAX_DESCENDANTS = 2000
"""Maximum artifacts that one query finds."""
MAX_ROWS = 20_000
"""Maximum links that one query reads."""
ARTIFACTS_AT_ONCE = 200
"""Artifacts whose readers are looked for in one statement."""


class Descendant(Struct, frozen=True):
    """An artifact that descends from another one over `distance` jobs. `made` is one of the jobs that wrote it."""

    distance: int
    made: Descent


class Impact(Struct, frozen=True):
    """The artifacts that descend from one, nearest first. `complete` is false if the search ended at a bound."""

    digest: str
    descendants: list[Descendant]
    jobs: int
    lineages: int
    complete: bool


def impact_of(connection: Connection, digest: str, reader: Reader) -> Impact:
    """Return what descends from an artifact."""
    seen = {digest}
    found: list[Descendant] = []
    jobs: set[tuple[str, str]] = set()
    frontier, distance, left = [digest], 0, MAX_ROWS
    while frontier and left > 0 and len(found) < MAX_DESCENDANTS:
        distance += 1
        following: list[str] = []
        for first in range(0, len(frontier), ARTIFACTS_AT_ONCE):
            chunk = frontier[first : first + ARTIFACTS_AT_ONCE]
            rows = written_from(connection, chunk, reader, left) if left > 0 else []
            left -= len(rows) + len(chunk)
            for row in sorted(rows):
                jobs.add((row.lineage, row.uid))
                if row.digest not in seen:
                    seen.add(row.digest)
                    following.append(row.digest)
                    found.append(Descendant(distance, row))
        frontier = following
    complete = not frontier and left > 0
    lineages = {lineage for lineage, _ in jobs}
    return Impact(digest, found[:MAX_DESCENDANTS], len(jobs), len(lineages), complete)
