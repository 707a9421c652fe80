"""Legacy writes, directly into a visible lineage whose hash the client chooses (`protocol.md §4`).

Any client may write to an anonymous legacy lineage. Only its user may write to a user's lineage. The content of a
legacy lineage is not verified. When a registration session finalizes the same hash, the staged graph replaces it.
Legacy writes of other clients neither prevent that nor become part of the finalized lineage.

A hash includes its creator, so only its rightful owner can finalize it. The finalize sets aside what other clients
wrote under the hash earlier. None of that appears in a list, search or page. It is kept for its writer, who can still
read it but not write to it. An anonymous one has no known writer and is kept for callers without a credential.

A finalized lineage does not change any more. Labels and the members of composites are not part of the hash, and
roar-cli 0.3.7 to 0.4.3 sends them without a credential, right after an anonymous finalize. For `labels.ADDITION_TIME`
after it any client may add them, but cannot change existing ones.
"""

from http import HTTPStatus
from itertools import chain

from roar_publisher.glaas.wire import Label, LegacyCompositeRequest, LegacySessionRequest
from roar_publisher.registry.accounts.callers import Caller
from roar_publisher.registry.http.bounds import up_to_size
from roar_publisher.registry.http.refusals import Refusal
from roar_publisher.registry.lineages import staging
from roar_publisher.registry.lineages.artifact_views import no_such_artifact
from roar_publisher.registry.lineages.labels import Rights, accepts_additions
from roar_publisher.registry.lineages.reading import readable_lineage, refuse_former_members
from roar_publisher.registry.store import artifacts, label_versions, lineage_index, lineages, sessions
from roar_publisher.registry.store.access import ANONYMOUS_OWNER, PUBLIC, LineageScope, Reader
from roar_publisher.registry.store.database import Connection
from roar_publisher.registry.store.graphs import discard_graph, new_graph
from roar_publisher.registry.store.lineages import Lineage
from roar_publisher.registry.store.sessions import Session

MAX_MOVED_BYTES = 8 * 1024 * 1024
"""Maximum bytes of a legacy lineage that a finalize takes over, because all other requests wait for that."""
ROW_BYTES = 512
"""Bytes that are counted for each moved row, in addition to its texts."""


def open_legacy(
    connection: Connection, caller: Caller, request: LegacySessionRequest, scope: LineageScope, now: float
) -> bool:
    """Create the lineage for legacy writes. Return False if its hash is published already.

    Raises `Refusal` (409) if the hash is published in another scope, or privately by another user. This reveals private
    lineages, which are 404 elsewhere. It cannot be avoided, because a hash has only one lineage. But only a client that
    knows the whole lineage, including its creator, can know its hash before it is published.
    """
    known = lineages.find(connection, request.hash)
    if known is not None:
        if known.scope != scope or (scope.visibility != PUBLIC and known.owner != caller.owner):
            raise Refusal(HTTPStatus.CONFLICT, "this hash is published already, in another scope")
        return False
    lineages.insert(
        connection,
        Lineage(
            hash=request.hash,
            graph_id=new_graph(connection),
            session_id=None,
            creator=caller.identity,
            owner=caller.owner,
            scope=scope,
            git_repo=request.git_repo,
            git_commit=request.git_commit,
            git_branch=request.git_branch,
            published_at=now,
        ),
    )
    return True


def replace_legacy(connection: Connection, known: Lineage, session: Session, scope: LineageScope) -> LineageScope:
    """Make room for the graph of a session whose hash is that of the legacy lineage `known`.

    Return the scope of the finalized lineage. A user's own legacy lineage becomes the finalized one and stays public if
    it was, because it may have been read. Any other lineage is set aside: that of another user, an anonymous one, a
    private lineage of the same user that would have to move, and one that is too large to be taken over in one
    transaction.
    """
    is_own = session.owner != ANONYMOUS_OWNER and known.owner == session.owner
    was_public = known.scope.visibility == PUBLIC
    # Earlier releases closed sessions with the legacy graph.
    sessions.move_to_graph(connection, known.graph_id, session.graph_id)
    if not is_own or not (was_public or known.scope.may_become(scope)):
        lineages.set_aside(connection, known.hash)
        return scope
    if _size_moved(connection, known.graph_id) < MAX_MOVED_BYTES:
        lineages.delete(connection, known.hash)
        supersede(connection, known.graph_id, session.graph_id)
    else:
        lineages.set_aside(connection, known.hash)
    return known.scope if was_public else scope


def supersede(connection: Connection, graph_id: int, staged: int) -> None:
    """Discard a user's own legacy graph without losing valid data.

    The hash covers the jobs with their inputs and outputs, so the staged graph has all of those. Other jobs in the
    legacy graph never belonged to this lineage. The hash does not cover artifacts and labels. Those that were not
    staged move to the staged graph, labels with all their versions.
    """
    artifacts.move_artifacts(connection, graph_id, staged)
    label_versions.move_labels(connection, graph_id, staged)
    discard_graph(connection, graph_id)


def _size_moved(connection: Connection, graph_id: int) -> int:
    """Return the approximate bytes that `supersede` would move. More than `MAX_MOVED_BYTES` are not counted."""
    sizes = chain(artifacts.artifact_sizes(connection, graph_id), label_versions.label_sizes(connection, graph_id))
    return sum(up_to_size((size + ROW_BYTES for size in sizes), MAX_MOVED_BYTES, int))


def legacy_graph(connection: Connection, reader: Reader, lineage_hash: str) -> int:
    """Return the graph that a legacy write goes to.

    Raises `Refusal`: as `_writable`, and 409 for a finalized lineage, which never changes.
    """
    lineage = _writable(connection, reader, lineage_hash)
    if lineage.session_id is not None:
        raise _finalized()
    lineage_index.forget_index(connection, lineage.graph_id)
    return lineage.graph_id


def labelled_graph(connection: Connection, reader: Reader, label: Label, now: float) -> tuple[int, Rights]:
    """Return the graph for a label sent outside a session, and the reader's rights to its labels.

    A user may label any own lineage, finalized or not. A label of an artifact without a lineage goes to the newest
    lineage that has the artifact, preferably one of the caller. Raises `Refusal` as `_writable`; 404 if no lineage has
    the artifact, 422 for a job without its lineage.
    """
    lineage_hash = label.session_hash
    if lineage_hash is None:
        lineage_hash = _newest_with_artifact(connection, reader, label)
    lineage = _writable(connection, reader, lineage_hash)
    if lineage.owner != ANONYMOUS_OWNER or lineage.session_id is None:
        return lineage.graph_id, Rights.CHANGE
    return lineage.graph_id, Rights.ADD if accepts_additions(lineage, now) else Rights.REPEAT


def add_composite(connection: Connection, reader: Reader, composite: LegacyCompositeRequest, now: float) -> bool:
    """Add a composite outside a session. Return whether something was new.

    A finalized lineage takes the members of an artifact that it has: from its owner, or from any client while it takes
    additions. Raises `Refusal`: as `_writable`; 409 otherwise.
    """
    lineage = _writable(connection, reader, composite.session_hash)
    if lineage.session_id is None:
        lineage_index.forget_index(connection, lineage.graph_id)
        return staging.add_composite(connection, lineage.graph_id, composite)
    is_known = artifacts.has_artifact(connection, lineage.graph_id, composite.hash)
    if not is_known or not (lineage.owner != ANONYMOUS_OWNER or accepts_additions(lineage, now)):
        raise _finalized()
    return staging.add_members(connection, lineage.graph_id, composite)


def _finalized() -> Refusal:
    detail = "this lineage was finalized by a registration session and does not change any more"
    return Refusal(HTTPStatus.CONFLICT, detail, {"status": "closed"})


def _newest_with_artifact(connection: Connection, reader: Reader, label: Label) -> str:
    if label.entity_type != "artifact" or label.artifact_hash is None:
        raise Refusal(HTTPStatus.UNPROCESSABLE_ENTITY, "the label does not name its lineage: session_hash")
    lineage_hash = lineages.newest_with_artifact(connection, label.artifact_hash, reader.user_id)
    if lineage_hash is None:
        raise no_such_artifact()
    return lineage_hash


def _writable(connection: Connection, reader: Reader, lineage_hash: str) -> Lineage:
    """Return a lineage that the reader may write to.

    Raises `Refusal`: 404 if the reader cannot see it, 403 if the reader may only read it, 409 if the reader's own
    lineage was set aside.
    """
    lineage = lineages.find_writable(connection, lineage_hash, reader.user_id)
    if lineage is None:
        if lineages.find_set_aside(connection, lineage_hash, reader.user_id) is not None:
            raise _finalized()
        readable_lineage(connection, lineage_hash, reader)
        raise Refusal(HTTPStatus.FORBIDDEN, "this lineage belongs to another user")
    refuse_former_members(connection, lineage, reader)
    return lineage
