"""Finalize: turn a staged graph into a published lineage under a hash that the server computes (`protocol.md §4, §6`).

Cheap checks come first: the expected counts are compared before anything is hashed. Hashing a large graph takes
seconds, so it runs in bounded slices (`slices`), and other requests run in between. Every staged write increments the
session's revision, and publishing checks that the revision has not changed since hashing began.
"""

import sqlite3
from dataclasses import dataclass
from http import HTTPStatus

from roar_publisher.glaas.wire import ExpectedCounts, FinalizeRequest
from roar_publisher.lineage.canonical import CANONICAL_VERSION, LineageHasher
from roar_publisher.registry.accounts.callers import Credential
from roar_publisher.registry.accounts.scope import Scope
from roar_publisher.registry.http.refusals import Refusal
from roar_publisher.registry.lineages.counts import graph_counts
from roar_publisher.registry.lineages.legacy import replace_legacy
from roar_publisher.registry.lineages.sessions import Access, Session, close_session, discard_graph, find_session
from roar_publisher.registry.lineages.settling import find_lineage, private_lineage, settle, visible_receipt
from roar_publisher.registry.lineages.slices import Parts, advance
from roar_publisher.registry.lineages.wide_steps import parts_in_order


@dataclass(slots=True)
class Hashing:
    """A hash computation in progress, owned by the finalize request that started it.

    `revision` and `counts` are those of the session when hashing began. `parts` remain to be hashed.
    """

    graph_id: int
    revision: int
    hasher: LineageHasher
    counts: dict[str, int]
    parts: Parts
    complete: bool = False


def begin(
    connection: sqlite3.Connection, access: Access, request: FinalizeRequest, *, check_counts: bool
) -> Hashing | dict[str, object]:
    """Return a new hashing, or the receipt of a closed session.

    If the session closed with a lineage that is private, there is nothing to hash, but `publish` may change its scope.
    Raises `Refusal`: as `find_session`; 400 for a `scope_request` with a session token, if nothing is staged, or, with
    `check_counts`, if the expected counts differ.
    """
    session = find_session(connection, access)
    if request.scope_request is not None and access.caller.credential is Credential.SESSION_TOKEN:
        raise Refusal(HTTPStatus.BAD_REQUEST, "an anonymous registration session has no scope: drop scope_request")
    if session.receipt is not None and private_lineage(connection, session) is None:
        return visible_receipt(connection, session.receipt)
    counts = graph_counts(connection, session.graph_id)
    nothing_to_hash = session.receipt is not None or session.prepared_graph is not None
    if not nothing_to_hash:
        if counts["jobs"] == 0:
            raise Refusal(HTTPStatus.BAD_REQUEST, "nothing is staged: register jobs before finalizing")
        if check_counts and request.expected is not None:
            _check_counts(request.expected, counts)
    hasher = LineageHasher(request.git_repo, request.git_commit, request.git_branch, [session.identity])
    parts = parts_in_order(connection, session.graph_id)
    return Hashing(session.graph_id, session.revision, hasher, counts, parts, complete=nothing_to_hash)


def hash_slice(connection: sqlite3.Connection, hashing: Hashing) -> None:
    """Hash the next bounded slice, in the order of `protocol.md §6`."""
    parts = advance(hashing.parts)
    if parts is None:
        hashing.complete = True
        return
    for part in parts:
        hashing.hasher.add(part.text, last=part.last)


def stop(connection: sqlite3.Connection, hashing: Hashing) -> None:
    """Discard the sorted data of a hashing. Repeating it does nothing."""
    hashing.parts.close()


def publish(
    connection: sqlite3.Connection,
    access: Access,
    request: FinalizeRequest,
    hashing: Hashing,
    scope: Scope,
) -> dict[str, object] | None:
    """Publish the hashed graph, close the session and return the receipt; None if more was staged meanwhile.

    On a closed session, a repeat returns the same receipt. If another session has published this hash already, the
    staged graph is discarded, and this session refers to the published lineage. In both cases a private lineage becomes
    public if its owner requests that. A public one stays public regardless of the request, and the receipt says so. A
    legacy lineage with this hash does not prevent publishing (`legacy.replace_legacy`). Raises `Refusal` (422), without
    publishing, if the hash was finalized privately in another scope, or by another account.
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
    lineage_hash = hashing.hasher.digests()[session.identity]
    graph_id, created = _publish_graph(connection, session, lineage_hash, request, scope, access.now)
    return _close(connection, access, graph_id, lineage_hash, created, hashing.counts)


def _publish_prepared(
    connection: sqlite3.Connection, access: Access, session: Session, graph_id: int, scope: Scope
) -> dict[str, object]:
    """Settle the lineage that the session is prepared for, close the session and return the receipt."""
    known = connection.execute("SELECT * FROM lineages WHERE graph_id = ?", (graph_id,)).fetchone()
    settle(connection, known, session, scope)
    discard_graph(connection, session.graph_id)
    return _close(connection, access, graph_id, known["hash"], False, graph_counts(connection, graph_id))


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
    """Publish the session's graph unless the hash is finalized already.

    Return the hash's graph, and whether it is new.
    """
    known = find_lineage(connection, lineage_hash)
    if known is not None and known["session_id"] is not None:
        settle(connection, known, session, scope)
        discard_graph(connection, session.graph_id)
        return known["graph_id"], False
    if known is not None:
        scope = replace_legacy(connection, known, session, scope)
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
    staged = {name: count for name, count in staged.items() if name != "artifacts"}
    differing = [name for name, count in wanted.items() if count != staged[name]]
    if differing:
        listed = "; ".join(f"{name}: {wanted[name]} expected, {staged[name]} staged" for name in differing)
        detail = f"nothing is published, the counts differ ({listed})"
        raise Refusal(HTTPStatus.BAD_REQUEST, detail, {"staged_counts": staged})
