"""Reading of published lineages, including legacy ones, limited to what the reader may read."""

import json
import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from http import HTTPStatus

from roar_publisher.registry.accounts.callers import ANONYMOUS_OWNER
from roar_publisher.registry.accounts.scope import PUBLIC, READABLE, Reader
from roar_publisher.registry.http.bounds import ANSWER_BYTES, json_bytes, within
from roar_publisher.registry.http.refusals import Refusal
from roar_publisher.registry.lineages.counts import graph_counts
from roar_publisher.registry.lineages.job_views import JobView, shown_labels, view_jobs
from roar_publisher.registry.lineages.set_aside import set_aside_lineage

SHORTEST_PREFIX = 8
"""Minimum digits for a lookup by the prefix of a hash or digest."""
HASH_LENGTH = 64
MOST_WITH_UID = 32
"""Graphs that are looked at for one uid of a job, the oldest first."""
LAST_CHARACTER = "\U0010ffff"
"""Sorts after every character of a hash, to bound a prefix search."""
_LISTED_COLUMNS = "hash, graph_id, visibility, git_repo, git_branch, published_at"


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
    connection: sqlite3.Connection,
    lineage_hash: str,
    reader: Reader,
    *,
    offset: int,
    limit: int,
    set_aside: bool = False,
) -> LineageView:
    """Return a published lineage with up to `limit` jobs from `offset` on, as `view_jobs`.

    `lineage_hash` is the whole hash or a prefix of at least `SHORTEST_PREFIX` digits. `set_aside` is as in
    `shown_lineage`. Raises `Refusal`: 404 as `shown_lineage`, 409 if the prefix is ambiguous for this reader.
    """
    whole = _whole_hash(connection, lineage_hash, reader)
    row = shown_lineage(connection, whole, reader, set_aside=set_aside)
    graph_id = row["graph_id"]
    counts = graph_counts(connection, graph_id)
    return LineageView(
        hash=row["hash"],
        set_aside=bool(row["set_aside"]),
        creator=row["creator"],
        visibility=row["visibility"],
        git_repo=row["git_repo"],
        git_commit=row["git_commit"],
        git_branch=row["git_branch"],
        published_at=row["published_at"],
        jobs_count=counts["jobs"],
        artifacts_count=counts["artifacts"],
        labels=shown_labels(connection, graph_id, "dag", ""),
        jobs=view_jobs(connection, graph_id, offset=offset, limit=limit),
    )


def recent_lineages(connection: sqlite3.Connection, limit: int) -> list[RecentLineage]:
    """Return the newest public lineages."""
    rows = connection.execute(
        "SELECT *, 0 AS set_aside FROM lineages WHERE visibility = 'public' ORDER BY published_at DESC, hash LIMIT ?",
        (limit,),
    )
    return _listed(connection, rows)


def own_lineages(connection: sqlite3.Connection, owner: str, limit: int) -> list[RecentLineage]:
    """Return the newest lineages that a user has published in any scope, including those that were set aside."""
    rows = connection.execute(
        f"SELECT {_LISTED_COLUMNS}, 0 AS set_aside FROM lineages WHERE owner = ?1"
        f" UNION ALL SELECT {_LISTED_COLUMNS}, 1 FROM set_aside_lineages WHERE owner = ?1"
        " ORDER BY published_at DESC, hash LIMIT ?2",
        (owner, limit),
    )
    return _listed(connection, rows)


def _listed(connection: sqlite3.Connection, rows: Iterable[sqlite3.Row]) -> list[RecentLineage]:
    """Return as many as fit in `ANSWER_BYTES`, because one branch name may take 100 kB."""
    lineages = (
        RecentLineage(
            hash=row["hash"],
            set_aside=bool(row["set_aside"]),
            visibility=row["visibility"],
            git_repo=row["git_repo"],
            git_branch=row["git_branch"],
            published_at=row["published_at"],
            jobs_count=graph_counts(connection, row["graph_id"])["jobs"],
        )
        for row in rows
    )
    return within(lineages, ANSWER_BYTES, lambda lineage: json_bytes(asdict(lineage)))


def registered_jobs(connection: sqlite3.Connection, owner: str, uids: Sequence[str]) -> dict[str, str]:
    """Return which of these jobs are in public lineages of this user, as a map from job uid to lineage hash.

    Those of private lineages are staged once more: only finalize says whether they are to be public now.  So are those
    of legacy lineages, which nobody has found complete, and those whose uid more than `MOST_WITH_UID` older graphs
    have: anybody may stage the jobs of others.
    """
    if owner == ANONYMOUS_OWNER:
        return {}
    rows = connection.execute(
        "WITH asked (uid) AS (SELECT DISTINCT value FROM json_each(:uids)), known (uid, hash) AS (SELECT uid, ("
        " SELECT hash FROM (SELECT graph_id FROM (SELECT graph_id FROM jobs WHERE uid = asked.uid ORDER BY id"
        " LIMIT :most) UNION ALL SELECT graph_id FROM (SELECT graph_id FROM job_aliases WHERE uid = asked.uid"
        " ORDER BY graph_id LIMIT :most)) CROSS JOIN lineages USING (graph_id)"
        " WHERE owner = :owner AND visibility = :public AND session_id IS NOT NULL ORDER BY published_at LIMIT 1"
        ") FROM asked) SELECT uid, hash FROM known WHERE hash IS NOT NULL",
        {"uids": json.dumps(uids), "owner": owner, "public": PUBLIC, "most": MOST_WITH_UID},
    )
    return dict(tuple(row) for row in rows)


def readable_lineage(connection: sqlite3.Connection, lineage_hash: str, reader: Reader) -> sqlite3.Row:
    """Return the row of a lineage. Raises `Refusal` (404) if this reader can see none."""
    row = _find_readable(connection, lineage_hash, reader)
    if row is None:
        raise _not_published()
    return row


def shown_lineage(
    connection: sqlite3.Connection, lineage_hash: str, reader: Reader, *, set_aside: bool = False
) -> sqlite3.Row:
    """Return what a reader sees under a hash: the readable lineage, or else the reader's own set-aside one.

    With `set_aside`, return the latter in any case. Raises `Refusal` (404) if there is neither.
    """
    row = None if set_aside else _find_readable(connection, lineage_hash, reader)
    # An anonymous set-aside lineage is shown only on request. Otherwise the page of a private lineage could show what a
    # stranger planted under its hash.
    if row is None and (set_aside or reader.user_id):
        row = set_aside_lineage(connection, lineage_hash, reader.user_id)
    if row is None:
        raise _not_published()
    return row


def _find_readable(connection: sqlite3.Connection, lineage_hash: str, reader: Reader) -> sqlite3.Row | None:
    row: sqlite3.Row | None = connection.execute(
        f"SELECT *, 0 AS set_aside FROM lineages WHERE hash = :hash AND {READABLE}",
        {"hash": lineage_hash, **reader.parameters()},
    ).fetchone()
    return row


def _not_published() -> Refusal:
    return Refusal(HTTPStatus.NOT_FOUND, "no lineage is published under this hash")


def _whole_hash(connection: sqlite3.Connection, prefix: str, reader: Reader) -> str:
    if not SHORTEST_PREFIX <= len(prefix) < HASH_LENGTH:
        return prefix
    rows = connection.execute(
        f"SELECT hash, session_id IS NOT NULL AS finalized FROM lineages WHERE hash >= :first AND hash < :last"
        f" AND {READABLE} ORDER BY finalized DESC LIMIT 2",
        {"first": prefix, "last": prefix + LAST_CHARACTER, **reader.parameters()},
    ).fetchall()
    # Any client can make up the hash of a legacy lineage; that of a finalized one was computed here.
    if len(rows) > 1 and rows[0]["finalized"] == rows[1]["finalized"]:
        raise Refusal(HTTPStatus.CONFLICT, f"several lineages begin with {prefix}: give more of the hash")
    return str(rows[0]["hash"]) if rows else prefix
