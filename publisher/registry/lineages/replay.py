"""The jobs of a lineage as `roar reproduce` and `roar diff` read them: complete, with all inputs and outputs.

A reply takes as long as its reader. Each part of it is read only while the lineage is published as it was at the start.
"""

import json
from collections.abc import Sequence
from http import HTTPStatus

from msgspec import Struct

from roar_publisher.registry.http.bounds import REPLY_BYTES, up_to_size
from roar_publisher.registry.http.refusals import Refusal
from roar_publisher.registry.lineages.job_views import shown_metadata
from roar_publisher.registry.store import lineages, provenance
from roar_publisher.registry.store.database import Connection
from roar_publisher.registry.store.jobs import LINK_KINDS, SizedJob
from roar_publisher.registry.store.lineages import Lineage

MOST_LINKS = 2000
"""Maximum links that are read at once, if they take no more than `REPLY_BYTES`. A job with more of them is wide."""


class LineageReplaced(Exception):
    """The jobs of a legacy lineage are gone, because a finalized one took its place."""


class ReplayedJob(Struct, frozen=True):
    """A job. `document` holds its links unless it is `wide`; those are read with `links_page`."""

    id: int
    document: dict[str, object]
    wide: bool
    bytes: int


def replayed_jobs(connection: Connection, lineage: Lineage, ids: Sequence[int], first: int) -> list[ReplayedJob]:
    """Return jobs of a lineage with these ids, in this order: as many as fit in `REPLY_BYTES`, but at least one.

    `first` is the number that the reply gives to the first one. Raises `LineageReplaced` if the next job is gone.
    """
    _check_published(connection, lineage)
    found = provenance.jobs_with_ids(connection, ids)
    jobs = (_job(connection, lineage.graph_id, job, number) for number, job in enumerate(found, first))
    taken = up_to_size(jobs, REPLY_BYTES, lambda job: job.bytes)
    if not taken or [job.id for job in taken] != list(ids[: len(taken)]):
        raise LineageReplaced
    return taken


def links_page(connection: Connection, lineage: Lineage, job_id: int, kind: str, after: str) -> list[dict[str, object]]:
    """Return links of a job after a digest, in the order of digests, at least one if there is any.

    There are up to `MOST_LINKS`, as many as fit in `REPLY_BYTES`. Raises `LineageReplaced`.
    """
    _check_published(connection, lineage)
    return _links(connection, lineage.graph_id, job_id, kind, after)


def git_context(connection: Connection, lineage: Lineage, last_job: int | None) -> dict[str, object]:
    """Return where the code of a replay is: the commit of its last job, or else the one of the publish.

    Raises `Refusal` (503) if the lineage was replaced since it was looked up.
    """
    if not lineages.is_published(connection, lineage):
        raise Refusal(HTTPStatus.SERVICE_UNAVAILABLE, "this lineage was replaced just now: try again")
    jobs = [] if last_job is None else list(provenance.jobs_with_ids(connection, [last_job]))
    commit = next((job.stored.git_commit for job in jobs), None)
    return {
        "gitRepo": lineage.git_repo,
        "gitCommit": commit or lineage.git_commit,
        "gitBranch": lineage.git_branch,
    }


def _job(connection: Connection, graph_id: int, job: SizedJob, number: int) -> ReplayedJob:
    stored = job.stored
    document: dict[str, object] = {
        "id": number,
        "jobUid": stored.uid,
        "parentJobUid": stored.parent_uid,
        "stepNumber": stored.step_number,
        "command": stored.command,
        "jobType": stored.job_type or "run",
        "timestamp": stored.timestamp,
        "durationSeconds": stored.duration_seconds,
        "exitCode": stored.exit_code,
        "gitCommit": stored.git_commit,
        "gitBranch": stored.git_branch,
        "metadata": shown_metadata(stored.metadata),
    }
    wide = max(job.inputs, job.outputs) > MOST_LINKS or job.bytes > REPLY_BYTES
    if not wide:
        document |= {kind: _links(connection, graph_id, job.id, kind, "") for kind in LINK_KINDS}
    return ReplayedJob(job.id, document, wide, len(json.dumps(document)))


def _links(connection: Connection, graph_id: int, job_id: int, kind: str, after: str) -> list[dict[str, object]]:
    found = provenance.links_after(connection, graph_id, job_id, kind, after, MOST_LINKS)
    links = up_to_size(found, REPLY_BYTES + 1, lambda link: len(link.path))
    return [{"hash": link.digest, "path": link.path, "size": link.size} for link in links]


def _check_published(connection: Connection, lineage: Lineage) -> None:
    if not lineages.is_published(connection, lineage):
        raise LineageReplaced
