"""Reading of published lineages, including legacy ones, limited to what the reader may read."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from http import HTTPStatus

from roar_publisher.registry.http.bounds import REPLY_BYTES, json_bytes, up_to_size
from roar_publisher.registry.http.refusals import Refusal
from roar_publisher.registry.lineages.job_views import JobView, shown_labels, view_jobs
from roar_publisher.registry.store import lineages
from roar_publisher.registry.store.access import ANONYMOUS_OWNER, Reader
from roar_publisher.registry.store.database import Connection
from roar_publisher.registry.store.graphs import graph_counts
from roar_publisher.registry.store.label_versions import Entity
from roar_publisher.registry.store.lineages import Lineage, ListedLineage

SHORTEST_PREFIX = 8
"""Minimum digits for a lookup by the prefix of a hash or digest."""
HASH_LENGTH = 64
MAX_GRAPHS_WITH_UID = 32
"""Graphs that are looked at for one uid of a job, the oldest first."""


@dataclass(frozen=True, slots=True)
class LineageView:
    """A published lineage and one page of its jobs in step order.

    `set_aside` is true if another lineage was finalized under this hash; only its writer can see this one.
    """

    hash: str
    set_aside: bool
    creator: str
    visibility: str
    git_repo: str | None
    git_commit: str | None
    git_branch: str | None
    published_at: float
    jobs_count: int
    artifacts_count: int
    labels: dict[str, object]
    jobs: list[JobView]


@dataclass(frozen=True, slots=True)
class RecentLineage:
    """An entry of the list of lineages. `set_aside` is as in `LineageView`."""

    hash: str
    set_aside: bool
    visibility: str
    git_repo: str | None
    git_branch: str | None
    published_at: float
    jobs_count: int


def view_lineage(
    connection: Connection,
    lineage_hash: str,
    reader: Reader,
    *,
    offset: int,
    limit: int,
    set_aside: bool = False,
) -> LineageView:
    """Return a published lineage with some of its jobs, as `lineage_view`. Raises `Refusal` as `lineage_by_prefix`."""
    lineage = lineage_by_prefix(connection, lineage_hash, reader, set_aside=set_aside)
    return lineage_view(connection, lineage, offset=offset, limit=limit)


def lineage_view(connection: Connection, lineage: Lineage, *, offset: int, limit: int) -> LineageView:
    """Return a lineage with up to `limit` jobs from `offset` on, as `view_jobs`."""
    graph_id = lineage.graph_id
    counts = graph_counts(connection, graph_id)
    return LineageView(
        hash=lineage.hash,
        set_aside=lineage.set_aside,
        creator=lineage.creator,
        visibility=lineage.scope.visibility,
        git_repo=lineage.git_repo,
        git_commit=lineage.git_commit,
        git_branch=lineage.git_branch,
        published_at=lineage.published_at,
        jobs_count=counts["jobs"],
        artifacts_count=counts["artifacts"],
        labels=shown_labels(connection, Entity(graph_id, "dag", "")),
        jobs=view_jobs(connection, graph_id, offset=offset, limit=limit),
    )


def own_lineages(connection: Connection, reader: Reader, limit: int) -> list[RecentLineage]:
    """Return the newest lineages that a user has published and may still read, including those that were set aside."""
    return _listed(connection, lineages.newest_of_owner(connection, reader, limit))


def _listed(connection: Connection, found: Iterable[ListedLineage]) -> list[RecentLineage]:
    """Return as many as fit in `REPLY_BYTES`, because one branch name may take 100 kB."""
    listed = (
        RecentLineage(
            hash=lineage.hash,
            set_aside=lineage.set_aside,
            visibility=lineage.visibility,
            git_repo=lineage.git_repo,
            git_branch=lineage.git_branch,
            published_at=lineage.published_at,
            jobs_count=graph_counts(connection, lineage.graph_id)["jobs"],
        )
        for lineage in found
    )
    return up_to_size(listed, REPLY_BYTES, lambda lineage: json_bytes(asdict(lineage)))


def registered_jobs(connection: Connection, owner: str, uids: Sequence[str]) -> dict[str, str]:
    """Return which of these jobs are in public lineages of this user, as a map from job uid to lineage hash.

    Jobs of private lineages are staged again, because only finalize says whether they are to be public now. So are
    jobs of legacy lineages, whose completeness is not verified, and jobs whose uid more than
    `MAX_GRAPHS_WITH_UID` older graphs have, because any client may stage the jobs of others.
    """
    if owner == ANONYMOUS_OWNER:
        return {}
    return lineages.finalized_with_jobs(connection, owner, uids, MAX_GRAPHS_WITH_UID)


def readable_lineage(connection: Connection, lineage_hash: str, reader: Reader) -> Lineage:
    """Return a lineage. Raises `Refusal` (404) if this reader can see none."""
    lineage = lineages.find_readable(connection, lineage_hash, reader)
    if lineage is None:
        raise _not_published()
    return lineage


def refuse_former_members(connection: Connection, lineage: Lineage, reader: Reader) -> None:
    """Refuse writes to an own lineage in a place that the user may not write to any more.

    Raises `Refusal`: 404 if the user cannot even see it, otherwise 403.
    """
    if not reader.may_write(lineage.scope):
        readable_lineage(connection, lineage.hash, reader)
        raise Refusal(HTTPStatus.FORBIDDEN, "you may no longer write where this lineage is")


def lineage_by_prefix(connection: Connection, prefix: str, reader: Reader, *, set_aside: bool = False) -> Lineage:
    """Return the lineage with a hash, or a prefix of it with at least `SHORTEST_PREFIX` digits, as `shown_lineage`.

    Raises `Refusal`: 404 as `shown_lineage`, 409 if the prefix is ambiguous for this reader.
    """
    return shown_lineage(connection, whole_hash(connection, prefix, reader), reader, set_aside=set_aside)


def shown_lineage(connection: Connection, lineage_hash: str, reader: Reader, *, set_aside: bool = False) -> Lineage:
    """Return what a reader sees under a hash: the readable lineage, or else the reader's own set-aside one.

    With `set_aside`, return the latter in any case. Raises `Refusal` (404) if there is neither.
    """
    lineage = None if set_aside else lineages.find_readable(connection, lineage_hash, reader)
    # An anonymous set-aside lineage is shown only on request. Otherwise the page of a private lineage could show what a
    # stranger planted under its hash.
    if lineage is None and (set_aside or reader.user_id):
        lineage = lineages.find_set_aside(connection, lineage_hash, reader.user_id)
    if lineage is None:
        raise _not_published()
    return lineage


def _not_published() -> Refusal:
    return Refusal(HTTPStatus.NOT_FOUND, "no lineage is published under this hash")


def whole_hash(connection: Connection, prefix: str, reader: Reader) -> str:
    """Return the hash that begins like this, if the reader can see one; otherwise the text itself.

    Raises `Refusal` (409) if the prefix is ambiguous for this reader.
    """
    if not SHORTEST_PREFIX <= len(prefix) < HASH_LENGTH:
        return prefix
    found = lineages.two_with_prefix(connection, prefix, reader)
    # Any client can make up the hash of a legacy lineage; that of a finalized one was computed here.
    if len(found) > 1 and found[0].finalized == found[1].finalized:
        raise Refusal(HTTPStatus.CONFLICT, f"several lineages begin with {prefix}: give more of the hash")
    return found[0].hash if found else prefix
