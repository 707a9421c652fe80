"""Select the jobs that are published, order them, and find their parents (`protocol.md §7`).

The order is roar's: by step, time and row, but a parent always comes before its children. A job that only ran internals
of a distributed backend (`noise`) is left out. A parent that is not part of the lineage is replaced by the nearest
earlier job that the user started.
"""

from bisect import bisect_right
from collections.abc import Sequence

from msgspec import Struct
from msgspec.structs import replace

from roar_publisher.lineage.database import RoarDatabase
from roar_publisher.state.errors import LocalProblem
from roar_publisher.state.reasons import Reason

# What roar-cli's backends record of their own internals. Rows of older releases have no role, only the command.
NOISE = (
    "(coalesce(execution_role, '') = 'noise' OR command IN ('ray_task:unknown', 'ray_task:__init__',"
    " 'ray_task:shutdown', 'ray_task:s3_proxy', 'ray_task:s3_driver_proxy', 'ray_task:RoarNodeAgent.__init__',"
    " 'ray_task:RoarNodeAgent.shutdown', 'ray_task:PlacementGroupCleaner.__init__',"
    " 'ray_task:RayTrainWorker.__init__', 'ray_task:SynchronizationActor.__init__', 'ray_task:_roar_prime_task',"
    " 'ray_task:broadcast_from_rank_zero', 'ray_task:poll_status', 'ray_task:shutdown_data_executors'))"
)
TASK = f"(coalesce(execution_role, '') IN ('task', 'phase') OR command LIKE 'ray_task:%') AND NOT {NOISE}"
_TEXTS = ("command", "git_commit", "git_branch", "job_type", "metadata")
# A column that a project declares without a type takes numbers as they are, where roar's own turns them into texts.
_WRONG_TYPE = (
    "('blob' IN (typeof(timestamp), typeof(duration_seconds), typeof(exit_code)) OR "
    + " OR ".join(f"typeof({name}) NOT IN ('text', 'null')" for name in _TEXTS)
    + ")"
)
_NUMBERS = "(timestamp, duration_seconds, exit_code)"
_INFINITE = f"(9e999 IN {_NUMBERS} OR -9e999 IN {_NUMBERS})"
JOB_TEXT_LIMITS = {"command": 1024**2, "metadata": 2 * 1024**2}
"""The most bytes of a job's texts. Registries take about 100 kB per request."""
_SUBMIT = "(coalesce(execution_role, '') = 'submit' OR command LIKE 'ray job submit%')"


class JobHead(Struct, frozen=True):
    """The few facts of a job that stay in memory.

    row: its row in roar.db.
    uid, parent_uid: local uids.
    parent: the parent's place in the order, or None.
    task: whether it is one worker's part of a distributed job.
    submit: whether it is the command that started a distributed job.
    """

    row: int
    uid: str
    parent_uid: str | None
    step: int
    timestamp: float
    build: bool
    task: bool
    submit: bool
    parent: int | None = None


def ordered_jobs(database: RoarDatabase) -> list[JobHead]:
    """Return the picked jobs without noise, parents before children.

    Raises LocalProblem if there are none, or if roar's record of a job is too incomplete or too large to publish.
    """
    heads = []
    for row, uid, parent_uid, step, timestamp, build, task, submit, wrong, infinite, *lengths in database.query(
        f"SELECT id, job_uid, nullif(trim(parent_job_uid), ''), step_number, timestamp, job_type IS 'build', {TASK},"
        f" {_SUBMIT}, {_WRONG_TYPE}, {_INFINITE}, length(CAST(command AS BLOB)), length(CAST(metadata AS BLOB))"
        f" FROM picked CROSS JOIN jobs ON id = job WHERE NOT {NOISE}"
        " ORDER BY step_number, timestamp, id"
    ):
        if not (isinstance(row, int) and isinstance(uid, str) and uid and isinstance(step, int)):
            raise _unpublishable(database, uid or row, "it has no uid or no step number")
        if wrong:
            raise _unpublishable(database, uid, "its record holds bytes, or a number where a text belongs")
        if infinite or not isinstance(timestamp, int | float):
            raise _unpublishable(database, uid, "its time, duration or exit code is not a number")
        for (text, most), length in zip(JOB_TEXT_LIMITS.items(), lengths, strict=True):
            if length and length > most:
                raise _unpublishable(database, f"{uid} (step {step})", f"its {text} has {length:,} bytes")
        heads.append(JobHead(row, uid, parent_uid, step, timestamp, bool(build), bool(task), bool(submit)))
    if not heads:
        raise LocalProblem(
            "there is nothing to publish: the session has no jobs",
            next_step="capture something with `roar run <command>` first",
            reason=Reason.NOTHING_TO_PUBLISH,
        )
    return _parents_first(_with_known_parents(heads))


def _unpublishable(database: RoarDatabase, job: object, why: str) -> LocalProblem:
    return LocalProblem(
        f"job {job} of {database.path} cannot be published: {why}",
        next_step="publish a target without it (`@N`, a path, a job uid)",
        reason=Reason.INCOMPLETE_JOB,
    )


def _with_known_parents(heads: list[JobHead]) -> list[JobHead]:
    """Return the jobs with every `parent_uid` either naming another job of the list or None."""
    known = {head.uid for head in heads} if any(head.parent_uid for head in heads) else set()
    if all(head.parent_uid in known and head.parent_uid != head.uid for head in heads if head.parent_uid):
        return heads
    candidates = [head for head in heads if not head.task and not head.build]
    candidates = candidates or [head for head in heads if not head.task]
    groups = [[head for head in candidates if head.submit], [head for head in candidates if not head.submit]]
    return [
        head
        if not head.parent_uid or (head.parent_uid in known and head.parent_uid != head.uid)
        else replace(head, parent_uid=_nearest_earlier(head, groups))
        for head in heads
    ]


def _nearest_earlier(head: JobHead, groups: Sequence[Sequence[JobHead]]) -> str | None:
    """Return the uid of the last candidate before this job, preferably one that submits.

    Each group is in order.
    """
    for group in groups:
        end = bisect_right(group, (head.step, head.timestamp), key=lambda other: (other.step, other.timestamp))
        for candidate in reversed(group[max(0, end - 2) : end]):
            if candidate.row != head.row:
                return candidate.uid
    return None


def _parents_first(heads: list[JobHead]) -> list[JobHead]:
    """Return the jobs, each after its parent, with `parent` filled in. A cycle of parents is cut where it closes."""
    if not any(head.parent_uid for head in heads):
        return heads
    by_uid = {head.uid: head for head in heads}
    place: dict[str, int] = {}
    ordered: list[JobHead] = []
    for head in heads:
        chain: list[JobHead] = []
        waiting: set[str] = set()
        current: JobHead | None = head
        while current is not None and current.uid not in place and current.uid not in waiting:
            chain.append(current)
            waiting.add(current.uid)
            current = by_uid[current.parent_uid] if current.parent_uid else None
        for link in reversed(chain):
            parent = place.get(link.parent_uid) if link.parent_uid else None
            place[link.uid] = len(ordered)
            ordered.append(replace(link, parent=parent, parent_uid=link.parent_uid if parent is not None else None))
    return ordered
