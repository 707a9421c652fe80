"""Graphs: creating them, discarding them, and their counts.

The counts of a graph (`graphs`) and the sizes of its jobs (`job_sizes`) change in the same transaction as the counted
rows, so reading them costs the same for a lineage of any size. Only `jobs` and `artifacts` write the counted rows, and
each of their writes calls this module.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from roar_publisher.registry.store.database import Connection

INDEX_TABLES = (
    ("artifact_links", ("graph_id", "artifact_id", "kind", "job_id"), "graph_id = :graph"),
    ("artifact_groups", ("graph_id", "artifact_id", "kind", "number"), "graph_id = :graph"),
    ("group_jobs", ("graph_id", "number", "step_number", "job_id"), "graph_id = :graph"),
    ("group_edges", ("graph_id", "source", "target"), "graph_id = :graph"),
    ("job_groups", ("graph_id", "number"), "graph_id = :graph"),
    ("words", ("graph_id", "kind", "word"), "graph_id = :graph"),
)
"""The tables of `lineage_index`, as `_GRAPH_TABLES`."""
_OF_FIRST_JOBS = "job_id IN (SELECT id FROM jobs WHERE graph_id = :graph ORDER BY uid LIMIT :limit)"
_GRAPH_TABLES = (
    *INDEX_TABLES,
    ("links", ("job_id", "kind", "digest"), _OF_FIRST_JOBS),
    ("view_edges", ("job_id", "relation", "target_hash"), _OF_FIRST_JOBS),
    ("jobs", ("id",), "graph_id = :graph ORDER BY uid"),
    ("artifacts", ("id",), "graph_id = :graph"),
    ("labels", ("graph_id", "entity_type", "entity", "version"), "graph_id = :graph"),
    ("job_aliases", ("graph_id", "uid"), "graph_id = :graph"),
)
"""Table, key and condition for the data of a graph, in the order of deletion. Deleting a job cascades to its links,
so these, which may be a million, are deleted first."""


LinkCount = tuple[int, int, int, int]
"""New inputs and outputs of a job, the bytes of all links that were sent for it, new or not, and its row id."""


def new_graph(connection: Connection) -> int:
    """Create an empty graph and return its id."""
    (graph_id,) = connection.execute("INSERT INTO graphs DEFAULT VALUES RETURNING id").fetchone()
    return int(graph_id)


def discard_graph(connection: Connection, graph_id: int) -> None:
    """Mark a graph that has no references any more; `delete_discarded` deletes it in slices."""
    connection.execute("INSERT INTO discarded_graphs (graph_id) VALUES (?)", (graph_id,))


def count_discarded(connection: Connection) -> int:
    """Count the discarded graphs that are not deleted yet."""
    (count,) = connection.execute("SELECT count(*) FROM discarded_graphs").fetchone()
    return int(count)


def delete_discarded(connection: Connection, limit: int) -> bool:
    """Delete up to `limit` rows of each table of a discarded graph. Return False if there is no such graph."""
    discarded = connection.execute("SELECT graph_id FROM discarded_graphs LIMIT 1").fetchone()
    if discarded is None:
        return False
    if delete_some(connection, _GRAPH_TABLES, discarded["graph_id"], limit):
        return True
    connection.execute("DELETE FROM discarded_graphs WHERE graph_id = ?", tuple(discarded))
    connection.execute("DELETE FROM graphs WHERE id = ?", tuple(discarded))
    return True


def delete_some(
    connection: Connection, tables: Iterable[tuple[str, tuple[str, ...], str]], graph_id: int, limit: int
) -> bool:
    """Delete up to `limit` rows of each of these tables, which are as `_GRAPH_TABLES`.

    Return whether there may be more.
    """
    for table, key, condition in tables:
        columns, values = ", ".join(key), ", ".join("?" * len(key))
        piece = connection.execute(
            f"SELECT {columns} FROM {table} WHERE {condition} LIMIT :limit", {"graph": graph_id, "limit": limit}
        ).fetchall()
        connection.executemany(f"DELETE FROM {table} WHERE ({columns}) = ({values})", piece)
        if len(piece) == limit:
            return True
    return False


def graph_counts(connection: Connection, graph_id: int) -> dict[str, int]:
    """Return the numbers of jobs, inputs, outputs and artifacts of a graph.

    Inputs and outputs are distinct digests per job.
    """
    row = connection.execute("SELECT jobs, inputs, outputs, artifacts FROM graphs WHERE id = ?", (graph_id,)).fetchone()
    return dict(row)


class NewestIds(NamedTuple):
    """The newest ids of some tables."""

    graphs: int
    fragment_sessions: int
    jobs: int


def newest_ids(connection: Connection) -> NewestIds:
    """Return the newest ids now."""
    row = connection.execute(
        "SELECT coalesce((SELECT max(id) FROM graphs), 0), coalesce((SELECT max(id) FROM fragment_sessions), 0),"
        " coalesce((SELECT max(id) FROM jobs), 0)"
    ).fetchone()
    return NewestIds(*row)


def rows_since(connection: Connection, before: NewestIds) -> tuple[int, int]:
    """Return how many sessions and jobs are newer. A session or legacy lineage brings a graph."""
    row = connection.execute(
        "SELECT (SELECT count(*) FROM graphs WHERE id > :graphs)"
        " + (SELECT count(*) FROM fragment_sessions WHERE id > :fragment_sessions),"
        " (SELECT count(*) FROM jobs WHERE id > :jobs)",
        before._asdict(),
    ).fetchone()
    return row[0], row[1]


def count_jobs(connection: Connection, graph_id: int, sizes: Sequence[tuple[int, int]], created: int) -> None:
    """Count written jobs, given as pairs of row id and bytes. `created` of them are new."""
    connection.executemany(
        "INSERT INTO job_sizes (job_id, inputs, outputs, bytes) VALUES (?, 0, 0, ?) ON CONFLICT DO NOTHING", sizes
    )
    connection.execute("UPDATE graphs SET jobs = jobs + ? WHERE id = ?", (created, graph_id))


def count_links(connection: Connection, graph_id: int, counts: Sequence[LinkCount]) -> None:
    """Count written links.

    The bytes of a link that is sent again count again. Overestimating a job's size costs time but does not affect the
    hash.
    """
    connection.executemany(
        "UPDATE job_sizes SET inputs = inputs + ?, outputs = outputs + ?, bytes = bytes + ? WHERE job_id = ?",
        counts,
    )
    connection.execute(
        "UPDATE graphs SET inputs = inputs + ?, outputs = outputs + ? WHERE id = ?",
        (sum(inputs for inputs, *_ in counts), sum(outputs for _, outputs, *_ in counts), graph_id),
    )


def count_artifacts(connection: Connection, graph_id: int, created: int) -> None:
    """Count new artifacts."""
    connection.execute("UPDATE graphs SET artifacts = artifacts + ? WHERE id = ?", (created, graph_id))


def recount_artifacts(connection: Connection, graph_id: int) -> None:
    """Recount the artifacts of a graph after some were moved to it."""
    connection.execute(
        "UPDATE graphs SET artifacts = (SELECT count(*) FROM artifacts WHERE graph_id = :graph) WHERE id = :graph",
        {"graph": graph_id},
    )
