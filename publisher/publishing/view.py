"""The status of a publish as the Python API shows it."""

from dataclasses import dataclass

from roar_publisher.publishing.status import facts, unreadable_facts
from roar_publisher.state.errors import LocalProblem
from roar_publisher.state.paths import PublishPaths
from roar_publisher.state.status import CountedStatus


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishStatus:
    """What the journal of a publish says at one moment.

    status: `running`, `interrupted`, `done`, `failed`, `cancelled`, or `unreadable` with the other fields empty.
    state: of the state machine. reason: the code why it does not run. detail: the same in words.
    next_step: the command to type next. percent: how much is acknowledged.
    owner: the pid that works on it. detached: it was left to the daemon. parked: it waits for the user.
    owed: what is left to do after it was published. created_at, updated_at, next_attempt: Unix seconds.
    """

    publish_id: str
    status: str
    state: str = ""
    reason: str
    detail: str
    next_step: str
    project: str = ""
    target: str | None = None
    registry: str = ""
    destination: str | None = None
    percent: int = 0
    jobs: int = 0
    inputs: int = 0
    outputs: int = 0
    owner: int | None = None
    detached: bool = False
    parked: bool = False
    created_at: float | None = None
    updated_at: float | None = None
    next_attempt: float | None = None
    owed: tuple[str, ...] = ()
    hash: str | None = None
    url: str | None = None


def view(status: CountedStatus) -> PublishStatus:
    """Return the status of a publish."""
    known = facts(status)
    same = {name: known[name] for name in PublishStatus.__dataclass_fields__ if name in known}
    return PublishStatus(**(same | {"owed": tuple(known["owed"]), "next_step": known["next"]}))


def view_unreadable(paths: PublishPaths, problem: LocalProblem) -> PublishStatus:
    """Return the status of a publish whose journal cannot be read."""
    known = unreadable_facts(paths, problem)
    same = {name: known[name] for name in ("publish_id", "status", "reason", "detail", "owner")}
    return PublishStatus(**same, next_step=known["next"])
