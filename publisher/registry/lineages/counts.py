"""The counts of a graph, maintained on every write, so reading them costs the same for a lineage of any size.

The counts of a graph (`graphs`) and the sizes of its jobs (`job_sizes`) change in the same transaction as the counted
rows. Only `staging` writes jobs and links, and each of its writes calls this module.
"""

import json
import sqlite3
from collections.abc import Collection

from roar_publisher.glaas.wire import Job, Link


def graph_counts(connection: sqlite3.Connection, graph_id: int) -> dict[str, int]:
    """Return the numbers of jobs, inputs, outputs and artifacts of a graph.

    Inputs and outputs are distinct digests per job.
    """
    row = connection.execute("SELECT jobs, inputs, outputs, artifacts FROM graphs WHERE id = ?", (graph_id,)).fetchone()
    return dict(row)


def count_jobs(connection: sqlite3.Connection, graph_id: int, jobs: Collection[tuple[int, Job]], created: int) -> None:
    """Count written jobs, given as pairs of row id and job. `created` of them are new."""
    connection.executemany(
        "INSERT INTO job_sizes (job_id, inputs, outputs, bytes) VALUES (?, 0, 0, ?) ON CONFLICT DO NOTHING",
        ((job_id, len(job.command) + len(job.metadata or "")) for job_id, job in jobs),
    )
    connection.execute("UPDATE graphs SET jobs = jobs + ? WHERE id = ?", (created, graph_id))


def count_links(connection: sqlite3.Connection, graph_id: int, job_id: int, kind: str, links: Collection[Link]) -> None:
    """Count links that are about to be written. `kind` is `inputs` or `outputs`.

    The bytes of a link that is sent again count again. Overestimating a job's size costs time but does not affect the
    hash.
    """
    digests = {link.hash for link in links}
    new = len(digests) - _known(
        connection, "links WHERE job_id = ? AND kind = ? AND digest", (job_id, str(kind)), digests
    )
    size = sum(len(link.hash) + len(link.path) for link in links)
    connection.execute(
        f"UPDATE job_sizes SET {kind} = {kind} + ?, bytes = bytes + ? WHERE job_id = ?", (new, size, job_id)
    )
    connection.execute(f"UPDATE graphs SET {kind} = {kind} + ? WHERE id = ?", (new, graph_id))


def count_artifacts(connection: sqlite3.Connection, graph_id: int, digests: Collection[str]) -> None:
    """Count artifacts that are about to be written, given by their digests."""
    sought = set(digests)
    new = len(sought) - _known(connection, "artifacts WHERE graph_id = ? AND digest", (graph_id,), sought)
    connection.execute("UPDATE graphs SET artifacts = artifacts + ? WHERE id = ?", (new, graph_id))


def recount_artifacts(connection: sqlite3.Connection, graph_id: int) -> None:
    """Recount the artifacts of a graph after some were moved to it."""
    connection.execute(
        "UPDATE graphs SET artifacts = (SELECT count(*) FROM artifacts WHERE graph_id = ?1) WHERE id = ?1", (graph_id,)
    )


def _known(connection: sqlite3.Connection, place: str, where: tuple[object, ...], digests: Collection[str]) -> int:
    asked = json.dumps(sorted(digests))
    row = connection.execute(f"SELECT count(*) FROM {place} IN (SELECT value FROM json_each(?))", (*where, asked))
    (count,) = row.fetchone()
    return int(count)
