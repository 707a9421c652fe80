"""Finalize: from a staged graph to a published lineage under the hash that the server computes (`protocol.md §4, §6`).

Hashing a large graph takes seconds, so it is cut into slices of `SLICE_JOBS`; between two of them other requests have
their turn.  Every staged write raises the session's revision, and publishing checks that it is still the one that was
hashed.
"""

import sqlite3
from dataclasses import dataclass, field
from http import HTTPStatus

from roar_publisher.glaas.wire import ExpectedCounts, FinalizeRequest
from roar_publisher.lineage.canonical import CANONICAL_VERSION, LineageHasher
from roar_publisher.registry.auth import Credential
from roar_publisher.registry.legacy import supersede
from roar_publisher.registry.prepared import prepared_counts
from roar_publisher.registry.refusals import Refusal
from roar_publisher.registry.scope import Scope
from roar_publisher.registry.sessions import Access, Session, close_session, discard_graph, find_session
from roar_publisher.registry.settling import find_lineage, private_lineage, settle, visible_receipt
from roar_publisher.registry.slices import BEFORE_ALL_STEPS, canonical_jobs, end_of_slice


@dataclass(slots=True)
class Hashing:
    """A hash under way, owned by the one finalize request that made it.

    revision: the session's, when the hashing began.  after: the last step hashed; the counts grow with it.
    """

    graph_id: int
    revision: int
    hasher: LineageHasher
    after: int = BEFORE_ALL_STEPS
    counts: dict[str, int] = field(default_factory=lambda: {"jobs": 0, "inputs": 0, "outputs": 0})
    complete: bool = False


def begin(connection: sqlite3.Connection, access: Access, request: FinalizeRequest) -> Hashing | dict[str, object]:
    """The hashing to go through, or the receipt of a session that is closed.

    Of a private lineage there is nothing to hash, but its scope may be asked for anew: that is `publish`'s to settle.
    Raises `Refusal`: as `find_session`; 400 for a `scope_request` from nobody.
    """
    session = find_session(connection, access)
    if request.scope_request is not None and access.caller.credential is Credential.SESSION_TOKEN:
        raise Refusal(HTTPStatus.BAD_REQUEST, "an anonymous registration session has no scope: drop scope_request")
    if session.receipt is not None and private_lineage(connection, session) is None:
        return visible_receipt(connection, session.receipt)
    hasher = LineageHasher(request.git_repo, request.git_commit, request.git_branch, [session.identity])
    nothing_to_hash = session.receipt is not None or session.prepared_graph is not None
    return Hashing(session.graph_id, session.revision, hasher, complete=nothing_to_hash)


def hash_slice(connection: sqlite3.Connection, hashing: Hashing) -> None:
    """Hash the next slice, in the order of `protocol.md §6`."""
    last = end_of_slice(connection, hashing.graph_id, hashing.after)
    if last is None:
        hashing.complete = True
        return
    for _uid, text, inputs, outputs in canonical_jobs(connection, hashing.graph_id, hashing.after, last):
        hashing.hasher.add(text)
        hashing.counts["jobs"] += 1
        hashing.counts["inputs"] += inputs
        hashing.counts["outputs"] += outputs
    hashing.after = last


def publish(
    connection: sqlite3.Connection,
    access: Access,
    request: FinalizeRequest,
    hashing: Hashing,
    scope: Scope,
    *,
    check_counts: bool,
) -> dict[str, object] | None:
    """Publish what was hashed and close the session; the receipt, or None where staging went on meanwhile.

    Repeated on a closed session it returns the same receipt.  A hash that a session published already is not published
    again: the staged graph is discarded and the session speaks of the older one.  In both cases what was private is
    public from now on if that is what its owner asks for; what is public stays so, whatever is asked for, and the
    receipt says it.  Raises `Refusal`, and nothing is published: 400 where the expected counts differ, 422 where the
    hash stands privately in another scope, or for somebody else.
    """
    session = find_session(connection, access)
    if session.receipt is not None:
        if private := private_lineage(connection, session):
            settle(connection, private, session, scope)
        return visible_receipt(connection, session.receipt)
    if session.revision != hashing.revision:
        return None
    if session.prepared_graph is not None:
        return _publish_prepared(connection, access, session, session.prepared_graph, scope)
    if hashing.counts["jobs"] == 0:
        raise Refusal(HTTPStatus.BAD_REQUEST, "nothing is staged: register jobs before finalizing")
    if check_counts and request.expected is not None:
        _check_counts(request.expected, hashing.counts)
    lineage_hash = hashing.hasher.digests()[session.identity]
    artifacts = connection.execute("SELECT count(*) FROM artifacts WHERE graph_id = ?", (hashing.graph_id,)).fetchone()
    graph_id, created = _publish_graph(connection, session, lineage_hash, request, scope, access.now)
    counts = {**hashing.counts, "artifacts": artifacts[0]}
    return _close(connection, access, graph_id, lineage_hash, created, counts)


def _publish_prepared(
    connection: sqlite3.Connection, access: Access, session: Session, graph_id: int, scope: Scope
) -> dict[str, object]:
    """Settle the lineage that the session is prepared for, and close the session; the receipt."""
    known = connection.execute("SELECT * FROM lineages WHERE graph_id = ?", (graph_id,)).fetchone()
    settle(connection, known, session, scope)
    discard_graph(connection, session.graph_id)
    return _close(connection, access, graph_id, known["hash"], False, prepared_counts(connection, graph_id))


def _close(
    connection: sqlite3.Connection,
    access: Access,
    graph_id: int,
    lineage_hash: str,
    created: bool,
    counts: dict[str, int],
) -> dict[str, object]:
    receipt: dict[str, object] = {
        "hash": lineage_hash,
        "created": created,
        "status": "closed",
        "canonical_version": CANONICAL_VERSION,
        "staged_counts": counts,
    }
    close_session(connection, access, graph_id, receipt)
    return visible_receipt(connection, receipt)


def _publish_graph(
    connection: sqlite3.Connection,
    session: Session,
    lineage_hash: str,
    request: FinalizeRequest,
    scope: Scope,
    now: float,
) -> tuple[int, bool]:
    """The graph that the hash stands for from now on, and whether it is the session's."""
    known = find_lineage(connection, lineage_hash)
    if known is not None:
        scope = settle(connection, known, session, scope)
        if known["session_id"] is not None:
            discard_graph(connection, session.graph_id)
            return known["graph_id"], False
        supersede(connection, known["graph_id"], session.graph_id)
    connection.execute(
        "REPLACE INTO lineages (hash, graph_id, session_id, creator, owner, visibility, scope_owner, scope_project,"
        " git_repo, git_commit, git_branch, published_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            lineage_hash,
            session.graph_id,
            session.id,
            session.identity,
            session.owner,
            scope.visibility,
            scope.owner_id,
            scope.project_id,
            request.git_repo,
            request.git_commit,
            request.git_branch,
            now,
        ),
    )
    return session.graph_id, True


def _check_counts(expected: ExpectedCounts, staged: dict[str, int]) -> None:
    wanted = expected.model_dump(exclude_none=True)
    differing = [name for name, count in wanted.items() if count != staged[name]]
    if differing:
        listed = "; ".join(f"{name}: {wanted[name]} expected, {staged[name]} staged" for name in differing)
        detail = f"nothing is published, the counts differ ({listed})"
        raise Refusal(HTTPStatus.BAD_REQUEST, detail, {"staged_counts": staged})
