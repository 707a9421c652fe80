"""The jobs of a lineage for readers, in pages of bounded size.

The views are dataclasses, for pydantic describes them in the OpenAPI document.
"""

from dataclasses import asdict, dataclass

from roar_publisher.registry.http.bounds import REPLY_BYTES, json_bytes, up_to_size
from roar_publisher.registry.store.database import Connection
from roar_publisher.registry.store.documents import load_document, read_document
from roar_publisher.registry.store.jobs import SizedJob, first_links, page_of_jobs
from roar_publisher.registry.store.label_versions import Entity, current_label

LINKS_SHOWN = 100
"""Maximum links per job and kind in one reply; a job may have a million."""
LINKS_SORTED, BYTES_SORTED = 2000, 1024 * 1024
"""Maximum links per job and kind, and bytes of the job, for which the first links are those with the smallest paths.
Otherwise they are those with the smallest digests."""
LINK_BYTES_SHOWN = 32 * 1024
"""Bytes of paths after which no further link of the job and kind is returned."""


@dataclass(frozen=True, slots=True)
class LinkView:
    """An input or output. `hash` is the digest; `size` is in bytes, or None if it is unknown."""

    hash: str
    path: str
    size: int | None


@dataclass(frozen=True, slots=True)
class JobView:
    """A published job.

    `metadata` is the document that the client recorded, its text if it cannot be shown as one, or None.
    `inputs` and `outputs` are the first by path, at most `LINKS_SHOWN` (see `LINKS_SORTED`); the counts include all.
    """

    job_uid: str
    parent_job_uid: str | None
    step_number: int | None
    command: str
    job_type: str
    timestamp: float | None
    duration_seconds: float | None
    exit_code: int | None
    git_commit: str | None
    git_branch: str | None
    metadata: object
    inputs: list[LinkView]
    outputs: list[LinkView]
    inputs_count: int
    outputs_count: int
    labels: dict[str, object]


def view_jobs(connection: Connection, graph_id: int, *, offset: int, limit: int) -> list[JobView]:
    """Return up to `limit` jobs in step order from `offset` on: as many as fit in `REPLY_BYTES`, but at least one."""
    jobs = (_job(connection, graph_id, job) for job in page_of_jobs(connection, graph_id, offset=offset, limit=limit))
    return up_to_size(jobs, REPLY_BYTES, lambda job: json_bytes(asdict(job)))


def _job(connection: Connection, graph_id: int, job: SizedJob) -> JobView:
    def links(kind: str, count: int) -> list[LinkView]:
        # Sorting a million links, or gigabytes of paths, for the sake of the first hundred would take seconds.
        sortable = count <= LINKS_SORTED and job.bytes <= BYTES_SORTED
        shown = first_links(connection, graph_id, job.id, kind, by_path=sortable, limit=LINKS_SHOWN)
        return up_to_size((LinkView(*link) for link in shown), LINK_BYTES_SHOWN, lambda link: len(link.path))

    stored = job.stored
    return JobView(
        job_uid=stored.uid,
        parent_job_uid=stored.parent_uid,
        step_number=stored.step_number,
        command=stored.command,
        job_type=stored.job_type or "run",
        timestamp=stored.timestamp,
        duration_seconds=stored.duration_seconds,
        exit_code=stored.exit_code,
        git_commit=stored.git_commit,
        git_branch=stored.git_branch,
        metadata=shown_metadata(stored.metadata),
        inputs=links("inputs", job.inputs),
        outputs=links("outputs", job.outputs),
        inputs_count=job.inputs,
        outputs_count=job.outputs,
        labels=shown_labels(connection, Entity(graph_id, "job", stored.uid)),
    )


def shown_labels(connection: Connection, entity: Entity) -> dict[str, object]:
    """Return the newest label document of an entity; empty if there is none."""
    label = current_label(connection, entity)
    return {} if label is None else load_document(label.metadata)


def shown_metadata(text: str | None) -> object:
    """Return the document in a job's or artifact's stored metadata; the text itself if it cannot be shown as one."""
    try:
        return None if text is None else read_document(text)
    except ValueError:
        return text
