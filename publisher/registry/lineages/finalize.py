"""Finalize: turn a staged graph into a published lineage under a hash that the server computes (`protocol.md §4, §6`).

Cheap checks come first: the expected counts are compared before anything is hashed. Hashing a large graph takes
seconds, so it runs in bounded slices (`slices`), and other requests run in between. Every staged write increments the
session's revision, and publishing checks that the revision has not changed since hashing began.
"""

from http import HTTPStatus

from msgspec import Struct

from roar_publisher.glaas.wire import ExpectedCounts, FinalizeRequest
from roar_publisher.lineage.canonical import CANONICAL_VERSION, LineageHasher
from roar_publisher.registry.accounts.callers import Credential
from roar_publisher.registry.http.refusals import Refusal
from roar_publisher.registry.lineages.legacy import replace_legacy
from roar_publisher.registry.lineages.registration import Access, close_session, find_session
from roar_publisher.registry.lineages.settling import private_lineage, settle, visible_receipt
from roar_publisher.registry.lineages.slices import Parts, advance
from roar_publisher.registry.lineages.wide_steps import parts_in_order
from roar_publisher.registry.store import lineages
from roar_publisher.registry.store.access import LineageScope
from roar_publisher.registry.store.database import Connection
from roar_publisher.registry.store.graphs import discard_graph, graph_counts
from roar_publisher.registry.store.lineages import Lineage
from roar_publisher.registry.store.sessions import Session


class Hashing(Struct):
    """A hash computation in progress, owned by the finalize request that started it.

    `revision` and `counts` are those of the session when hashing began. `parts` remain to be hashed.
    """

    graph_id: int
    revision: int
    hasher: LineageHasher
    counts: dict[str, int]
    parts: Parts
    complete: bool = False


def receipt_if_closed(
    connection: Connection, access: Access, request: FinalizeRequest, *, check_counts: bool
) -> dict[str, object] | None:
    """Check a request before any work. Return the receipt of a closed session; None if there is work to do.

    If the session closed with a lineage that is private, there is nothing to hash, but `publish` may change its scope.
    Raises `Refusal`: as `find_session`; 400 for a `scope_request` with a session token, if nothing is staged, or, with
    `check_counts`, if the expected counts differ.
    """
    session = find_session(connection, access)
    if request.scope_request is not None and access.caller.credential is Credential.SESSION_TOKEN:
        raise Refusal(HTTPStatus.BAD_REQUEST, "an anonymous registration session has no scope: drop scope_request")
    if session.receipt is not None:
        is_private = private_lineage(connection, session) is not None
        return None if is_private else visible_receipt(connection, session.receipt)
    if session.prepared_graph is None:
        counts = graph_counts(connection, session.graph_id)
        if counts["jobs"] == 0:
            raise Refusal(HTTPStatus.BAD_REQUEST, "nothing is staged: register jobs before finalizing")
        if check_counts and request.expected is not None:
            _check_counts(request.expected, counts)
    return None


def begin(connection: Connection, access: Access, request: FinalizeRequest) -> Hashing:
    """Return a new hashing of what is staged. It is complete if the session is closed, or prepared for a lineage.

    Raises `Refusal` as `find_session`.
    """
    session = find_session(connection, access)
    nothing_to_hash = session.receipt is not None or session.prepared_graph is not None
    counts = graph_counts(connection, session.graph_id)
    hasher = LineageHasher(request.git_repo, request.git_commit, request.git_branch, [session.identity])
    parts = parts_in_order(connection, session.graph_id)
    return Hashing(session.graph_id, session.revision, hasher, counts, parts, complete=nothing_to_hash)


def hash_slice(connection: Connection, hashing: Hashing) -> None:
    """Hash the next bounded slice, in the order of `protocol.md §6`."""
    parts = advance(hashing.parts)
    if parts is None:
        hashing.complete = True
        return
    for part in parts:
        hashing.hasher.add(part.text, last=part.last)


def stop(connection: Connection, hashing: Hashing) -> None:
    """Discard the sorted data of a hashing. Repeating it does nothing."""
    hashing.parts.close()


def publish(
    connection: Connection,
    access: Access,
    request: FinalizeRequest,
    hashing: Hashing,
    scope: LineageScope,
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
    connection: Connection, access: Access, session: Session, graph_id: int, scope: LineageScope
) -> dict[str, object]:
    """Settle the lineage that the session is prepared for, close the session and return the receipt."""
    known = lineages.find_by_graph(connection, graph_id)
    assert known is not None
    settle(connection, known, session, scope)
    discard_graph(connection, session.graph_id)
    return _close(connection, access, graph_id, known.hash, False, graph_counts(connection, graph_id))


def _close(
    connection: Connection,
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
    connection: Connection,
    session: Session,
    lineage_hash: str,
    request: FinalizeRequest,
    scope: LineageScope,
    now: float,
) -> tuple[int, bool]:
    """Publish the session's graph unless the hash is finalized already.

    Return the hash's graph, and whether it is new.
    """
    known = lineages.find(connection, lineage_hash)
    if known is not None and known.session_id is not None:
        settle(connection, known, session, scope)
        discard_graph(connection, session.graph_id)
        return known.graph_id, False
    if known is not None:
        scope = replace_legacy(connection, known, session, scope)
    lineages.insert(
        connection,
        Lineage(
            hash=lineage_hash,
            graph_id=session.graph_id,
            session_id=session.id,
            creator=session.identity,
            owner=session.owner,
            scope=scope,
            git_repo=request.git_repo,
            git_commit=request.git_commit,
            git_branch=request.git_branch,
            published_at=now,
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
