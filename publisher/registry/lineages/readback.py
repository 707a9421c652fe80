"""Reading a lineage back: everything that its hash covers (`protocol.md §4`), in pages of bounded size.

Jobs are in the order of their steps. The links of a job may continue on the next page, in an entry with the same uid.
"""

from collections.abc import Sequence
from http import HTTPStatus
from typing import NamedTuple

from roar_publisher.glaas.protocol import LARGEST_INTEGER
from roar_publisher.lineage.canonical import CANONICAL_VERSION
from roar_publisher.registry.http.bounds import REPLY_BYTES
from roar_publisher.registry.http.refusals import Refusal
from roar_publisher.registry.lineages.reading import lineage_by_prefix
from roar_publisher.registry.store.access import Reader
from roar_publisher.registry.store.canonical_texts import BEFORE_ALL_STEPS, HashedJob, jobs_from, links_after
from roar_publisher.registry.store.database import Connection
from roar_publisher.registry.store.jobs import LINK_KINDS

JOB_BYTES, LINK_BYTES = 200, 24
"""What an entry takes in a reply besides its texts."""


class ReadbackPlace(NamedTuple):
    """A place in a lineage: after a link of a job, or with kind `inputs` and no digest before its first one."""

    step: int
    job: int
    kind: str
    digest: str

    def __str__(self) -> str:
        return f"{self.step}:{self.job}:{self.kind}:{self.digest}"


BEGINNING = ReadbackPlace(BEFORE_ALL_STEPS, 0, "inputs", "")


def read_back(connection: Connection, lineage_hash: str, reader: Reader, after: str) -> dict[str, object]:
    """Return one page of a lineage: its envelope, the jobs after a place, and `next`, the place of the next page.

    `next` is None at the end. Raises `Refusal`: 404 and 409 as `lineage_by_prefix`, 422 if `after` is no place.
    """
    place = _place(after) if after else BEGINNING
    lineage = lineage_by_prefix(connection, lineage_hash, reader)
    jobs, following = _page(connection, lineage.graph_id, place)
    return {
        "hash": lineage.hash,
        "canonical_version": CANONICAL_VERSION,
        "finalized": lineage.session_id is not None,
        "creator_identity": lineage.creator,
        "git": {"repo": lineage.git_repo, "commit": lineage.git_commit, "branch": lineage.git_branch},
        "jobs": jobs,
        "next": None if following is None else str(following),
    }


def _page(
    connection: Connection, graph_id: int, place: ReadbackPlace
) -> tuple[Sequence[dict[str, object]], ReadbackPlace | None]:
    """Return the jobs from a place on that fit into one reply, and the place after them; None at the end."""
    room = REPLY_BYTES
    page: list[dict[str, object]] = []
    for job in jobs_from(connection, graph_id, place.step, place.job, room // JOB_BYTES + 2):
        if room <= 0:
            return page, ReadbackPlace(job.stored_step, job.id, "inputs", "")
        room -= JOB_BYTES + len(job.command) + len(job.metadata or "")
        links: dict[str, list[dict[str, str]]] = {kind: [] for kind in LINK_KINDS}
        page.append(_entry(job) | links)
        start = place if job.id == place.job else ReadbackPlace(job.stored_step, job.id, "inputs", "")
        for kind in LINK_KINDS[LINK_KINDS.index(start.kind) :]:
            after = start.digest if kind == start.kind else ""
            for digest, path in links_after(connection, job.id, kind, after, REPLY_BYTES // LINK_BYTES + 1):
                links[kind].append({"hash": digest, "path": path})
                room -= LINK_BYTES + len(digest) + len(path)
                if room <= 0:
                    return page, ReadbackPlace(job.stored_step, job.id, kind, digest)
    return page, None


def _entry(job: HashedJob) -> dict[str, object]:
    return {
        "job_uid": job.uid,
        "command": job.command,
        "job_type": job.job_type,
        "step_number": job.step,
        "parent_step_number": job.parent_step,
        "metadata": job.metadata,
    }


def _place(text: str) -> ReadbackPlace:
    step, _, rest = text.partition(":")
    job, _, rest = rest.partition(":")
    kind, _, digest = rest.partition(":")
    try:
        place = ReadbackPlace(int(step), int(job), kind, digest)
    except ValueError:
        place = ReadbackPlace(0, 0, "", "")
    if place.kind not in LINK_KINDS or max(abs(place.step), abs(place.job)) > LARGEST_INTEGER:
        raise Refusal(HTTPStatus.UNPROCESSABLE_ENTITY, "`after` must be the `next` of a page")
    return place
