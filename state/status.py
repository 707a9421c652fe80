"""The status of a publish, as its journal, its lock and this machine determine it at one moment.

`JournalStatus` is the cheap reading: one row of each small table. `CountedStatus` adds counts, whose cost grows with
the lineage. `state.status_reader` reads both. Everything that shows a status formats one of these.
"""

import time
from collections.abc import Callable
from enum import StrEnum

from msgspec import Struct

from roar_publisher.state.disk_space import has_room
from roar_publisher.state.lock import owner
from roar_publisher.state.machine import LIVE, State
from roar_publisher.state.meanings import MEANINGS, Meaning, Turn
from roar_publisher.state.objects import ObjectTally
from roar_publisher.state.paths import PublishPaths, StateFolder
from roar_publisher.state.queue import Queued
from roar_publisher.state.reasons import Reason, reason_of
from roar_publisher.state.record import Plan, Progress
from roar_publisher.state.units import Kind, Tally


class Status(StrEnum):
    """The status of a publish as programs read it (`roar journal list --json`)."""

    RUNNING = "running"
    INTERRUPTED = "interrupted"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"
    UNREADABLE = "unreadable"


_ENDED = {State.DONE: Status.DONE, State.FAILED: Status.FAILED, State.CANCELLED: Status.CANCELLED}
QUEUED, PARKED, STOPPED = "queued", "parked", "stopped"
"""Labels of interrupted publishes: the daemon continues them, they wait for the user, the user stopped them."""


class HostStatus(Struct, frozen=True):
    """Facts about this machine that affect all its publishes.

    now: Unix seconds. daemon: the pid of the running daemon. room: whether the disk has room.
    """

    now: float
    daemon: int | None = None
    room: bool = True

    @classmethod
    def read(cls, folder: StateFolder, *, clock: Callable[[], float] = time.time) -> "HostStatus":
        """Return the current facts. clock: Unix seconds."""
        return cls(clock(), owner(folder.daemon_lock), has_room(folder.root))


class JournalStatus(Struct, frozen=True, kw_only=True):
    """The status of one publish. owner: the pid that works on it, or None."""

    paths: PublishPaths
    plan: Plan
    progress: Progress
    queued: Queued
    owner: int | None
    host: HostStatus

    @property
    def live(self) -> bool:
        """Whether it has work left."""
        return self.progress.state in LIVE

    @property
    def owes(self) -> bool:
        """Whether it is published and still has a debt that can be paid."""
        return self.progress.state is State.DONE and any(debt.payable for debt in self.progress.owed)

    @property
    def interrupted(self) -> bool:
        """Whether it has work left and no process works on it."""
        return self.live and self.owner is None

    @property
    def parked(self) -> bool:
        """Whether it waits for the user and the daemon leaves it alone."""
        return self.interrupted and self.queued.parked

    @property
    def status(self) -> Status:
        """The status for programs."""
        ended = _ENDED.get(self.progress.state)
        if ended is not None:
            return ended
        return Status.INTERRUPTED if self.owner is None else Status.RUNNING

    @property
    def label(self) -> str:
        """The status for the user, who can tell a queued publish from a parked or stopped one."""
        if self.parked:
            return STOPPED if self.reason is Reason.INTERRUPTED else PARKED
        detached = self.queued.detached_at is not None and self.meaning.turn is not Turn.USER
        return QUEUED if self.interrupted and (detached or self.by_daemon) else self.status

    @property
    def recorded_reason(self) -> str:
        """The code by which the journal and the lock explain the status. A newer release may have written it."""
        recorded = self.progress.reason
        match self.progress.state:
            case State.DONE:
                otherwise = Reason.RECEIPT if self.progress.unconfirmed else Reason.PUBLISHED
                otherwise = Reason.DIFFERS if self.progress.differs else otherwise
                return Reason.OWED if self.owes else otherwise
            case State.CANCELLED:
                return Reason.CANCELLED
            case State.FAILED:
                return recorded or Reason.FAILED
        if recorded or self.owner is not None:
            return recorded or Reason.OWNED
        never_begun = self.progress.state is State.PROBE and self.queued.detached_at is not None
        return Reason.QUEUED if never_begun else Reason.CRASHED

    @property
    def reason(self) -> Reason:
        """Why it is not running, or that it is.

        A disk that is full now overrides the reason why it stopped before.
        """
        if self.interrupted and not self.host.room:
            return Reason.DISK_FULL
        return reason_of(self.recorded_reason, otherwise=Reason.LOCAL if self.live else Reason.FAILED)

    @property
    def meaning(self) -> Meaning:
        """The meaning of the reason. If it is parked, the user acts next, whatever the reason."""
        found = MEANINGS[self.reason]
        return Meaning(Turn.USER, found.text, found.conclusion) if self.parked else found

    @property
    def owned_by_daemon(self) -> bool:
        """Whether the daemon works on it now."""
        return self.owner is not None and self.owner == self.host.daemon

    @property
    def by_daemon(self) -> bool:
        """Whether the daemon works on it, or will do so without being asked."""
        waits_for_it = self.host.daemon is not None and self.owner is None and not self.parked
        return self.live and (self.owned_by_daemon or waits_for_it)

    @property
    def next_attempt(self) -> float | None:
        """The time in Unix seconds until which the daemon leaves it alone, or None."""
        until = self.queued.next_attempt
        return until if self.interrupted and until is not None and until > self.host.now else None

    @property
    def age(self) -> float:
        """Seconds since it was planned."""
        return max(0.0, self.host.now - self.plan.created_at)


class CountedStatus(JournalStatus, frozen=True, kw_only=True):
    """The status of one publish with the counts of its units and objects."""

    tally: dict[Kind, Tally]
    objects: ObjectTally

    @property
    def items(self) -> tuple[int, int]:
        """The number of items that the registry acknowledged, and of all items."""
        tallies = self.tally.values()
        return sum(tally.acked_items for tally in tallies), sum(tally.items for tally in tallies)

    @property
    def percent(self) -> int:
        """The acknowledged share in percent, rounded down. It is 100 only if the lineage is published.

        For a put, the bytes of its files count until all of them are stored.
        """
        if self.status is Status.DONE:
            return 100
        objects = self.objects
        if objects.stored < objects.objects:
            return min(99, 100 * objects.stored_size // objects.size) if objects.size else 0
        done, total = self.items
        return min(99, 100 * done // total) if total else 0
