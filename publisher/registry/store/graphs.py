"""Graphs: creating them, discarding them, and their counts.

The counts of a graph (`graphs`) and the sizes of its jobs (`job_sizes`) change in the same transaction as the counted
rows, so reading them costs the same for a lineage of any size. Only `jobs` and `artifacts` write the counted rows, and
each of their writes calls this module.
"""

import json
from collections.abc import Collection, Iterable

from roar_publisher.registry.store.database import Connection

_OF_FIRST_JOBS = "job_id IN (SELECT id FROM jobs WHERE graph_id = :graph ORDER BY uid LIMIT :limit)"
_GRAPH_TABLES = (
    ("links", ("job_id", "kind", "digest"), _OF_FIRST_JOBS),
    ("view_edges", ("job_id", "relation", "target_hash"), _OF_FIRST_JOBS),
    ("jobs", ("id",), "graph_id = :graph ORDER BY uid"),
    ("artifacts", ("id",), "graph_id = :graph"),
    ("labels", ("graph_id", "entity_type", "entity", "version"), "graph_id = :graph"),
    ("job_aliases", ("graph_id", "uid"), "graph_id = :graph"),
)
"""Table, key and condition for the data of a graph, in the order of deletion. Deleting a job cascades to its links,
so these, which may be a million, are deleted first."""


def new_graph(connection: Connection) -> int:
    """Create an empty graph and return its id."""
    graph_id = connection.execute("INSERT INTO graphs DEFAULT VALUES").lastrowid
    assert graph_id is not None
    return graph_id


def discard_graph(connection: Connection, graph_id: int) -> None:
    """Mark a graph that has no references any more; `delete_discarded` deletes it in slices."""
    connection.execute("INSERT INTO discarded_graphs (graph_id) VALUES (?)", (graph_id,))


def delete_discarded(connection: Connection, limit: int) -> bool:
    """Delete up to `limit` rows of each table of a discarded graph. Return False if there is no such graph."""
    discarded = connection.execute("SELECT graph_id FROM discarded_graphs LIMIT 1").fetchone()
    if discarded is None:
        return False
    for table, key, place in _GRAPH_TABLES:
        columns, values = ", ".join(key), ", ".join("?" * len(key))
        piece = connection.execute(
            f"SELECT {columns} FROM {table} WHERE {place} LIMIT :limit",
            {"graph": discarded["graph_id"], "limit": limit},
        ).fetchall()
        connection.executemany(f"DELETE FROM {table} WHERE ({columns}) = ({values})", piece)
        if len(piece) == limit:
            return True  # there may be more
    connection.execute("DELETE FROM discarded_graphs WHERE graph_id = ?", tuple(discarded))
    connection.execute("DELETE FROM graphs WHERE id = ?", tuple(discarded))
    return True


def graph_counts(connection: Connection, graph_id: int) -> dict[str, int]:
    """Return the numbers of jobs, inputs, outputs and artifacts of a graph.

    Inputs and outputs are distinct digests per job.
    """
    row = connection.execute("SELECT jobs, inputs, outputs, artifacts FROM graphs WHERE id = ?", (graph_id,)).fetchone()
    return dict(row)


def newest_ids(connection: Connection) -> tuple[int, int]:
    """Return the newest graph id and job id. Ids of new rows are consecutive."""
    row = connection.execute(
        "SELECT coalesce((SELECT max(id) FROM graphs), 0), coalesce((SELECT max(id) FROM jobs), 0)"
    ).fetchone()
    return row[0], row[1]


def count_jobs(connection: Connection, graph_id: int, sizes: Iterable[tuple[int, int]], created: int) -> None:
    """Count written jobs, given as pairs of row id and bytes. `created` of them are new."""
    connection.executemany(
        "INSERT INTO job_sizes (job_id, inputs, outputs, bytes) VALUES (?, 0, 0, ?) ON CONFLICT DO NOTHING", sizes
    )
    connection.execute("UPDATE graphs SET jobs = jobs + ? WHERE id = ?", (created, graph_id))


def count_links(
    connection: Connection, graph_id: int, job_id: int, kind: str, digests: Collection[str], size: int
) -> None:
    """Count links that are about to be written. `kind` is `inputs` or `outputs`; `size` is in bytes.

    The bytes of a link that is sent again count again. Overestimating a job's size costs time but does not affect the
    hash.
    """
    sought = set(digests)
    new = len(sought) - _known(connection, "links WHERE job_id = ? AND kind = ? AND digest", (job_id, kind), sought)
    connection.execute(
        f"UPDATE job_sizes SET {kind} = {kind} + ?, bytes = bytes + ? WHERE job_id = ?", (new, size, job_id)
    )
    connection.execute(f"UPDATE graphs SET {kind} = {kind} + ? WHERE id = ?", (new, graph_id))


def count_artifacts(connection: Connection, graph_id: int, digests: Collection[str]) -> None:
    """Count artifacts that are about to be written, given by their digests."""
    sought = set(digests)
    new = len(sought) - _known(connection, "artifacts WHERE graph_id = ? AND digest", (graph_id,), sought)
    connection.execute("UPDATE graphs SET artifacts = artifacts + ? WHERE id = ?", (new, graph_id))


def recount_artifacts(connection: Connection, graph_id: int) -> None:
    """Recount the artifacts of a graph after some were moved to it."""
    connection.execute(
        "UPDATE graphs SET artifacts = (SELECT count(*) FROM artifacts WHERE graph_id = ?1) WHERE id = ?1", (graph_id,)
    )


def _known(connection: Connection, place: str, where: tuple[object, ...], digests: Collection[str]) -> int:
    asked = json.dumps(sorted(digests))
    row = connection.execute(f"SELECT count(*) FROM {place} IN (SELECT value FROM json_each(?))", (*where, asked))
    (count,) = row.fetchone()
    return int(count)
