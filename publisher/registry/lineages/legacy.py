"""Legacy writes, directly into a visible lineage whose hash the client chooses (`protocol.md §4`).

Any client may write to an anonymous legacy lineage. Only its user may write to a user's lineage. The content of a
legacy lineage is not verified. When a registration session finalizes the same hash, the staged graph replaces it.
Legacy writes of other clients neither prevent that nor become part of the finalized lineage.

A finalized lineage does not change any more. Labels and the members of composites are not part of the hash, and
roar-cli 0.3.7 to 0.4.3 sends them without a credential, right after an anonymous finalize. For `labels.ADDITION_TIME`
after it any client may add them, but cannot change existing ones.
"""

import sqlite3
from http import HTTPStatus

from roar_publisher.glaas.wire import Label, LegacyCompositeRequest, LegacySessionRequest
from roar_publisher.registry.accounts.callers import ANONYMOUS_OWNER, Caller
from roar_publisher.registry.accounts.scope import PUBLIC, Reader, Scope
from roar_publisher.registry.http.bounds import within
from roar_publisher.registry.http.refusals import Refusal
from roar_publisher.registry.lineages import staging
from roar_publisher.registry.lineages.counts import recount_artifacts
from roar_publisher.registry.lineages.labels import Rights, takes_additions
from roar_publisher.registry.lineages.reading import readable_lineage
from roar_publisher.registry.lineages.sessions import Session, discard_graph, new_graph
from roar_publisher.registry.lineages.set_aside import set_aside, set_aside_lineage

MOST_MOVED = 8 * 1024 * 1024
"""Bytes of a legacy lineage that are taken over by the one that is finalized: everybody waits meanwhile."""
ROW_BYTES = 512
"""What moving a row costs beside its texts."""


def open_legacy(
    connection: sqlite3.Connection, caller: Caller, request: LegacySessionRequest, scope: Scope, now: float
) -> bool:
    """Create the lineage for legacy writes. Return False if its hash is published already.

    Raises `Refusal` (409) if the hash is published in another scope, or privately by another user. This reveals private
    lineages, which are 404 elsewhere. It cannot be avoided, because a hash has only one lineage. But only a client that
    knows the whole lineage, including its creator, can know its hash before it is published.
    """
    known = connection.execute("SELECT * FROM lineages WHERE hash = ?", (request.hash,)).fetchone()
    if known is not None:
        same_place = Scope(known["visibility"], known["scope_owner"], known["scope_project"]) == scope
        if not same_place or (scope.visibility != PUBLIC and known["owner"] != caller.owner):
            raise Refusal(HTTPStatus.CONFLICT, "this hash is published already, in another scope")
        return False
    connection.execute(
        "INSERT INTO lineages (hash, graph_id, creator, owner, visibility, scope_owner, scope_project,"
        " git_repo, git_commit, git_branch, published_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            request.hash,
            new_graph(connection),
            caller.identity,
            caller.owner,
            scope.visibility,
            scope.owner_id,
            scope.project_id,
            request.git_repo,
            request.git_commit,
            request.git_branch,
            now,
        ),
    )
    return True


def replace_legacy(connection: sqlite3.Connection, known: sqlite3.Row, session: Session, scope: Scope) -> Scope:
    """Make room for the graph of a session whose hash is that of the legacy lineage `known`.

    Returns where the finalized lineage stands.  A user's own legacy lineage becomes the finalized one and stays public
    if it was: it has been read.  Anything else is set aside: what another user wrote, what nobody signed for, a private
    lineage of the same user that would have to move, and one that is too large to be taken over in one transaction.
    """
    stands = Scope(known["visibility"], known["scope_owner"], known["scope_project"])
    is_own = session.owner != ANONYMOUS_OWNER and known["owner"] == session.owner
    # Earlier releases closed sessions with the legacy graph.
    connection.execute("UPDATE sessions SET graph_id = ? WHERE graph_id = ?", (session.graph_id, known["graph_id"]))
    if is_own and (stands.visibility == PUBLIC or stands.may_become(scope)):
        if _size_moved(connection, known["graph_id"]) < MOST_MOVED:
            supersede(connection, known["graph_id"], session.graph_id)
        else:
            set_aside(connection, known["hash"])
        return stands if stands.visibility == PUBLIC else scope
    set_aside(connection, known["hash"])
    return scope


def supersede(connection: sqlite3.Connection, graph_id: int, staged: int) -> None:
    """Discard a user's own legacy graph without losing valid data.

    The hash covers the jobs with their inputs and outputs, so the staged graph has all of those. Other jobs in the
    legacy graph never belonged to this lineage. The hash does not cover artifacts and labels. Those that were not
    staged move to the staged graph, labels with all their versions.
    """
    connection.execute(
        "DELETE FROM artifacts WHERE graph_id = ? AND hashes IS NULL"
        " AND digest IN (SELECT digest FROM artifacts WHERE graph_id = ? AND hashes IS NOT NULL)",
        (staged, graph_id),
    )
    connection.execute("UPDATE OR IGNORE artifacts SET graph_id = ? WHERE graph_id = ?", (staged, graph_id))
    recount_artifacts(connection, staged)
    connection.execute("UPDATE labels SET graph_id = ? WHERE graph_id = ?", (staged, graph_id))
    discard_graph(connection, graph_id)


def _size_moved(connection: sqlite3.Connection, graph_id: int) -> int:
    """Bytes of what `supersede` would move, about; not all is counted where it is more than `MOST_MOVED`."""
    sizes = connection.execute(
        "SELECT length(coalesce(hashes, '')) + length(coalesce(metadata, '')) + length(coalesce(composite, '')) AS size"
        " FROM artifacts WHERE graph_id = ?1"
        " UNION ALL SELECT length(metadata) + length(key_origins) FROM labels WHERE graph_id = ?1",
        (graph_id,),
    )
    return sum(within((row["size"] + ROW_BYTES for row in sizes), MOST_MOVED, int))


def legacy_graph(connection: sqlite3.Connection, caller: Caller, lineage_hash: str) -> int:
    """Return the graph that a legacy write goes to.

    Raises `Refusal`: as `_writable`, and 409 for a finalized lineage, which never changes.
    """
    row = _writable(connection, caller, lineage_hash)
    if row["session_id"] is not None:
        raise _finalized()
    graph_id: int = row["graph_id"]
    return graph_id


def labelled_graph(connection: sqlite3.Connection, caller: Caller, label: Label, now: float) -> tuple[int, Rights]:
    """Return the graph for a label sent outside a session, and the caller's rights to its labels.

    A user may label any own lineage, finalized or not. A label of an artifact without a lineage goes to the newest
    lineage that has the artifact, preferably one of the caller. Raises `Refusal` as `_writable`; 404 if no lineage has
    the artifact, 422 for a job without its lineage.
    """
    lineage_hash = label.session_hash
    if lineage_hash is None:
        lineage_hash = _newest_with_artifact(connection, caller, label)
    row = _writable(connection, caller, lineage_hash)
    if row["owner"] != ANONYMOUS_OWNER or row["session_id"] is None:
        return row["graph_id"], Rights.CHANGE
    return row["graph_id"], Rights.ADD if takes_additions(row, now) else Rights.REPEAT


def add_composite(
    connection: sqlite3.Connection, caller: Caller, composite: LegacyCompositeRequest, now: float
) -> bool:
    """Add a composite outside a session. Return whether something was new.

    A finalized lineage takes the members of an artifact that it has: from its owner, or from any client while it takes
    additions. Raises `Refusal`: as `_writable`; 409 otherwise.
    """
    row = _writable(connection, caller, composite.session_hash)
    graph_id: int = row["graph_id"]
    if row["session_id"] is None:
        return staging.add_composite(connection, graph_id, composite)
    known = connection.execute("SELECT 1 FROM artifacts WHERE graph_id = ? AND digest = ?", (graph_id, composite.hash))
    if known.fetchone() is None or not (row["owner"] != ANONYMOUS_OWNER or takes_additions(row, now)):
        raise _finalized()
    return staging.add_members(connection, graph_id, composite)


def _finalized() -> Refusal:
    detail = "this lineage was finalized by a registration session and does not change any more"
    return Refusal(HTTPStatus.CONFLICT, detail, {"status": "closed"})


def _newest_with_artifact(connection: sqlite3.Connection, caller: Caller, label: Label) -> str:
    if label.entity_type != "artifact" or label.artifact_hash is None:
        raise Refusal(HTTPStatus.UNPROCESSABLE_ENTITY, "the label names no lineage: session_hash")
    row = connection.execute(
        "SELECT hash FROM artifacts JOIN lineages USING (graph_id) WHERE digest = ? AND owner IN (?, ?)"
        " ORDER BY owner = ? DESC, published_at DESC, hash LIMIT 1",
        (label.artifact_hash, ANONYMOUS_OWNER, caller.owner, caller.owner),
    ).fetchone()
    if row is None:
        raise Refusal(HTTPStatus.NOT_FOUND, "no published lineage has this artifact")
    return str(row["hash"])


def _writable(connection: sqlite3.Connection, caller: Caller, lineage_hash: str) -> sqlite3.Row:
    """Return the row of a lineage that the caller may write to.

    Raises `Refusal`: 404 if the caller cannot see it, 403 if the caller may only read it, 409 if the caller's own
    lineage was set aside.
    """
    row = connection.execute(
        "SELECT * FROM lineages WHERE hash = ? AND owner IN (?, ?)", (lineage_hash, ANONYMOUS_OWNER, caller.owner)
    ).fetchone()
    if row is None:
        if set_aside_lineage(connection, lineage_hash, caller.owner) is not None:
            raise _finalized()
        readable_lineage(connection, lineage_hash, Reader(caller.owner))
        raise Refusal(HTTPStatus.FORBIDDEN, "this lineage belongs to another user")
    written: sqlite3.Row = row
    return written
