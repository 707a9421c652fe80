"""The index of published lineages: what uses an artifact, groups of jobs with the edges between them, and words.

It is built after a lineage was published, in bounded slices (`lineages.indexing`), and built anew if the lineage
changes. A graph's artifacts may move to another graph, so a row holds only together with its `graph_id`.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import NamedTuple

from roar_publisher.registry.store.database import Connection
from roar_publisher.registry.store.graphs import INDEX_TABLES, delete_some

CLEAR, JOBS, EDGES, LABELS, DONE = range(5)
"""Phases of a lineage's index (`lineages.index_phase`): its old rows are deleted, then each part is built."""
NO_GRAPH = -1
"""An id that no graph has: a list of a statement must not be empty."""
NAME_READ = 1000
"""Characters of a command and of a path that are read for the index."""
_LINKS = f"""
    SELECT links.job_id, artifacts.id, links.kind, links.digest, substr(links.path, 1, {NAME_READ})
    FROM links LEFT JOIN artifacts ON artifacts.graph_id = :graph AND artifacts.digest = links.digest
"""


class UnfinishedIndex(NamedTuple):
    """A lineage whose index is not complete. `position` is where the phase goes on."""

    graph_id: int
    space: str
    git_repo: str | None
    git_branch: str | None
    phase: int
    position: str


class IndexedJob(NamedTuple):
    """What the index needs of a job. `links` is how many it has."""

    id: int
    uid: str
    step_number: int
    command: str
    failed: bool
    links: int


class IndexedLink(NamedTuple):
    """What the index needs of a link."""

    job_id: int
    artifact_id: int | None
    kind: str
    digest: str
    path: str


class JobGroup(NamedTuple):
    """Jobs of a group. The name of group 0 stands for all that have no group of their own."""

    number: int
    name: str
    jobs: Sequence[IndexedJob]


def next_unfinished(connection: Connection, without: Collection[int] = ()) -> UnfinishedIndex | None:
    """Return the newest lineage whose index is not complete, apart from these graphs; None if there is none.

    After an upgrade all lineages are to be indexed. A new one does not wait for them.
    """
    row = connection.execute(
        "SELECT graph_id, space, git_repo, git_branch, index_phase, index_position FROM lineages"
        f" WHERE index_phase < {DONE} AND graph_id NOT IN (:without) ORDER BY published_at DESC LIMIT 1",
        {"without": [NO_GRAPH, *without]},
    ).fetchone()
    return None if row is None else UnfinishedIndex(*row)


def is_indexed(connection: Connection, graph_id: int) -> bool:
    """Return whether the index of a graph has all its jobs and groups."""
    row = connection.execute("SELECT index_phase FROM lineages WHERE graph_id = :graph", {"graph": graph_id}).fetchone()
    return row is not None and row["index_phase"] > EDGES


def advance_index(connection: Connection, before: UnfinishedIndex, phase: int, position: str) -> bool:
    """Record how far an index is. Return False, without changes, if it is not where it was before."""
    moved = connection.execute(
        "UPDATE lineages SET index_phase = :phase, index_position = :position"
        " WHERE graph_id = :graph AND index_phase = :old_phase AND index_position = :old_position",
        {
            "phase": phase,
            "position": position,
            "graph": before.graph_id,
            "old_phase": before.phase,
            "old_position": before.position,
        },
    )
    return moved.rowcount == 1


def forget_index(connection: Connection, graph_id: int) -> None:
    """Let the index of a lineage be built anew, because its jobs or artifacts change."""
    connection.execute(
        f"UPDATE lineages SET index_phase = {CLEAR}, index_position = '' WHERE graph_id = :graph", {"graph": graph_id}
    )


def forget_labels(connection: Connection, graph_id: int) -> None:
    """Let the labels of a lineage be indexed anew. If that is still ahead, nothing changes."""
    connection.execute(
        f"UPDATE lineages SET index_phase = {LABELS}, index_position = ''"
        f" WHERE graph_id = :graph AND index_phase >= {LABELS}",
        {"graph": graph_id},
    )


def clear_index(connection: Connection, graph_id: int, limit: int) -> bool:
    """Delete up to `limit` rows of each table of the index. Return whether there may be more."""
    return delete_some(connection, INDEX_TABLES, graph_id, limit)


def jobs_from(connection: Connection, graph_id: int, uid: str, limit: int) -> list[IndexedJob]:
    """Return the jobs of a graph in the order of their uids, from `uid` on."""
    rows = connection.execute(
        f"SELECT id, uid, step_number, substr(command, 1, {NAME_READ}), coalesce(exit_code, 0) <> 0, inputs + outputs"
        " FROM jobs JOIN job_sizes ON job_id = jobs.id"
        " WHERE graph_id = :graph AND uid >= :uid ORDER BY uid LIMIT :limit",
        {"graph": graph_id, "uid": uid, "limit": limit},
    )
    return [IndexedJob(*row) for row in rows.fetchall()]


def group_numbers(connection: Connection, graph_id: int, names: Sequence[str], most: int) -> dict[str, int]:
    """Return the numbers of the groups with these names. New ones follow the others; 0 if there are `most` already."""
    known = connection.execute(
        "SELECT name, number FROM job_groups WHERE graph_id = :graph AND name IN (:names)",
        {"graph": graph_id, "names": list(names)},
    )
    numbers = {name: int(number) for name, number in known}
    (count,) = connection.execute(
        "SELECT count(*) FROM job_groups WHERE graph_id = :graph AND number > 0", {"graph": graph_id}
    ).fetchone()
    for name in names:
        if name not in numbers:
            numbers[name] = count + 1 if count < most else 0
            count += numbers[name] > 0
    return numbers


def add_to_groups(connection: Connection, graph_id: int, groups: Sequence[JobGroup]) -> None:
    """Count jobs in their groups."""
    connection.executemany(
        "INSERT INTO job_groups (graph_id, number, name, jobs, failed, first_step, last_step)"
        " VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (graph_id, number) DO UPDATE SET"
        " jobs = job_groups.jobs + excluded.jobs, failed = job_groups.failed + excluded.failed,"
        " first_step = CASE WHEN excluded.first_step < job_groups.first_step THEN excluded.first_step"
        " ELSE job_groups.first_step END,"
        " last_step = CASE WHEN excluded.last_step > job_groups.last_step THEN excluded.last_step"
        " ELSE job_groups.last_step END",
        [(graph_id, number, name, *_sums(jobs)) for number, name, jobs in groups],
    )
    connection.executemany(
        "INSERT INTO group_jobs (graph_id, number, step_number, job_id) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING",
        [(graph_id, group.number, job.step_number, job.id) for group in groups for job in group.jobs],
    )


def _sums(jobs: Sequence[IndexedJob]) -> tuple[int, int, int, int]:
    steps = [job.step_number for job in jobs]
    return len(jobs), sum(job.failed for job in jobs), min(steps), max(steps)


def links_of_jobs(connection: Connection, graph_id: int, jobs: Sequence[IndexedJob]) -> list[IndexedLink]:
    """Return the links of jobs, in the order of the jobs, then by kind and digest."""
    rows = connection.execute(
        f"{_LINKS} WHERE links.job_id IN (:jobs) ORDER BY links.job_id, links.kind, links.digest",
        {"graph": graph_id, "jobs": [job.id for job in jobs]},
    )
    by_job: dict[int, list[IndexedLink]] = {job.id: [] for job in jobs}
    for row in rows:
        by_job[row[0]].append(IndexedLink(*row))
    return [link for links in by_job.values() for link in links]


def links_after(
    connection: Connection, graph_id: int, job_id: int, after: tuple[str, str], limit: int
) -> list[IndexedLink]:
    """Return up to `limit` links of a job after a kind and digest, in that order."""
    rows = connection.execute(
        f"{_LINKS} WHERE links.job_id = :job AND (links.kind, links.digest) > (:kind, :digest)"
        " ORDER BY links.kind, links.digest LIMIT :limit",
        {"graph": graph_id, "job": job_id, "kind": after[0], "digest": after[1], "limit": limit},
    )
    return [IndexedLink(*row) for row in rows]


def add_links(connection: Connection, graph_id: int, links: Sequence[IndexedLink], group_of: Mapping[int, int]) -> None:
    """Index links. `group_of` has the number of each job's group, by the job's id."""
    known = [(link.artifact_id, link.kind, link.job_id) for link in links if link.artifact_id is not None]
    connection.executemany(
        "INSERT INTO artifact_links (graph_id, artifact_id, kind, job_id) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING",
        [(graph_id, *link) for link in sorted(known)],
    )
    connection.executemany(
        "INSERT INTO artifact_groups (graph_id, artifact_id, kind, number) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING",
        [(graph_id, *group) for group in sorted({(artifact, kind, group_of[job]) for artifact, kind, job in known})],
    )


def grouped_artifacts(connection: Connection, graph_id: int, after: int, limit: int) -> list[tuple[int, str, int]]:
    """Return artifact id, kind and group of the `limit` artifacts after an id, sorted by id."""
    ids = connection.execute(
        "SELECT DISTINCT artifact_id FROM artifact_groups WHERE graph_id = :graph AND artifact_id > :after"
        " ORDER BY artifact_id LIMIT :limit",
        {"graph": graph_id, "after": after, "limit": limit},
    ).fetchall()
    if not ids:
        return []
    rows = connection.execute(
        "SELECT artifact_id, kind, number FROM artifact_groups"
        " WHERE graph_id = :graph AND artifact_id > :after AND artifact_id <= :last ORDER BY artifact_id",
        {"graph": graph_id, "after": after, "last": ids[-1]["artifact_id"]},
    )
    return [(row["artifact_id"], row["kind"], row["number"]) for row in rows]


def add_group_edges(connection: Connection, graph_id: int, edges: Iterable[tuple[int, int, int]]) -> None:
    """Count edges between groups, given as source, target and the number of artifacts."""
    connection.executemany(
        "INSERT INTO group_edges (graph_id, source, target, artifacts) VALUES (:graph, :source, :target, :artifacts)"
        " ON CONFLICT (graph_id, source, target) DO UPDATE SET artifacts = group_edges.artifacts + excluded.artifacts",
        [
            {"graph": graph_id, "source": source, "target": target, "artifacts": count}
            for source, target, count in edges
        ],
    )
