"""From what a person typed to the jobs that are published (`protocol.md §7`).

Nothing: the active session, every job of it.  `@N`, `@BN`: that step and what it needs.  A path or a digest: what that
artifact needs, re-runs reduced to the latest.  A job's uid or a session's hash, or a beginning of one.  What a lineage
needs is the same everywhere: the latest producer of every input, the session's build jobs, parents and tasks.
"""

import difflib
import re
from hashlib import sha256
from pathlib import Path

from publisher.lineage.content import blake3_of
from publisher.lineage.database import Database, Row, SessionRow
from publisher.lineage.links import LinkStream
from publisher.lineage.publication import published_hashes
from publisher.lineage.selection import NOISE, TASK
from state.errors import LocalProblem, UsageProblem

_STEP = re.compile(r"@(B?)(\d{1,9})", re.IGNORECASE)
_HEX = re.compile(r"[0-9a-f]{4,64}", re.IGNORECASE)
_DIGEST_LENGTH = 64
_SESSION_PREFIX = 8
"""The shortest beginning of a session's hash that is taken for one."""
_SHOWN = 5
"""How many near misses or ambiguous matches an error lists."""
_PATHS_COMPARED = 2_000
"""How many recorded paths a misspelt one is compared with."""

_SESSION_COLUMNS = "id, hash, git_repo, metadata"
# Of several jobs that wrote an artifact the latest counts as its producer, in whichever session it ran.
_UPSTREAM = """
INSERT OR IGNORE INTO picked
WITH RECURSIVE needed(artifact) AS (
    SELECT artifact FROM wanted
    UNION
    SELECT i.artifact_id FROM needed CROSS JOIN job_inputs i ON i.job_id = (
        SELECT j.id FROM job_outputs o CROSS JOIN jobs j ON j.id = o.job_id
        WHERE o.artifact_id = needed.artifact ORDER BY j.timestamp DESC, j.id DESC LIMIT 1)
)
SELECT (SELECT j.id FROM job_outputs o CROSS JOIN jobs j ON j.id = o.job_id
        WHERE o.artifact_id = needed.artifact ORDER BY j.timestamp DESC, j.id DESC LIMIT 1) AS producer
FROM needed WHERE producer IS NOT NULL
"""
_BUILD_JOBS = """
INSERT OR IGNORE INTO picked
SELECT max(id) FROM jobs WHERE session_id = ? AND job_type = 'build' GROUP BY step_number
"""
_PARENTS = """
INSERT OR IGNORE INTO picked
WITH RECURSIVE up(uid) AS (
    SELECT parent_job_uid FROM picked CROSS JOIN jobs ON id = job WHERE parent_job_uid <> ''
    UNION
    SELECT j.parent_job_uid FROM up CROSS JOIN jobs j ON j.job_uid = up.uid WHERE j.parent_job_uid <> ''
)
SELECT id FROM up CROSS JOIN jobs ON job_uid = uid
"""
_TASKS = """
INSERT OR IGNORE INTO picked
WITH RECURSIVE down(uid, row) AS (
    SELECT job_uid, id FROM picked CROSS JOIN jobs ON id = job
    UNION
    SELECT t.uid, t.job FROM down CROSS JOIN tasks t ON t.parent = down.uid
)
SELECT row FROM down
"""


def pick_target(database: Database, target: str | None, cwd: Path) -> SessionRow:
    """Pick the jobs of a target (in the table `picked`), and return the session that their publish belongs to.

    Raises UsageProblem for a target that means nothing or several things, naming what is near; LocalProblem where
    there is no active session or it has no jobs.
    """
    session = _resolve(database, (target or "").strip(), cwd)
    if database.one("SELECT 1 FROM picked") is None:
        raise LocalProblem(
            "There is nothing to publish: the active session has no jobs.",
            next_step="Capture something with `roar run <command>` first.",
            reason="nothing to publish",
        )
    return session


def _resolve(database: Database, target: str, cwd: Path) -> SessionRow:
    if not target:
        return _pick_session(database, _active_session(database))
    step = _STEP.fullmatch(target)
    if step is not None:
        return _pick_step(database, target, int(step[2]), build=bool(step[1]))
    path = cwd / target
    if path.is_file():
        return _pick_file(database, target, path)
    if _HEX.fullmatch(target):
        session = _pick_by_hex(database, target.lower())
        if session is not None:
            return session
    artifact = _recorded_at(database, target if "://" in target else str(path.absolute()))
    if artifact is None:
        raise _unknown(database, target, cwd)
    return _pick_artifact(database, artifact)


def _active_session(database: Database) -> SessionRow:
    row = database.one(f"SELECT {_SESSION_COLUMNS} FROM sessions WHERE is_active = 1 ORDER BY id DESC")
    if row is None:
        raise LocalProblem(
            "No roar session is active.",
            next_step="Start one with `roar run <command>`, or name what to publish: a job's uid, a session's hash.",
            reason="no session",
        )
    return SessionRow(*row)


def _pick_session(database: Database, session: SessionRow) -> SessionRow:
    database.execute("INSERT OR IGNORE INTO picked SELECT id FROM jobs WHERE session_id = ?", session.id)
    _pick_relatives(database)
    return session


def _pick_step(database: Database, target: str, number: int, *, build: bool) -> SessionRow:
    session = _active_session(database)
    kind = "job_type IS 'build'" if build else "job_type IS NOT 'build'"
    step = f"SELECT id FROM jobs WHERE session_id = ? AND step_number = ? AND {kind}"
    if database.one(step, session.id, number) is None:
        raise UsageProblem(
            f"The active session has no step {target}.", next_step=f"Its steps are: {_steps(database, session)}."
        )
    _pick_needs(database, step, (session.id, number), session)
    return session


def _pick_needs(database: Database, jobs: str, parameters: tuple[object, ...], session: SessionRow) -> None:
    """Pick jobs (a statement) and what their outputs need; what their inputs need, where they have no outputs."""
    has_outputs = database.one(f"SELECT 1 FROM job_outputs WHERE job_id IN ({jobs})", *parameters)
    links = "job_outputs" if has_outputs else "job_inputs"
    database.execute(
        f"CREATE TEMP TABLE wanted AS SELECT DISTINCT artifact_id AS artifact FROM {links} WHERE job_id IN ({jobs})",
        *parameters,
    )
    if database.one("SELECT 1 FROM wanted") is not None:
        _pick_upstream(database, session)
    database.execute(f"INSERT OR IGNORE INTO picked {jobs}", *parameters)


def _pick_file(database: Database, target: str, path: Path) -> SessionRow:
    digest = blake3_of(database, path)
    row = database.one("SELECT artifact_id FROM artifact_hashes WHERE algorithm = 'blake3' AND digest = ?", digest)
    if row is None:
        raise UsageProblem(
            f"roar has not seen {target} with the content that it has now.",
            next_step="Capture it with `roar run`, or publish the session: `roar publish`.",
        )
    return _pick_artifact(database, row[0])


def _pick_artifact(database: Database, artifact: str) -> SessionRow:
    session = _active_session(database)
    database.execute("CREATE TEMP TABLE wanted AS SELECT ? AS artifact", artifact)
    _pick_upstream(database, session)
    _drop_reruns(database)
    if database.one("SELECT 1 FROM picked") is None:
        raise UsageProblem(
            "No recorded job made this artifact.", next_step="Publish the session that used it: `roar publish`."
        )
    return session


def _pick_upstream(database: Database, session: SessionRow) -> None:
    database.execute(_UPSTREAM)
    database.execute(_BUILD_JOBS, session.id)
    _pick_relatives(database)


def _pick_relatives(database: Database) -> None:
    """Parents of what is picked, and the tasks below it."""
    database.execute(_PARENTS)
    database.execute(
        "CREATE TEMP TABLE tasks AS SELECT parent_job_uid AS parent, job_uid AS uid, id AS job FROM jobs"
        f" WHERE parent_job_uid <> '' AND {TASK}"
    )
    if database.one("SELECT 1 FROM tasks") is not None:
        database.execute("CREATE INDEX temp.tasks_parent ON tasks(parent)")
        database.execute(_TASKS)


def _drop_reruns(database: Database) -> None:
    """Of picked jobs with the same inputs and outputs only the latest stays; a job without any is no re-run."""
    jobs = list(database.query("SELECT id, timestamp FROM picked CROSS JOIN jobs ON id = job ORDER BY timestamp, id"))
    database.choose(row for row, _timestamp in jobs)
    inputs, outputs = LinkStream(database.inputs()), LinkStream(database.outputs())
    latest: dict[bytes, tuple[int, float]] = {}
    dropped = []
    for seq, (row, timestamp) in enumerate(jobs):
        sides = [sorted(link.artifact for link in side.of(seq)) for side in (inputs, outputs)]
        if not any(sides):
            continue
        signature = sha256(repr(sides).encode()).digest()
        kept = latest.get(signature)
        if kept is None or timestamp > kept[1]:
            latest[signature] = (row, timestamp)
        if kept is not None:
            dropped.append(kept[0] if timestamp > kept[1] else row)
    for row in dropped:
        database.execute("DELETE FROM picked WHERE job = ?", row)


def _pick_by_hex(database: Database, target: str) -> SessionRow | None:
    """A job by its uid, an artifact by its digest, a session by its hash; None where it is none of them."""
    jobs = _beginning_with(database, "SELECT id, session_id, job_uid FROM jobs WHERE job_uid", target)
    exact = [row for row in jobs if row[2] == target]
    if len(exact or jobs) == 1:
        return _pick_job(database, *(exact or jobs)[0][:2])
    if jobs:
        raise _ambiguous(target, "jobs", [row[2] for row in jobs])
    if len(target) == _DIGEST_LENGTH:
        artifact = database.one("SELECT artifact_id FROM artifact_hashes WHERE digest = ? ORDER BY algorithm", target)
        if artifact is not None:
            return _pick_artifact(database, artifact[0])
    sessions = _sessions_named(database, target) if len(target) >= _SESSION_PREFIX else []
    if len(sessions) > 1:
        raise _ambiguous(target, "sessions", [session.hash or f"session {session.id}" for session in sessions])
    return _pick_session(database, sessions[0]) if sessions else None


def _pick_job(database: Database, job: int, session_id: int | None) -> SessionRow:
    row = database.one(f"SELECT {_SESSION_COLUMNS} FROM sessions WHERE id = ?", session_id)
    session = SessionRow(*row) if row is not None else _active_session(database)
    _pick_needs(database, "SELECT ?", (job,), session)
    return session


def _beginning_with(database: Database, sql: str, prefix: str) -> list[Row]:
    # A range instead of LIKE: it uses the index.  Nothing in hex sorts after "g".
    return list(database.query(f"{sql} BETWEEN ? AND ? LIMIT {_SHOWN}", prefix, prefix + "g"))


def _sessions_named(database: Database, prefix: str) -> list[SessionRow]:
    """The sessions whose local or published hash begins like this."""
    named = []
    for row in database.query(f"SELECT {_SESSION_COLUMNS} FROM sessions ORDER BY id DESC"):
        session = SessionRow(*row)
        if any(name.startswith(prefix) for name in (session.hash or "", *published_hashes(session.metadata))):
            named.append(session)
    return named


def _recorded_at(database: Database, path: str) -> str | None:
    """The artifact last written, else last read, at a path: for a file that is gone, or was never on this disk."""
    for table in ("job_outputs", "job_inputs"):
        row = database.one(
            f"SELECT l.artifact_id FROM {table} l CROSS JOIN jobs j ON j.id = l.job_id WHERE l.path = ?"
            " ORDER BY j.timestamp DESC, j.id DESC",
            path,
        )
        if row is not None:
            return str(row[0])
    return None


def _steps(database: Database, session: SessionRow) -> str:
    steps = database.query(
        "SELECT DISTINCT CASE WHEN job_type = 'build' THEN '@B' ELSE '@' END || step_number FROM jobs"
        f" WHERE session_id = ? AND NOT {NOISE} ORDER BY step_number LIMIT {_SHOWN + 1}",
        session.id,
    )
    names = [str(row[0]) for row in steps]
    return ", ".join(names[:_SHOWN]) + (", …" if len(names) > _SHOWN else "")


def _ambiguous(target: str, what: str, matches: list[str]) -> UsageProblem:
    return UsageProblem(
        f"{target} is the beginning of several {what}.", next_step=f"Type more of it: {', '.join(matches[:_SHOWN])}."
    )


def _unknown(database: Database, target: str, cwd: Path) -> UsageProblem:
    """The complaint about a target that names nothing, with what is spelt like it."""
    rows = database.query("SELECT DISTINCT path FROM job_outputs ORDER BY job_id DESC LIMIT ?", _PATHS_COMPARED)
    paths = [str(row[0]) for row in rows]
    names = {Path(path).name: path for path in paths} | dict(zip(paths, paths, strict=True))
    near = {names[name] for name in difflib.get_close_matches(target, names, n=_SHOWN)}
    near |= {names[name] for name in difflib.get_close_matches(str(cwd / target), paths, n=1)}
    hint = f"Did you mean {', '.join(sorted(near))}?" if near else "Type a path, a digest, `@N`, a job uid, or nothing."
    return UsageProblem(f"{target} names no file, job, step, artifact or session that roar knows.", next_step=hint)
