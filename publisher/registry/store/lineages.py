"""The tables of published lineages: `lineages`, and `set_aside_lineages` for those whose hash another one took over."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from msgspec import Struct

from roar_publisher.registry.store.access import (
    ANONYMOUS_OWNER,
    PRIVATE,
    PUBLIC,
    PUBLIC_SPACE,
    READABLE,
    LineageScope,
    Reader,
    reader_parameters,
    space_of,
)
from roar_publisher.registry.store.database import Connection, Row

LAST_CHARACTER = "\U0010ffff"
"""Sorts after every character of a hash, to bound a prefix search."""
_SET_ASIDE = (
    "hash, owner, graph_id, creator, visibility, scope_owner, scope_project, git_repo, git_commit, git_branch,"
    " published_at"
)
_OF_OWNER = "owner || '' = :owner"
"""A condition that no index serves: lineages are sought by their graphs, and an owner may have any number of them."""
_LISTED = "hash, graph_id, visibility, git_repo, git_branch, published_at"


class Lineage(Struct, frozen=True):
    """A published lineage.

    `session_id` is the session that finalized it; None for a legacy lineage, which is still open to writes. `creator`
    is the identity in the hash. `owner` is a user's id, or empty. `published_at` is in Unix seconds. `set_aside` is
    true if another lineage was finalized under this hash.
    """

    hash: str
    graph_id: int
    session_id: str | None
    creator: str
    owner: str
    scope: LineageScope
    git_repo: str | None
    git_commit: str | None
    git_branch: str | None
    published_at: float
    set_aside: bool = False


class ListedLineage(NamedTuple):
    """What a list shows of a lineage. The fields are those of `Lineage`."""

    hash: str
    graph_id: int
    visibility: str
    git_repo: str | None
    git_branch: str | None
    published_at: float
    set_aside: bool


class PrefixMatch(NamedTuple):
    """A lineage that was found by the beginning of its hash."""

    hash: str
    finalized: bool


class LineageMatch(NamedTuple):
    """A lineage that was found by one of its jobs. `jobs` is their number."""

    hash: str
    graph_id: int
    jobs: int


def insert(connection: Connection, lineage: Lineage) -> None:
    """Publish a graph. The hash must be free; see `set_aside` and `delete`."""
    connection.execute(
        "INSERT INTO lineages (hash, graph_id, session_id, creator, owner, visibility, scope_owner, scope_project,"
        " git_repo, git_commit, git_branch, published_at, space, holder)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            lineage.hash,
            lineage.graph_id,
            lineage.session_id,
            lineage.creator,
            lineage.owner,
            lineage.scope.visibility,
            lineage.scope.owner_id,
            lineage.scope.project_id,
            lineage.git_repo,
            lineage.git_commit,
            lineage.git_branch,
            lineage.published_at,
            space_of(lineage.owner, lineage.scope),
            lineage.scope.owner_id or lineage.owner,
        ),
    )


def delete(connection: Connection, lineage_hash: str) -> None:
    """Delete a lineage, but not its graph."""
    connection.execute("DELETE FROM lineages WHERE hash = ?", (lineage_hash,))


def set_aside(connection: Connection, lineage_hash: str) -> None:
    """Move a lineage to the set-aside ones, so the hash is free."""
    connection.execute(
        f"INSERT INTO set_aside_lineages ({_SET_ASIDE}) SELECT {_SET_ASIDE} FROM lineages WHERE hash = ?",
        (lineage_hash,),
    )
    delete(connection, lineage_hash)


def make_public(connection: Connection, lineage_hash: str) -> None:
    """Make a lineage public. It is indexed again, for readers of the public space."""
    connection.execute(
        "UPDATE lineages SET visibility = :public, space = :space, index_phase = 0, index_position = ''"
        " WHERE hash = :hash",
        {"public": PUBLIC, "space": PUBLIC_SPACE, "hash": lineage_hash},
    )


def find(connection: Connection, lineage_hash: str) -> Lineage | None:
    """Return the lineage under a hash; None if there is none."""
    row = connection.execute("SELECT * FROM lineages WHERE hash = ?", (lineage_hash,)).fetchone()
    return None if row is None else lineage_of(row)


def find_by_graph(connection: Connection, graph_id: int) -> Lineage | None:
    """Return the lineage with this graph; None if there is none."""
    row = connection.execute("SELECT * FROM lineages WHERE graph_id = ?", (graph_id,)).fetchone()
    return None if row is None else lineage_of(row)


def is_published(connection: Connection, lineage: Lineage) -> bool:
    """Return whether a lineage still has its hash and its graph.

    If not, what was found by ids of its graph and jobs may be somebody else's: SQLite gives ids of deleted rows again.
    """
    found = find_by_graph(connection, lineage.graph_id)
    return found is not None and found.hash == lineage.hash


def find_readable(connection: Connection, lineage_hash: str, reader: Reader) -> Lineage | None:
    """Return the lineage under a hash; None if this reader can see none."""
    row = connection.execute(
        f"SELECT * FROM lineages WHERE hash = :hash AND {READABLE}",
        {"hash": lineage_hash, **reader_parameters(reader)},
    ).fetchone()
    return None if row is None else lineage_of(row)


def find_writable(connection: Connection, lineage_hash: str, owner: str) -> Lineage | None:
    """Return the lineage under a hash if it is this owner's or anonymous; otherwise None."""
    row = connection.execute(
        "SELECT * FROM lineages WHERE hash = ? AND owner IN (?, ?)",
        (lineage_hash, ANONYMOUS_OWNER, owner),
    ).fetchone()
    return None if row is None else lineage_of(row)


def find_set_aside(connection: Connection, lineage_hash: str, owner: str) -> Lineage | None:
    """Return an owner's set-aside lineage under a hash; None if there is none."""
    row = connection.execute(
        "SELECT *, NULL AS session_id FROM set_aside_lineages WHERE hash = ? AND owner = ?",
        (lineage_hash, owner),
    ).fetchone()
    return None if row is None else lineage_of(row, set_aside=True)


def newest_of_owner(connection: Connection, reader: Reader, limit: int) -> Iterator[ListedLineage]:
    """Yield the newest lineages of a user that the user may read, and those that were set aside, lazily."""
    rows = connection.stream(
        f"SELECT {_LISTED}, 0 AS set_aside FROM lineages WHERE owner = :reader AND {READABLE}"
        f" UNION ALL SELECT {_LISTED}, 1 FROM set_aside_lineages WHERE owner = :reader"
        " ORDER BY published_at DESC, hash LIMIT :limit",
        {"limit": limit, **reader_parameters(reader)},
    )
    return (_listed(row) for row in rows)


def two_with_prefix(connection: Connection, prefix: str, reader: Reader) -> list[PrefixMatch]:
    """Return up to two lineages that this reader can see and whose hashes begin like this, finalized ones first."""
    rows = connection.execute(
        f"SELECT hash, session_id IS NOT NULL AS finalized FROM lineages WHERE hash >= :first AND hash < :last"
        f" AND {READABLE} ORDER BY finalized DESC LIMIT 2",
        {"first": prefix, "last": prefix + LAST_CHARACTER, **reader_parameters(reader)},
    )
    return [PrefixMatch(row["hash"], bool(row["finalized"])) for row in rows]


def newest_with_artifact(connection: Connection, digest: str, owner: str) -> str | None:
    """Return the hash of the newest writable lineage with this artifact, preferably one of the owner; None if none."""
    row = connection.execute(
        "SELECT hash FROM artifacts JOIN lineages USING (graph_id) WHERE digest = ? AND owner IN (?, ?)"
        " ORDER BY CASE WHEN owner = ? THEN 0 ELSE 1 END, published_at DESC, hash LIMIT 1",
        (digest, ANONYMOUS_OWNER, owner, owner),
    ).fetchone()
    return None if row is None else row["hash"]


def writable_with_job(connection: Connection, uid: str, owner: str, graphs: int) -> Lineage | None:
    """Return the newest writable lineage with this job, preferably one of the owner; None if there is none.

    Only the `graphs` oldest graphs are considered.
    """
    row = connection.execute(
        "SELECT lineages.* FROM ("
        "SELECT graph_id FROM (SELECT graph_id FROM jobs WHERE uid = :uid ORDER BY id LIMIT :most) AS own"
        " UNION SELECT graph_id FROM (SELECT graph_id FROM job_aliases WHERE uid = :uid ORDER BY graph_id LIMIT :most)"
        " AS other) AS known JOIN lineages ON lineages.graph_id = known.graph_id WHERE owner IN (:nobody, :owner)"
        " ORDER BY CASE WHEN owner = :owner THEN 0 ELSE 1 END, published_at DESC, hash LIMIT 1",
        {"uid": uid, "owner": owner, "nobody": ANONYMOUS_OWNER, "most": graphs},
    ).fetchone()
    return None if row is None else lineage_of(row)


def finalized_with_jobs(connection: Connection, owner: str, uids: Sequence[str], graphs: int) -> dict[str, str]:
    """Return which jobs are in finalized public lineages of a user, as a map from job uid to lineage hash.

    For each uid, only the `graphs` oldest graphs are considered.
    """
    rows = connection.execute(
        "WITH asked (uid) AS (VALUES (:uids)), known (uid, hash) AS (SELECT uid, (SELECT hash FROM ("
        "SELECT graph_id FROM (SELECT graph_id FROM jobs WHERE uid = asked.uid ORDER BY id LIMIT :most) AS own"
        " UNION ALL SELECT graph_id FROM (SELECT graph_id FROM job_aliases WHERE uid = asked.uid"
        " ORDER BY graph_id LIMIT :most) AS other) AS graphs JOIN lineages ON lineages.graph_id = graphs.graph_id"
        f" WHERE {_OF_OWNER} AND visibility = :public AND session_id IS NOT NULL ORDER BY published_at LIMIT 1"
        ") FROM asked) SELECT uid, hash FROM known WHERE hash IS NOT NULL",
        {"uids": uids, "owner": owner, "public": PUBLIC, "most": graphs},
    )
    return dict(tuple(row) for row in rows)


def private_with_job(connection: Connection, owner: str, uid: str, *, most_jobs: int, limit: int) -> list[LineageMatch]:
    """Return a user's newest finalized private lineages that have a job and at most `most_jobs` jobs."""
    rows = connection.execute(
        "SELECT hash, known.graph_id, jobs FROM (SELECT graph_id FROM jobs WHERE uid = :uid"
        " UNION SELECT graph_id FROM job_aliases WHERE uid = :uid) AS known"
        " JOIN lineages ON lineages.graph_id = known.graph_id JOIN graphs ON graphs.id = known.graph_id"
        f" WHERE {_OF_OWNER} AND visibility = :private AND session_id IS NOT NULL AND jobs <= :asked"
        " ORDER BY published_at DESC LIMIT :most",
        {"uid": uid, "owner": owner, "private": PRIVATE, "asked": most_jobs, "most": limit},
    )
    return [LineageMatch(*row) for row in rows.fetchall()]


def lineage_of(row: Row, *, set_aside: bool = False) -> Lineage:
    """Return the lineage in a row that has the columns of `lineages`."""
    return Lineage(
        hash=row["hash"],
        graph_id=row["graph_id"],
        session_id=row["session_id"],
        creator=row["creator"],
        owner=row["owner"],
        scope=LineageScope(row["visibility"], row["scope_owner"], row["scope_project"]),
        git_repo=row["git_repo"],
        git_commit=row["git_commit"],
        git_branch=row["git_branch"],
        published_at=row["published_at"],
        set_aside=set_aside,
    )


def _listed(row: Row) -> ListedLineage:
    return ListedLineage(
        row["hash"],
        row["graph_id"],
        row["visibility"],
        row["git_repo"],
        row["git_branch"],
        row["published_at"],
        bool(row["set_aside"]),
    )
