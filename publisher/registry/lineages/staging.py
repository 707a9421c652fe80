"""Writing of jobs, artifacts and links into a graph, staged or legacy.

Every write is idempotent: a job by its uid, an artifact by its digest, a link by (job, kind, digest) (`protocol.md
§4`). The first version of a job or an artifact stays. For a link, the smallest path stays.

A digest that only links name is an artifact, too, with the size and path of its links, until the artifact itself is
sent.
"""

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from http import HTTPStatus

from roar_publisher.glaas.wire import Artifact, CompositeRequest, Hash, Job, Link, ViewEdge
from roar_publisher.registry.http.refusals import Refusal
from roar_publisher.registry.lineages.counts import count_artifacts, count_jobs, count_links
from roar_publisher.registry.store.documents import kept_text
from roar_publisher.registry.store.schema import NO_STEP

DIGEST_ORDER = ("blake3", "composite-blake3", "composite-sha256")
"""The algorithms whose digest identifies an artifact, in order of preference (`protocol.md §7`). Otherwise it is the
first one."""


class LinkKind(StrEnum):
    """An artifact's role in a job. The value is used in URLs and in the table."""

    INPUTS = "inputs"
    OUTPUTS = "outputs"


@dataclass(frozen=True, slots=True)
class Added:
    """`ids` are the row ids of the request's items, in order. `created` is how many of them are new."""

    ids: list[int]
    created: int


def add_jobs(connection: sqlite3.Connection, graph_id: int, jobs: Sequence[Job]) -> Added:
    """Add the jobs that the graph does not have. Existing jobs are not changed."""
    before = connection.total_changes
    connection.executemany(
        "INSERT INTO jobs (graph_id, uid, parent_uid, step_number, command, job_type, timestamp, duration_seconds,"
        " exit_code, git_commit, git_branch, metadata) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
        " ON CONFLICT (graph_id, uid) DO NOTHING",
        (_job_row(graph_id, job) for job in jobs),
    )
    created = connection.total_changes - before
    ids = [_job_id(connection, graph_id, job.job_uid) for job in jobs]
    count_jobs(connection, graph_id, list(zip(ids, jobs, strict=True)), created)
    return Added(ids, created)


def add_artifacts(connection: sqlite3.Connection, graph_id: int, artifacts: Sequence[Artifact]) -> int:
    """Add the artifacts that the graph does not have or knows only from links. Return how many these are."""
    digests = [_primary_digest(artifact.hashes) for artifact in artifacts]
    count_artifacts(connection, graph_id, digests)
    before = connection.total_changes
    connection.executemany(
        "INSERT INTO artifacts (graph_id, digest, hashes, size, source_type, metadata) VALUES (?, ?, ?, ?, ?, ?)"
        " ON CONFLICT (graph_id, digest) DO UPDATE SET hashes = excluded.hashes, size = excluded.size,"
        " source_type = excluded.source_type, metadata = excluded.metadata WHERE hashes IS NULL",
        [_artifact_row(graph_id, *pair) for pair in zip(digests, artifacts, strict=True)],
    )
    return connection.total_changes - before


def add_composite(connection: sqlite3.Connection, graph_id: int, composite: CompositeRequest) -> bool:
    """Add a composite artifact, or its members to an existing plain artifact. Return whether something was new."""
    count_artifacts(connection, graph_id, [composite.hash])
    row = connection.execute(
        "INSERT INTO artifacts (graph_id, digest, hashes, size, source_type, metadata, composite)"
        " VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (graph_id, digest) DO UPDATE SET composite = excluded.composite,"
        " hashes = coalesce(hashes, excluded.hashes), size = iif(hashes IS NULL, excluded.size, size)"
        " WHERE composite IS NULL RETURNING id",
        (*_artifact_row(graph_id, composite.hash, composite), _members(composite)),
    ).fetchone()
    return row is not None


def add_members(connection: sqlite3.Connection, graph_id: int, composite: CompositeRequest) -> bool:
    """Add the members of a composite to an artifact of the graph, without changing its other data.

    Return whether the members were new.
    """
    _, digest, hashes, size, *_ = _artifact_row(graph_id, composite.hash, composite)
    added = connection.execute(
        "UPDATE artifacts SET composite = ?, hashes = coalesce(hashes, ?), size = coalesce(size, ?)"
        " WHERE graph_id = ? AND digest = ? AND composite IS NULL",
        (_members(composite), hashes, size, graph_id, digest),
    )
    return added.rowcount == 1


def add_links(
    connection: sqlite3.Connection, graph_id: int, job_uid: str, kind: LinkKind, links: Sequence[Link]
) -> None:
    """Link artifacts to a job. Raises `Refusal` (404) if the graph has no such job."""
    job_id = _job_id(connection, graph_id, job_uid)
    count_links(connection, graph_id, job_id, kind, links)
    connection.executemany(
        "INSERT INTO links (job_id, kind, digest, path, size, source_type, metadata, byte_ranges)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (job_id, kind, digest) DO UPDATE SET path = excluded.path,"
        " size = excluded.size, source_type = excluded.source_type, metadata = excluded.metadata,"
        " byte_ranges = excluded.byte_ranges WHERE excluded.path < path",
        [(job_id, kind, *_link_columns(link)) for link in links],
    )
    count_artifacts(connection, graph_id, [link.hash for link in links])
    connection.executemany(
        "INSERT INTO artifacts (graph_id, digest, size, source_type, path) VALUES (?, ?, ?, ?, ?)"
        " ON CONFLICT (graph_id, digest) DO UPDATE SET size = coalesce(size, excluded.size),"
        " source_type = coalesce(source_type, excluded.source_type), path = min(path, excluded.path)"
        " WHERE hashes IS NULL AND (excluded.path < path OR (size IS NULL AND excluded.size IS NOT NULL))",
        [(graph_id, link.hash, link.size, link.source_type, link.path) for link in links],
    )


def add_view_edges(connection: sqlite3.Connection, graph_id: int, job_uid: str, edges: Sequence[ViewEdge]) -> None:
    """Record which parts of composites a job used. Raises `Refusal` (404) if the graph has no such job."""
    job_id = _job_id(connection, graph_id, job_uid)
    connection.executemany(
        "INSERT OR IGNORE INTO view_edges (job_id, relation, target_hash, edge) VALUES (?, ?, ?, ?)",
        ((job_id, edge.relation, edge.target_hash, edge.model_dump_json()) for edge in edges),
    )


def _job_id(connection: sqlite3.Connection, graph_id: int, uid: str) -> int:
    row = connection.execute("SELECT id FROM jobs WHERE graph_id = ? AND uid = ?", (graph_id, uid)).fetchone()
    if row is None:
        raise Refusal(HTTPStatus.NOT_FOUND, "no such job here: register the job before its inputs and outputs")
    job_id: int = row["id"]
    return job_id


def _job_row(graph_id: int, job: Job) -> tuple[object, ...]:
    return (
        graph_id,
        job.job_uid,
        job.parent_job_uid,
        NO_STEP if job.step_number is None else job.step_number,
        job.command,
        job.job_type,
        job.timestamp,
        job.duration_seconds,
        job.exit_code,
        job.git_commit,
        job.git_branch,
        job.metadata,
    )


def _artifact_row(graph_id: int, digest: str, artifact: Artifact) -> tuple[object, ...]:
    hashes = kept_text([{"algorithm": item.algorithm, "digest": item.digest} for item in artifact.hashes])
    return (graph_id, digest, hashes, artifact.size, artifact.source_type, _text(artifact.metadata))


def _members(composite: CompositeRequest) -> str:
    return kept_text(
        composite.model_dump(mode="json", include={"component_count_total", "components", "membership_index"})
    )


def _link_columns(link: Link) -> tuple[object, ...]:
    return (link.hash, link.path, link.size, link.source_type, _text(link.metadata), _json(link.byte_ranges))


def _primary_digest(hashes: Sequence[Hash]) -> str:
    by_algorithm = {item.algorithm: item.digest for item in reversed(hashes)}
    known = (by_algorithm[algorithm] for algorithm in DIGEST_ORDER if algorithm in by_algorithm)
    return next(known, hashes[0].digest)


def _text(metadata: str | dict[str, object] | None) -> str | None:
    return metadata if metadata is None or isinstance(metadata, str) else kept_text(metadata)


def _json(value: object) -> str | None:
    return None if value is None else kept_text(value)
