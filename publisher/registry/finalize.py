"""Finalize: from a staged graph to a published lineage under the hash that the server computes (`protocol.md §4, §6`).

Hashing a large graph takes seconds, so it is cut into slices of `SLICE_JOBS`; between two of them other requests have
their turn.  Every staged write raises the session's revision, and publishing checks that it is still the one that was
hashed.
"""

import json
import sqlite3
from dataclasses import dataclass, field
from http import HTTPStatus

from roar_publisher.glaas.wire import ExpectedCounts, FinalizeRequest
from roar_publisher.lineage.canonical import CANONICAL_VERSION, LineageHasher, canonical_job
from roar_publisher.registry.auth import Credential
from roar_publisher.registry.legacy import supersede
from roar_publisher.registry.refusals import Refusal
from roar_publisher.registry.schema import NO_STEP
from roar_publisher.registry.scope import PUBLIC, Scope
from roar_publisher.registry.sessions import Access, Session, close_session, discard_graph, find_session

SLICE_JOBS = 200
"""Jobs that are hashed in one go; a step is never split."""

_SLICE_END = """
    SELECT step_number FROM jobs WHERE graph_id = ? AND step_number > ? ORDER BY step_number LIMIT 1 OFFSET ?
"""
_LAST_STEP = "SELECT max(step_number) FROM jobs WHERE graph_id = ? AND step_number > ?"
# Canonical texts are ASCII, so SQLite's byte order is the order that `canonical.sort_key` asks for.  SQLite sorts
# within one step only (the index gives the steps) and spills to disk where a step is huge.
_CANONICAL_JOBS = f"""
    SELECT canonical_job(job.command, job.job_type,
            nullif(job.step_number, {NO_STEP}), nullif(parent.step_number, {NO_STEP}),
            (SELECT json_group_array(json_array(digest, path)) FROM links WHERE job_id = job.id AND kind = 'inputs'),
            (SELECT json_group_array(json_array(digest, path)) FROM links WHERE job_id = job.id AND kind = 'outputs'),
            job.metadata) AS text,
        (SELECT count(*) FROM links WHERE job_id = job.id AND kind = 'inputs') AS inputs,
        (SELECT count(*) FROM links WHERE job_id = job.id AND kind = 'outputs') AS outputs
    FROM jobs AS job LEFT JOIN jobs AS parent ON parent.graph_id = job.graph_id AND parent.uid = job.parent_uid
    WHERE job.graph_id = ? AND job.step_number > ? AND job.step_number <= ?
    ORDER BY job.step_number, text
"""


@dataclass(slots=True)
class Hashing:
    """A hash under way, owned by the one finalize request that made it.

    revision: the session's, when the hashing began.  after: the last step hashed; the counts grow with it.
    """

    graph_id: int
    revision: int
    hasher: LineageHasher
    after: int = NO_STEP - 1
    counts: dict[str, int] = field(default_factory=lambda: {"jobs": 0, "inputs": 0, "outputs": 0})
    complete: bool = False


def define_functions(connection: sqlite3.Connection) -> None:
    """Teach a connection the SQL function that the hashing query calls."""
    connection.create_function("canonical_job", 7, _canonical_job, deterministic=True)


def begin(connection: sqlite3.Connection, access: Access, request: FinalizeRequest) -> Hashing | dict[str, object]:
    """The hashing to go through, or the receipt of a session that is closed.

    Of a private lineage there is nothing to hash, but its scope may be asked for anew: that is `publish`'s to settle.
    Raises `Refusal`: as `find_session`; 400 for a `scope_request` from nobody.
    """
    session = find_session(connection, access)
    if request.scope_request is not None and access.caller.credential is Credential.SESSION_TOKEN:
        raise Refusal(HTTPStatus.BAD_REQUEST, "an anonymous registration session has no scope: drop scope_request")
    if session.receipt is not None and _private_lineage(connection, session) is None:
        return session.receipt
    hasher = LineageHasher(request.git_repo, request.git_commit, request.git_branch, [session.identity])
    return Hashing(session.graph_id, session.revision, hasher, complete=session.receipt is not None)


def hash_slice(connection: sqlite3.Connection, hashing: Hashing) -> None:
    """Hash the next slice, in the order of `protocol.md §6`."""
    last = _end_of_slice(connection, hashing)
    if last is None:
        hashing.complete = True
        return
    for text, inputs, outputs in connection.execute(_CANONICAL_JOBS, (hashing.graph_id, hashing.after, last)):
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
    public from now on if that is what its owner asks for.  Raises `Refusal`, and nothing is published: 400 where the
    expected counts differ, 422 where the hash stands in another scope or for somebody else.
    """
    session = find_session(connection, access)
    if session.receipt is not None:
        if private := _private_lineage(connection, session):
            _settle(connection, private, session, scope)
        return session.receipt
    if session.revision != hashing.revision:
        return None
    if hashing.counts["jobs"] == 0:
        raise Refusal(HTTPStatus.BAD_REQUEST, "nothing is staged: register jobs before finalizing")
    if check_counts and request.expected is not None:
        _check_counts(request.expected, hashing.counts)
    lineage_hash = hashing.hasher.digests()[session.identity]
    artifacts = connection.execute("SELECT count(*) FROM artifacts WHERE graph_id = ?", (hashing.graph_id,)).fetchone()
    graph_id, created = _publish_graph(connection, session, lineage_hash, request, scope, access.now)
    receipt: dict[str, object] = {
        "hash": lineage_hash,
        "created": created,
        "status": "closed",
        "canonical_version": CANONICAL_VERSION,
        "staged_counts": {**hashing.counts, "artifacts": artifacts[0]},
    }
    close_session(connection, access, graph_id, receipt)
    return receipt


def _publish_graph(
    connection: sqlite3.Connection,
    session: Session,
    lineage_hash: str,
    request: FinalizeRequest,
    scope: Scope,
    now: float,
) -> tuple[int, bool]:
    """The graph that the hash stands for from now on, and whether it is the session's."""
    known = _lineage(connection, lineage_hash)
    if known is not None:
        _settle(connection, known, session, scope)
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


def _lineage(connection: sqlite3.Connection, lineage_hash: object) -> sqlite3.Row | None:
    row: sqlite3.Row | None = connection.execute("SELECT * FROM lineages WHERE hash = ?", (lineage_hash,)).fetchone()
    return row


def _private_lineage(connection: sqlite3.Connection, session: Session) -> sqlite3.Row | None:
    """The lineage that a closed session published, where it is private."""
    known = None if session.receipt is None else _lineage(connection, session.receipt["hash"])
    return None if known is None or known["visibility"] == PUBLIC else known


def _settle(connection: sqlite3.Connection, known: sqlite3.Row, session: Session, scope: Scope) -> None:
    """Make a known lineage public, if that is what is asked for.

    A receipt must not promise what is not so: that something is private now, or elsewhere, or one's own.
    """
    if known["owner"] != session.owner:
        detail = "somebody else has written a lineage under this hash, on the legacy path"
        raise Refusal(HTTPStatus.UNPROCESSABLE_ENTITY, detail)
    if not Scope(known["visibility"], known["scope_owner"], known["scope_project"]).may_become(scope):
        place = "the own space of its publisher" if known["scope_owner"] is None else "a project"
        detail = f"this lineage is published already, as {known['visibility']} in {place}, and does not move"
        raise Refusal(HTTPStatus.UNPROCESSABLE_ENTITY, detail)
    connection.execute("UPDATE lineages SET visibility = ? WHERE hash = ?", (scope.visibility, known["hash"]))


def _end_of_slice(connection: sqlite3.Connection, hashing: Hashing) -> int | None:
    place = (hashing.graph_id, hashing.after)
    row = connection.execute(_SLICE_END, (*place, SLICE_JOBS - 1)).fetchone()
    if row is None:
        row = connection.execute(_LAST_STEP, place).fetchone()
    last: int | None = row[0]
    return last


def _check_counts(expected: ExpectedCounts, staged: dict[str, int]) -> None:
    wanted = expected.model_dump(exclude_none=True)
    differing = [name for name, count in wanted.items() if count != staged[name]]
    if differing:
        listed = "; ".join(f"{name}: {wanted[name]} expected, {staged[name]} staged" for name in differing)
        detail = f"nothing is published, the counts differ ({listed})"
        raise Refusal(HTTPStatus.BAD_REQUEST, detail, {"staged_counts": staged})


def _canonical_job(
    command: str,
    job_type: str | None,
    step_number: int | None,
    parent_step_number: int | None,
    inputs: str,
    outputs: str,
    metadata: str | None,
) -> str:
    return canonical_job(
        command=command,
        job_type=job_type,
        step_number=step_number,
        parent_step_number=parent_step_number,
        inputs=json.loads(inputs),
        outputs=json.loads(outputs),
        metadata=metadata,
    )
