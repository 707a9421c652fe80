"""The tables of jobs: `jobs`, their `links` and `view_edges`, and `job_aliases`, other uids of published jobs."""

from collections.abc import Iterable, Iterator, Sequence
from enum import StrEnum
from typing import NamedTuple

from roar_publisher.registry.store.database import Connection, Row
from roar_publisher.registry.store.graphs import LinkCount, count_jobs, count_links
from roar_publisher.registry.store.rows import insert_neighbours, insert_rows
from roar_publisher.registry.store.schema import NO_STEP


class LinkKind(StrEnum):
    """An artifact's role in a job. The value is used in URLs and in the table."""

    INPUTS = "inputs"
    OUTPUTS = "outputs"


LINK_KINDS = tuple(kind.value for kind in LinkKind)
"""Both kinds as texts, inputs first."""


class StoredJob(NamedTuple):
    """A job, as stored. Times are in Unix seconds. `metadata` is a text."""

    uid: str
    parent_uid: str | None
    step_number: int | None
    command: str
    job_type: str | None
    timestamp: float | None
    duration_seconds: float | None
    exit_code: int | None
    git_commit: str | None
    git_branch: str | None
    metadata: str | None


class SizedJob(NamedTuple):
    """A stored job with its row id, its numbers of links, and their approximate bytes together."""

    id: int
    stored: StoredJob
    inputs: int
    outputs: int
    bytes: int


_STORED = (
    f"uid, parent_uid, nullif(step_number, {NO_STEP}), command, job_type, timestamp, duration_seconds, exit_code,"
    " git_commit, git_branch"
)
SIZED_JOB = f"{_STORED}, metadata, jobs.id, inputs, outputs, bytes"
"""The columns of `sized_job_of`, from `jobs` and `job_sizes`."""
SIZED_JOB_WITHOUT_LONG_METADATA = f"{_STORED}, substr(metadata, 1, :metadata), jobs.id, inputs, outputs, bytes"
"""The same, with at most `:metadata` characters of the metadata."""


LinkRow = tuple[int, str, str, str] | tuple[int, str, str, str, int | None, str | None, str | None, str | None]
"""A link, as stored: row id of its job, kind, digest and path, and possibly size in bytes, source type, metadata and
byte ranges (both texts)."""
SHORT_LINK_ROW = 4
"""The length of a row that ends with the path."""


class LinkedJob(NamedTuple):
    """A job that links are sent for: its row id, and how many inputs and outputs it has."""

    id: int
    inputs: int
    outputs: int


class LinksOfJob(NamedTuple):
    """Links of one job. `kind` is `inputs` or `outputs`. `bytes` is about what they take."""

    job: LinkedJob
    kind: str
    rows: Sequence[LinkRow]
    bytes: int


_INTO_LINKS = {
    SHORT_LINK_ROW: "INSERT INTO links (job_id, kind, digest, path) VALUES (?, ?, ?, ?)",
    8: "INSERT INTO links (job_id, kind, digest, path, size, source_type, metadata, byte_ranges)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
}
_SMALLER_PATH = """
    ON CONFLICT (job_id, kind, digest) DO UPDATE SET path = excluded.path, size = excluded.size,
    source_type = excluded.source_type, metadata = excluded.metadata, byte_ranges = excluded.byte_ranges
    WHERE excluded.path < links.path
"""


def insert_jobs(connection: Connection, graph_id: int, rows: Sequence[StoredJob]) -> int:
    """Add the jobs that the graph does not have. Return how many these are."""
    created = connection.executemany(
        "INSERT INTO jobs (graph_id, uid, parent_uid, step_number, command, job_type, timestamp, duration_seconds,"
        " exit_code, git_commit, git_branch, metadata) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
        " ON CONFLICT (graph_id, uid) DO NOTHING",
        [(graph_id, *row[:2], _stored_step(row.step_number), *row[3:]) for row in rows],
    ).rowcount
    known = job_ids(connection, graph_id, [row.uid for row in rows])
    ids = [known[row.uid] for row in rows]
    sizes = (len(row.command) + len(row.metadata or "") for row in rows)
    count_jobs(connection, graph_id, list(zip(ids, sizes, strict=True)), created)
    return created


def job_id(connection: Connection, graph_id: int, uid: str) -> int | None:
    """Return the id of a graph's job; None if there is none."""
    row = connection.execute("SELECT id FROM jobs WHERE graph_id = ? AND uid = ?", (graph_id, uid)).fetchone()
    return None if row is None else row["id"]


def job_ids(connection: Connection, graph_id: int, uids: Iterable[str]) -> dict[str, int]:
    """Return the ids of those of these jobs that a graph has, by uid."""
    rows = connection.execute(
        "SELECT uid, id FROM jobs WHERE graph_id = :graph AND uid IN (:uids)",
        {"graph": graph_id, "uids": list(uids)},
    )
    return dict(tuple(row) for row in rows)


def linked_jobs(connection: Connection, graph_id: int, uids: Iterable[str]) -> dict[str, LinkedJob]:
    """Return those of these jobs that a graph has, by uid."""
    rows = connection.execute(
        "SELECT uid, id, inputs, outputs FROM jobs JOIN job_sizes ON job_id = jobs.id"
        " WHERE graph_id = :graph AND uid IN (:uids)",
        {"graph": graph_id, "uids": list(uids)},
    )
    return {uid: LinkedJob(number, inputs, outputs) for uid, number, inputs, outputs in rows}


def has_jobs(connection: Connection, graph_id: int) -> bool:
    """Return whether a graph has any job."""
    return connection.execute("SELECT 1 FROM jobs WHERE graph_id = ? LIMIT 1", (graph_id,)).fetchone() is not None


def insert_links(connection: Connection, graph_id: int, groups: Iterable[LinksOfJob]) -> None:
    """Add links to jobs of a graph. If a link exists, the one with the smaller path stays."""
    counts: list[tuple[int, LinksOfJob]] = []
    first: list[LinkRow] = []
    later: list[LinksOfJob] = []
    met: set[tuple[int, str]] = set()
    for group in groups:
        place = (group.job.id, group.kind)
        if place in met or _has_links(group.job, group.kind) or _names_twice(group.rows):
            later.append(group)
        else:
            first += group.rows
            counts.append((len(group.rows), group))
        met.add(place)
    # Most jobs get all links of a kind at once. These are new, so nothing has to be counted one job at a time.
    insert_neighbours(connection, _INTO_LINKS, first)
    for group in later:
        new = insert_neighbours(connection, _INTO_LINKS, group.rows)
        if new < len(group.rows):
            insert_rows(connection, _INTO_LINKS, _SMALLER_PATH, group.rows)
        counts.append((new, group))
    count_links(connection, graph_id, _sums(counts))


def insert_view_edges(connection: Connection, job_id: int, edges: Iterable[tuple[str, str, str]]) -> None:
    """Add edges to a job, given as relation, target hash and JSON text. Existing edges are not changed."""
    connection.executemany(
        "INSERT INTO view_edges (job_id, relation, target_hash, edge) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING",
        [(job_id, *edge) for edge in edges],
    )


def page_of_jobs(connection: Connection, graph_id: int, *, offset: int, limit: int) -> Iterator[SizedJob]:
    """Yield jobs in step order. They are read lazily."""
    rows = connection.stream(
        "WITH page (id) AS"
        " (SELECT id FROM jobs WHERE graph_id = :graph ORDER BY step_number, id LIMIT :limit OFFSET :offset)"
        f" SELECT {SIZED_JOB}"
        " FROM page JOIN jobs USING (id) JOIN job_sizes ON job_id = page.id ORDER BY step_number, page.id",
        {"graph": graph_id, "limit": limit, "offset": offset},
    )
    for row in rows:
        yield sized_job_of(row)


def sized_job_of(row: Row) -> SizedJob:
    """Return the job in a row with the columns `SIZED_JOB`."""
    *stored, number, inputs, outputs, size = row
    return SizedJob(number, StoredJob(*stored), inputs, outputs, size)


def first_links(
    connection: Connection, graph_id: int, job_id: int, kind: str, *, by_path: bool, limit: int
) -> Iterator[tuple[str, str, int | None]]:
    """Yield a job's first links by path or by digest, as digest, path and size. They are read lazily.

    The size is that of the link, or else that of the graph's artifact.
    """
    order = "path, digest" if by_path else "digest"
    rows = connection.execute(
        "SELECT link.digest, link.path, coalesce(link.size, artifact.size) FROM"
        f" (SELECT * FROM links WHERE job_id = ? AND kind = ? ORDER BY {order} LIMIT ?) AS link"
        " LEFT JOIN artifacts AS artifact ON artifact.graph_id = ? AND artifact.digest = link.digest"
        f" ORDER BY {', '.join(f'link.{column}' for column in order.split(', '))}",
        (job_id, kind, limit, graph_id),
    )
    return ((digest, path, size) for digest, path, size in rows)


def insert_aliases(connection: Connection, graph_id: int, pairs: Sequence[tuple[str, str]]) -> None:
    """Record other uids of a graph's jobs, as pairs of the other uid and the job's. Existing ones are not changed.

    A uid of another job of the graph is left out: anybody may publish a public lineage again with its uids exchanged.
    """
    own = job_ids(connection, graph_id, [uid for uid, _ in pairs])
    connection.executemany(
        "INSERT INTO job_aliases (graph_id, uid, job_uid) VALUES (?, ?, ?) ON CONFLICT DO NOTHING",
        [(graph_id, *pair) for pair in pairs if pair[0] not in own],
    )


def count_aliases(connection: Connection, graph_id: int) -> int:
    """Return the number of other uids of a graph's jobs."""
    (count,) = connection.execute("SELECT count(*) FROM job_aliases WHERE graph_id = ?", (graph_id,)).fetchone()
    return int(count)


def uid_of_alias(connection: Connection, graph_id: int, uid: str) -> str:
    """Return the uid under which a graph has the job staged as `uid`: `uid` itself for its own, or without an alias.

    Stores of earlier releases may have aliases that are uids of other jobs of the graph; they mean nothing.
    """
    row = connection.execute(
        "SELECT job_uid FROM job_aliases WHERE graph_id = :graph AND uid = :uid"
        " AND NOT EXISTS (SELECT 1 FROM jobs WHERE graph_id = :graph AND uid = :uid)",
        {"graph": graph_id, "uid": uid},
    ).fetchone()
    return uid if row is None else row["job_uid"]


def knows_all_jobs(connection: Connection, graph_id: int, other_graph: int) -> bool:
    """Return whether a graph knows the uids of all jobs of another graph, as its own or as aliases."""
    unknown = connection.execute(
        "SELECT 1 FROM jobs WHERE graph_id = :other"
        " AND NOT EXISTS (SELECT 1 FROM jobs AS own WHERE own.graph_id = :graph AND own.uid = jobs.uid)"
        " AND NOT EXISTS (SELECT 1 FROM job_aliases WHERE graph_id = :graph AND uid = jobs.uid) LIMIT 1",
        {"graph": graph_id, "other": other_graph},
    )
    return unknown.fetchone() is None


def count_known(connection: Connection, graph_id: int, uids: Sequence[str]) -> tuple[int, int]:
    """Return how many distinct uids a graph knows, as its own or as aliases, and how many of its jobs these are."""
    row = connection.execute(
        "SELECT count(DISTINCT uid), count(DISTINCT job) FROM ("
        "SELECT uid, uid AS job FROM jobs WHERE graph_id = :graph AND uid IN (:uids)"
        " UNION ALL SELECT uid, job_uid FROM job_aliases WHERE graph_id = :graph AND uid IN (:uids)) AS known",
        {"uids": uids, "graph": graph_id},
    ).fetchone()
    return row[0], row[1]


def _has_links(job: LinkedJob, kind: str) -> bool:
    return (job.inputs if kind == "inputs" else job.outputs) > 0


def _names_twice(rows: Sequence[LinkRow]) -> bool:
    return len({row[2] for row in rows}) < len(rows)


def _sums(counts: Iterable[tuple[int, LinksOfJob]]) -> list[LinkCount]:
    """Return the counts of each job's new links, given as the number of them and the links that were sent."""
    sums: dict[int, list[int]] = {}
    for new, group in counts:
        job = sums.setdefault(group.job.id, [0, 0, 0])
        job[0 if group.kind == "inputs" else 1] += new
        job[2] += group.bytes
    return [(inputs, outputs, size, job) for job, (inputs, outputs, size) in sums.items()]


def _stored_step(step_number: int | None) -> int:
    return NO_STEP if step_number is None else step_number
