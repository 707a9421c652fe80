"""The jobs of a lineage for readers, in pages of bounded size."""

import sqlite3
from dataclasses import asdict, dataclass

from roar_publisher.registry.http.bounds import ANSWER_BYTES, json_bytes, within
from roar_publisher.registry.store.documents import read_text
from roar_publisher.registry.store.schema import NO_STEP

LINKS_SHOWN = 100
"""Links per job and kind that one look at a lineage returns; a job may have a million."""
LINKS_SORTED, BYTES_SORTED = 2000, 1024 * 1024
"""Links per job and kind, and bytes of the job, up to which the first links are those with the smallest paths; of more,
those with the smallest digests."""
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
    inputs: list[LinkView]
    outputs: list[LinkView]
    inputs_count: int
    outputs_count: int
    labels: dict[str, object]


def view_jobs(connection: sqlite3.Connection, graph_id: int, *, offset: int, limit: int) -> list[JobView]:
    """Return up to `limit` jobs in step order from `offset` on: as many as fit in `ANSWER_BYTES`, but at least one."""
    rows = connection.execute(
        "WITH page (id) AS (SELECT id FROM jobs WHERE graph_id = ? ORDER BY step_number, id LIMIT ? OFFSET ?)"
        " SELECT jobs.*, inputs, outputs, bytes FROM page JOIN jobs USING (id) JOIN job_sizes ON job_id = page.id"
        " ORDER BY step_number, page.id",
        (graph_id, limit, offset),
    )
    jobs = (_job(connection, graph_id, row) for row in rows)
    return within(jobs, ANSWER_BYTES, lambda job: json_bytes(asdict(job)))


def _job(connection: sqlite3.Connection, graph_id: int, row: sqlite3.Row) -> JobView:
    def links(kind: str) -> list[LinkView]:
        # Sorting a million links, or gigabytes of paths, for the sake of the first hundred would take seconds.
        sortable = row[kind] <= LINKS_SORTED and row["bytes"] <= BYTES_SORTED
        order = "path, digest" if sortable else "digest"
        shown = connection.execute(
            "SELECT link.digest, link.path, coalesce(link.size, artifact.size) FROM"
            f" (SELECT * FROM links WHERE job_id = ? AND kind = ? ORDER BY {order} LIMIT {LINKS_SHOWN}) AS link"
            " LEFT JOIN artifacts AS artifact ON artifact.graph_id = ? AND artifact.digest = link.digest"
            f" ORDER BY {', '.join(f'link.{column}' for column in order.split(', '))}",
            (row["id"], kind, graph_id),
        )
        return within((LinkView(*link) for link in shown), LINK_BYTES_SHOWN, lambda link: len(link.path))

    return JobView(
        job_uid=row["uid"],
        parent_job_uid=row["parent_uid"],
        step_number=None if row["step_number"] == NO_STEP else row["step_number"],
        command=row["command"],
        job_type=row["job_type"] or "run",
        timestamp=row["timestamp"],
        duration_seconds=row["duration_seconds"],
        exit_code=row["exit_code"],
        git_commit=row["git_commit"],
        git_branch=row["git_branch"],
        inputs=links("inputs"),
        outputs=links("outputs"),
        inputs_count=row["inputs"],
        outputs_count=row["outputs"],
        labels=shown_labels(connection, graph_id, "job", row["uid"]),
    )


def shown_labels(connection: sqlite3.Connection, graph_id: int, entity_type: str, entity: str) -> dict[str, object]:
    """Return the newest label document of an entity; empty if there is none."""
    row = connection.execute(
        "SELECT metadata FROM labels WHERE graph_id = ? AND entity_type = ? AND entity = ?"
        " ORDER BY version DESC LIMIT 1",
        (graph_id, entity_type, entity),
    ).fetchone()
    return {} if row is None else read_text(row["metadata"])
