"""Pick the jobs that a lineage needs, in SQL: producers of its inputs, build jobs, parents, tasks.

The jobs are collected in the temporary table `picked`.
"""

from hashlib import sha256

from roar_publisher.lineage.database import RoarDatabase
from roar_publisher.lineage.rows import LinkStream, SessionRow
from roar_publisher.lineage.selection import TASK

# If several jobs wrote an artifact, the latest is its producer, in any session.
_PRODUCER = """(
    SELECT j.id FROM job_outputs o CROSS JOIN jobs j ON j.id = o.job_id
    WHERE o.artifact_id = needed.artifact ORDER BY j.timestamp DESC, j.id DESC LIMIT 1
)"""
_UPSTREAM = f"""
INSERT OR IGNORE INTO picked
WITH RECURSIVE needed(artifact) AS (
    SELECT * FROM ({{wanted}})
    UNION
    SELECT i.artifact_id FROM needed CROSS JOIN job_inputs i ON i.job_id = {_PRODUCER}
)
SELECT {_PRODUCER} AS producer
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


def pick_needs(database: RoarDatabase, jobs_sql: str, parameters: tuple[object, ...], session: SessionRow) -> None:
    """Pick the jobs of a statement and what their outputs need, or what their inputs need if they have no outputs."""
    has_outputs = database.one(f"SELECT 1 FROM job_outputs WHERE job_id IN ({jobs_sql})", *parameters)
    links = "job_outputs" if has_outputs else "job_inputs"
    artifacts_sql = f"SELECT DISTINCT artifact_id FROM {links} WHERE job_id IN ({jobs_sql})"
    if database.one(artifacts_sql, *parameters) is not None:
        pick_upstream(database, artifacts_sql, parameters, session)
    database.execute(f"INSERT OR IGNORE INTO picked {jobs_sql}", *parameters)


def pick_upstream(
    database: RoarDatabase, artifacts_sql: str, parameters: tuple[object, ...], session: SessionRow
) -> None:
    """Pick the jobs that produced the artifacts of a statement, and the session's build jobs."""
    database.execute(_UPSTREAM.format(wanted=artifacts_sql), *parameters)
    database.execute(_BUILD_JOBS, session.id)
    pick_relatives(database)


def pick_relatives(database: RoarDatabase) -> None:
    """Pick the parents of what is picked, and the tasks below it."""
    database.execute(_PARENTS)
    database.execute("DROP TABLE IF EXISTS temp.tasks")
    database.execute(
        "CREATE TEMP TABLE tasks AS SELECT parent_job_uid AS parent, job_uid AS uid, id AS job FROM jobs"
        f" WHERE parent_job_uid <> '' AND {TASK}"
    )
    if database.one("SELECT 1 FROM tasks") is not None:
        database.execute("CREATE INDEX temp.tasks_parent ON tasks(parent)")
        database.execute(_TASKS)


def drop_reruns(database: RoarDatabase) -> None:
    """Keep only the latest of picked jobs with equal inputs and outputs. A job without any is not a re-run."""
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
        later = kept is None or timestamp != kept[1]  # they are in the order of their times
        if later:
            latest[signature] = (row, timestamp)
        if kept is not None:
            dropped.append(kept[0] if later else row)
    for row in dropped:
        database.execute("DELETE FROM picked WHERE job = ?", row)
