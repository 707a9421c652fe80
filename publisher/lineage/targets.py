"""Resolve a target as typed to the jobs that are published (`protocol.md §7`).

- Nothing: every job of the active session.
- `@N`, `@BN`: that step and what it needs.
- A path or a digest: what that artifact needs, re-runs reduced to the latest.
- A job's uid or a session's hash.

A prefix of a digest, uid or hash is enough, as roar and the registry's pages print them (`blake3:ab12cd34ef56...`).
What a lineage needs is always the same: the latest producer of every input, the session's build jobs, parents and
tasks.
"""

import difflib
import os
import re
from collections.abc import Iterable
from pathlib import Path

from roar_publisher.lineage.content import OtherDigests, blake3_of
from roar_publisher.lineage.database import RoarDatabase, Row
from roar_publisher.lineage.hashing import session_hashes
from roar_publisher.lineage.publication import published_lineage
from roar_publisher.lineage.rows import SessionRow
from roar_publisher.lineage.selection import NOISE
from roar_publisher.lineage.upstream import drop_reruns, pick_needs, pick_relatives, pick_upstream
from roar_publisher.state.errors import LocalProblem, UsageProblem
from roar_publisher.state.reasons import Reason
from roar_publisher.state.shell import shell_word

_STEP = re.compile(r"@(B?)(\d{1,9})", re.IGNORECASE)
_HEX = re.compile(r"[0-9a-f]{4,64}", re.IGNORECASE)
_PRINTED = re.compile(r"(?:[a-z0-9-]+:)?([0-9a-f]{8,64})(?:\.{3}|…)?", re.IGNORECASE)
"""A digest or hash as roar prints it: with its algorithm, and with dots if it is shortened."""
_SHORTEST_PREFIX = 8
"""The shortest prefix that is recognised as a digest or a session's hash."""
_SHOWN = 5
"""The most near misses or ambiguous matches that an error lists."""
_SIMILARITY = 0.8
"""How similar two file names must be for one to count as a misspelling of the other."""
_PATHS_COMPARED = 2_000
"""The most recorded paths that a misspelt one is compared with."""

_SESSION_COLUMNS = "id, hash, git_repo"


def pick_target(database: RoarDatabase, target: str | None, cwd: Path, identities: Iterable[str]) -> SessionRow:
    """Pick the jobs of a target (in the table `picked`), and return the session that their publish belongs to.

    target: as typed; a path is relative to `cwd`.
    identities: the identities under which a session's canonical hash is tried.

    Raises UsageProblem if the target is unknown or ambiguous, with similar names, and LocalProblem if no session is
    active.
    """
    target = (target or "").strip()
    if not target:
        return _pick_session(database, active_session(database))
    step = _STEP.fullmatch(target)
    if step is not None:
        return _pick_step(database, target, int(step[2]), build=bool(step[1]))
    path = os.path.normpath(os.path.join(cwd, target))
    if os.path.isfile(path):
        return _pick_file(database, target, Path(path))
    printed = _PRINTED.fullmatch(target) or _HEX.fullmatch(target)
    if printed is not None:
        session = _pick_by_hex(database, (printed[1] if printed.re is _PRINTED else target).lower(), identities)
        if session is not None:
            return session
    artifact = _recorded_at(database, target if "://" in target else path)
    if artifact is None:
        raise _folder(target) if os.path.isdir(path) else _unknown(database, target)
    return _pick_artifact(database, artifact)


def may_be_hash(target: str | None) -> bool:
    """Return whether a target may be a session's hash, which depends on the identity that publishes it."""
    return target is not None and (_PRINTED.fullmatch(target) or _HEX.fullmatch(target)) is not None


def active_session(database: RoarDatabase) -> SessionRow:
    """Return the session that roar currently records into. Raises LocalProblem if none is active."""
    row = database.one(f"SELECT {_SESSION_COLUMNS} FROM sessions WHERE is_active = 1 ORDER BY id DESC")
    if row is None:
        raise LocalProblem(
            "no roar session is active",
            next_step="start one with `roar run <command>`, or name what to publish: a job's uid, a session's hash",
            reason=Reason.NO_SESSION,
        )
    return SessionRow(*row)


def _pick_session(database: RoarDatabase, session: SessionRow) -> SessionRow:
    database.execute("INSERT OR IGNORE INTO picked SELECT id FROM jobs WHERE session_id = ?", session.id)
    pick_relatives(database)
    return session


def _pick_step(database: RoarDatabase, target: str, number: int, *, build: bool) -> SessionRow:
    session = active_session(database)
    kind = "job_type IS 'build'" if build else "job_type IS NOT 'build'"
    step = f"SELECT id FROM jobs WHERE session_id = ? AND step_number = ? AND {kind}"
    if database.one(step, session.id, number) is None:
        raise UsageProblem(
            f"the active session has no step {target}", next_step=f"name one of its steps: {_steps(database, session)}"
        )
    pick_needs(database, step, (session.id, number), session)
    return session


def _pick_file(database: RoarDatabase, target: str, path: Path) -> SessionRow:
    digest = blake3_of(database, path)
    row = database.one("SELECT artifact_id FROM artifact_hashes WHERE algorithm = 'blake3' AND digest = ?", digest)
    artifact = row[0] if row is not None else OtherDigests(database).artifact_of(path, digest)
    if artifact is None:
        raise UsageProblem(
            f"roar has not recorded {target} with its current content",
            next_step="capture it with `roar run`, or publish the session: `roar publish`",
        )
    return _pick_artifact(database, artifact)


def _pick_artifact(database: RoarDatabase, artifact: str) -> SessionRow:
    session = active_session(database)
    if database.one("SELECT 1 FROM job_outputs WHERE artifact_id = ?", artifact) is None:
        raise UsageProblem(
            "no recorded job made this artifact", next_step="publish the session that used it: `roar publish`"
        )
    pick_upstream(database, "SELECT ?", (artifact,), session)
    drop_reruns(database)
    return session


def _pick_by_hex(database: RoarDatabase, target: str, identities: Iterable[str]) -> SessionRow | None:
    """Pick a job by its uid, an artifact by its digest, or a session by its hash; return None if nothing matches."""
    jobs = _beginning_with(database, "SELECT id, session_id, job_uid FROM jobs WHERE job_uid", target)
    exact = [row for row in jobs if row[2] == target]
    if len(exact or jobs) == 1:
        return _pick_job(database, *(exact or jobs)[0][:2])
    if jobs:
        raise _ambiguous(target, "jobs", [row[2] for row in jobs])
    if len(target) < _SHORTEST_PREFIX:
        return None
    artifact = _artifact_named(database, target)
    if artifact is not None:
        return _pick_artifact(database, artifact)
    named = _named(database, target) or {
        session.hash or f"session {session.id}": (session, [])
        for session in _sessions_hashing_to(database, target, identities)
    }
    if len(named) > 1:
        raise _ambiguous(target, "sessions", list(named))
    return next((_pick_published(database, *found) for found in named.values()), None)


def _pick_job(database: RoarDatabase, job: int, session_id: int | None) -> SessionRow:
    row = database.one(f"SELECT {_SESSION_COLUMNS} FROM sessions WHERE id = ?", session_id)
    session = SessionRow(*row) if row is not None else active_session(database)
    pick_needs(database, "SELECT ?", (job,), session)
    return session


def _artifact_named(database: RoarDatabase, prefix: str) -> str | None:
    """Return the artifact with a digest, of any algorithm, that has this prefix. Raises UsageProblem for several."""
    rows = _beginning_with(database, "SELECT artifact_id, digest FROM artifact_hashes WHERE digest", prefix)
    if len({row[0] for row in rows}) > 1:
        raise _ambiguous(prefix, "digests", sorted(str(row[1]) for row in rows))
    return str(rows[0][0]) if rows else None


def _beginning_with(database: RoarDatabase, sql: str, prefix: str) -> list[Row]:
    # A range instead of LIKE, because it uses the index. Nothing in hex sorts after "g".
    return list(database.query(f"{sql} BETWEEN ? AND ? LIMIT {_SHOWN}", prefix, prefix + "g"))


def _pick_published(database: RoarDatabase, session: SessionRow, uids: list[str]) -> SessionRow:
    """Pick the jobs that a publish of the session had, or all of its jobs if that is unknown."""
    if not uids:
        return _pick_session(database, session)
    rows = [database.one("SELECT id FROM jobs WHERE job_uid = ?", uid) for uid in uids]
    if None in rows:
        raise UsageProblem(
            "roar.db no longer has all jobs of the lineage with this hash",
            next_step="publish what is there: `roar publish`",
        )
    database.pick(row[0] for row in rows if row is not None)
    return session


def _named(database: RoarDatabase, prefix: str) -> dict[str, tuple[SessionRow, list[str]]]:
    """Return the newest session under each local or published hash that has this prefix.

    Beside it, the jobs that were published under that hash: a target may have been only a part of the session.
    """
    named: dict[str, tuple[SessionRow, list[str]]] = {}
    with database.long_notes():
        for *columns, metadata in database.query(f"SELECT {_SESSION_COLUMNS}, metadata FROM sessions ORDER BY id DESC"):
            session = SessionRow(*columns)
            hashes, uids = published_lineage(metadata)
            if (session.hash or "").startswith(prefix):
                named.setdefault(str(session.hash), (session, []))
            elif published := [name for name in hashes if name.startswith(prefix)]:
                named.setdefault(published[0], (session, uids))
    return named


def _sessions_hashing_to(database: RoarDatabase, prefix: str, identities: Iterable[str]) -> list[SessionRow]:
    """Return the sessions whose canonical hash has this prefix. Reads and hashes every session."""
    names = tuple(identities)
    found = []
    rows = list(database.query(f"SELECT {_SESSION_COLUMNS} FROM sessions s ORDER BY id DESC"))
    for session in (SessionRow(*row) for row in rows):
        if database.one(f"SELECT 1 FROM jobs WHERE session_id = ? AND NOT {NOISE}", session.id) is None:
            continue
        _pick_session(database, session)
        if any(name.startswith(prefix) for name in _hashes(database, session, names)):
            found.append(session)
        database.execute("DELETE FROM picked")
    return found


def _hashes(database: RoarDatabase, session: SessionRow, identities: tuple[str, ...]) -> list[str]:
    """Return the canonical hashes of a session whose jobs are picked; none if it cannot be published."""
    try:
        return list(session_hashes(database, session, identities))
    except LocalProblem as problem:
        if problem.reason not in (Reason.INCOMPLETE_JOB, Reason.NOTHING_TO_PUBLISH):
            raise
        return []


def _recorded_at(database: RoarDatabase, path: str) -> str | None:
    """Return the artifact last written, else last read, at a path whose file is not on this disk."""
    for table in ("job_outputs", "job_inputs"):
        row = database.one(
            f"SELECT l.artifact_id FROM {table} l CROSS JOIN jobs j ON j.id = l.job_id WHERE l.path = ?"
            " ORDER BY j.timestamp DESC, j.id DESC",
            path,
        )
        if row is not None:
            return str(row[0])
    return None


def _steps(database: RoarDatabase, session: SessionRow) -> str:
    steps = database.query(
        "SELECT DISTINCT CASE WHEN job_type = 'build' THEN '@B' ELSE '@' END || step_number FROM jobs"
        f" WHERE session_id = ? AND NOT {NOISE} ORDER BY step_number DESC, 1 LIMIT {_SHOWN + 1}",
        session.id,
    )
    names = [shell_word(str(row[0])) for row in steps]
    return ("…, " if len(names) > _SHOWN else "") + ", ".join(reversed(names[:_SHOWN]))


def _ambiguous(target: str, what: str, matches: list[str]) -> UsageProblem:
    return UsageProblem(
        f"the target {target} matches several {what}",
        next_step=f"type more of it: {', '.join(map(shell_word, matches[:_SHOWN]))}",
    )


def _folder(target: str) -> UsageProblem:
    """Return the error for a folder, which roar records nothing of but its files."""
    return UsageProblem(
        f"the target {target} is a folder, and only files have a lineage",
        next_step=f"name a file in it, or publish its files, too: roar put {shell_word(target)} DEST -m MESSAGE",
    )


def _unknown(database: RoarDatabase, target: str) -> UsageProblem:
    """Return the error for a target that matches nothing, with similarly spelt names."""
    rows = database.query("SELECT DISTINCT path FROM job_outputs ORDER BY job_id DESC LIMIT ?", _PATHS_COMPARED)
    paths = [str(row[0]) for row in rows]
    names = {Path(path).name: path for path in paths}
    near = {names[name] for name in difflib.get_close_matches(Path(target).name, names, n=_SHOWN, cutoff=_SIMILARITY)}
    hint = (
        f"did you mean {', '.join(map(shell_word, sorted(near)))}?"
        if near
        else "type a path, a digest, `@N`, a job uid, or nothing"
    )
    return UsageProblem(
        f"the target {target} names no file, job, step, artifact or session that roar knows", next_step=hint
    )
