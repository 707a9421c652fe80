"""What jobs wrote that had read an artifact, across the indexed lineages that a reader can see.

`CROSS JOIN` makes SQLite begin with the few artifacts. It would read the whole index of a space otherwise.
"""

from collections.abc import Sequence
from typing import NamedTuple

from roar_publisher.registry.store.access import Reader, spaces_of
from roar_publisher.registry.store.database import Connection
from roar_publisher.registry.store.node_rows import TEXT_READ


class Descent(NamedTuple):
    """An artifact that a job wrote, and one that it had read."""

    digest: str
    path: str
    uid: str
    lineage: str


def written_from(connection: Connection, digests: Sequence[str], reader: Reader, limit: int) -> list[Descent]:
    """Return up to `limit` outputs of the jobs that read one of these artifacts. There are at most 500 digests."""
    rows = connection.execute(
        f"SELECT written.digest, substr(written.path, 1, {TEXT_READ}), jobs.uid, lineages.hash"
        " FROM artifacts CROSS JOIN lineages CROSS JOIN artifact_links AS reading CROSS JOIN jobs"
        " CROSS JOIN links AS written"
        " WHERE artifacts.digest IN (:digests)"
        " AND lineages.graph_id = artifacts.graph_id AND space IN (:spaces)"
        " AND reading.graph_id = artifacts.graph_id AND reading.artifact_id = artifacts.id AND reading.kind = 'inputs'"
        " AND jobs.id = reading.job_id AND jobs.graph_id = artifacts.graph_id"
        " AND written.job_id = jobs.id AND written.kind = 'outputs' LIMIT :limit",
        {"limit": limit, "digests": list(digests), "spaces": spaces_of(reader)},
    )
    return [Descent(*row) for row in rows]
