"""Writing of jobs, artifacts and links into a graph, staged or legacy.

Every write is idempotent: a job by its uid, an artifact by its digest, a link by (job, kind, digest) (`protocol.md
§4`). The first version of a job or an artifact stays. For a link, the smallest path stays.

A digest that only links name is an artifact, too, with the size and path of its links, until the artifact itself is
sent.
"""

from collections.abc import Sequence
from http import HTTPStatus

from msgspec import Struct, json

from roar_publisher.glaas.batches import Artifact, Hash, Job, JobLinks, Link
from roar_publisher.glaas.protocol import LINK_ALGORITHMS
from roar_publisher.glaas.wire import CompositeRequest, ViewEdge
from roar_publisher.registry.http.refusals import Refusal
from roar_publisher.registry.store.artifacts import (
    ArtifactRow,
    insert_artifacts,
    insert_composite,
    insert_linked,
    set_members,
)
from roar_publisher.registry.store.database import Connection
from roar_publisher.registry.store.documents import dump_document
from roar_publisher.registry.store.jobs import (
    SHORT_LINK_ROW,
    LinkedJob,
    LinkKind,
    LinkRow,
    LinksOfJob,
    StoredJob,
    insert_jobs,
    insert_links,
    insert_view_edges,
    job_id,
    linked_jobs,
)

_encode_hashes = json.Encoder(order="sorted").encode
"""Writes hashes, which are ASCII, as `dump_document` does, in a tenth of the time."""
NO_SUCH_JOB = "no such job here: register the job before its inputs and outputs"


class Added(Struct, frozen=True):
    """`ids` are the uids of the request's items, in order. `created` is how many of them are new.

    Numbers of rows would tell how much others write.
    """

    ids: list[str]
    created: int


def add_jobs(connection: Connection, graph_id: int, jobs: Sequence[Job]) -> Added:
    """Add the jobs that the graph does not have. Existing jobs are not changed."""
    return Added([job.job_uid for job in jobs], insert_jobs(connection, graph_id, [_stored_job(job) for job in jobs]))


def add_artifacts(connection: Connection, graph_id: int, artifacts: Sequence[Artifact]) -> int:
    """Add the artifacts that the graph does not have or knows only from links. Return how many these are."""
    rows = [_artifact_row(primary_digest(artifact.hashes), artifact) for artifact in artifacts]
    return insert_artifacts(connection, graph_id, rows)


def add_composite(connection: Connection, graph_id: int, composite: CompositeRequest) -> bool:
    """Add a composite artifact, or its members to an existing plain artifact. Return whether something was new."""
    return insert_composite(connection, graph_id, _artifact_row(composite.hash, composite), _members(composite))


def add_members(connection: Connection, graph_id: int, composite: CompositeRequest) -> bool:
    """Add the members of a composite to an artifact of the graph, without changing its other data.

    Return whether the members were new.
    """
    return set_members(connection, graph_id, _artifact_row(composite.hash, composite), _members(composite))


def add_links(connection: Connection, graph_id: int, job_uid: str, kind: LinkKind, links: Sequence[Link]) -> None:
    """Link artifacts to a job. Raises `Refusal` (404) if the graph has no such job."""
    job = linked_jobs(connection, graph_id, [job_uid]).get(job_uid)
    if job is None:
        raise _no_such_job()
    group = _links_of(job, kind.value, links)
    insert_links(connection, graph_id, [group])
    insert_linked(connection, graph_id, group.rows)


def add_link_batch(
    connection: Connection, graph_id: int, entries: Sequence[JobLinks], largest: int
) -> list[str | None]:
    """Link artifacts to several jobs. Return for each entry why it was not linked, or None.

    largest: the most characters of one link. A lineage has no links that the endpoints of single jobs do not accept.
    """
    errors: list[str | None] = []
    linked: list[LinksOfJob] = []
    known = linked_jobs(connection, graph_id, {entry.job_uid for entry in entries})
    for entry in entries:
        job = known.get(entry.job_uid)
        group = None if job is None else _links_of(job, entry.kind, entry.artifacts)
        if group is None:
            errors.append(NO_SUCH_JOB)
        elif _may_exceed(group, largest) and any(_size(row) > largest for row in group.rows):
            errors.append("one of the links is too large")
        else:
            linked.append(group)
            errors.append(None)
    insert_links(connection, graph_id, linked)
    insert_linked(connection, graph_id, [row for group in linked for row in group.rows])
    return errors


def add_view_edges(connection: Connection, graph_id: int, job_uid: str, edges: Sequence[ViewEdge]) -> None:
    """Record which parts of composites a job used. Raises `Refusal` (404) if the graph has no such job."""
    job = job_id(connection, graph_id, job_uid)
    if job is None:
        raise _no_such_job()
    insert_view_edges(connection, job, ((edge.relation, edge.target_hash, edge.model_dump_json()) for edge in edges))


def _no_such_job() -> Refusal:
    return Refusal(HTTPStatus.NOT_FOUND, NO_SUCH_JOB)


def _stored_job(job: Job) -> StoredJob:
    return StoredJob(
        job.job_uid,
        job.parent_job_uid,
        job.step_number,
        job.command,
        job.job_type,
        job.timestamp,
        job.duration_seconds,
        job.exit_code,
        job.git_commit,
        job.git_branch,
        job.metadata,
    )


def _artifact_row(digest: str, artifact: Artifact | CompositeRequest) -> ArtifactRow:
    hashes = _encode_hashes(artifact.hashes).decode()
    source_type, metadata = artifact.source_type, _text(artifact.metadata)
    if source_type is None and metadata is None:  # most artifacts have neither
        return digest, hashes, artifact.size
    return digest, hashes, artifact.size, source_type, metadata


def _members(composite: CompositeRequest) -> str:
    return dump_document(
        composite.model_dump(mode="json", include={"component_count_total", "components", "membership_index"})
    )


def _links_of(job: LinkedJob, kind: str, links: Sequence[Link]) -> LinksOfJob:
    rows: list[LinkRow] = [
        (job.id, kind, link.hash, link.path)
        if link.size is None and link.source_type is None and link.metadata is None and link.byte_ranges is None
        else _full_row(job.id, kind, link)
        for link in links
    ]
    return LinksOfJob(job, kind, rows, sum([len(link.hash) + len(link.path) for link in links]))


def _full_row(job: int, kind: str, link: Link) -> LinkRow:
    return job, kind, link.hash, link.path, link.size, link.source_type, _text(link.metadata), _json(link.byte_ranges)


def _may_exceed(group: LinksOfJob, largest: int) -> bool:
    return group.bytes > largest or max(map(len, group.rows), default=0) > SHORT_LINK_ROW


def _size(row: LinkRow) -> int:
    return sum([len(value) for value in row[2:] if isinstance(value, str)])


def primary_digest(hashes: Sequence[Hash]) -> str:
    """Return the digest that identifies an artifact (`LINK_ALGORITHMS`)."""
    if len(hashes) == 1:
        return hashes[0].digest
    by_algorithm = {item.algorithm: item.digest for item in reversed(hashes)}
    known = (by_algorithm[algorithm] for algorithm in LINK_ALGORITHMS if algorithm in by_algorithm)
    return next(known, hashes[0].digest)


def _text(metadata: str | dict[str, object] | None) -> str | None:
    return metadata if metadata is None or isinstance(metadata, str) else _json(metadata)


def _json(value: object) -> str | None:
    try:
        return None if value is None else dump_document(value)
    except RecursionError:  # what was read with less of the stack
        raise Refusal(HTTPStatus.BAD_REQUEST, "the body is nested too deep") from None
