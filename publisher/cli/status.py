"""The status of a publish for `roar journal`: a status word, a reason, who acts next, and the next command."""

import time
from dataclasses import asdict, dataclass
from typing import Any
from urllib.parse import urlsplit

from roar_publisher.auth.rejection import clock_advice_in
from roar_publisher.cli.display.naming import as_called
from roar_publisher.cli.display.text import Status
from roar_publisher.cli.display.words import REMEDIES
from roar_publisher.state.lock import owner
from roar_publisher.state.machine import State
from roar_publisher.state.paths import StateFolder
from roar_publisher.state.reasons import Meaning, Reason, Turn, meaning
from roar_publisher.state.room import has_room
from roar_publisher.state.survey import Summary
from roar_publisher.storage.kinds import STORES

DOCUMENTED = frozenset(reason.value for reason in Reason)
QUEUED, PARKED, STOPPED = "queued", "parked", "stopped"
_ENDED = {State.DONE: Status.DONE, State.FAILED: Status.FAILED, State.CANCELLED: Status.CANCELLED}


@dataclass(frozen=True, slots=True)
class Circumstances:
    """Facts about this machine that affect a publish.

    now: Unix seconds. daemon: the pid of the running daemon. room: whether the disk has room.
    """

    now: float
    daemon: int | None = None
    room: bool = True

    @classmethod
    def of(cls, folder: StateFolder, now: float) -> "Circumstances":
        """Return the current facts."""
        return cls(now, owner(folder.daemon_lock), has_room(folder.root))


@dataclass(frozen=True, slots=True)
class Standing:
    """The status of one publish, given its surroundings."""

    summary: Summary
    around: Circumstances

    @property
    def status(self) -> Status:
        """The status as shown to the user."""
        ended = _ENDED.get(self.summary.progress.state)
        if ended is not None:
            return ended
        return Status.INTERRUPTED if self.summary.owner is None else Status.RUNNING

    @property
    def word(self) -> str:
        """The status as shown in tables.

        A publish that no process works on may be stopped by the user, queued, or parked.
        """
        if self.parked:
            return STOPPED if self.reason == Reason.INTERRUPTED else PARKED
        left_to_it = self.summary.queued.detached_at is not None and self.meaning.turn is not Turn.PERSON
        return QUEUED if self.summary.interrupted and (left_to_it or self.by_daemon) else self.status

    @property
    def reason(self) -> str:
        """Why the publish is not active, or that it is: one of the codes of `state.reasons`.

        A full disk is checked now, and overrides the reason why the publish stopped before.
        """
        if self.summary.interrupted and not self.around.room:
            return Reason.DISK_FULL
        code = self.summary.reason
        if code in DOCUMENTED:
            return code
        return Reason.LOCAL if self.summary.live else Reason.FAILED

    @property
    def meaning(self) -> Meaning:
        """The meaning of the reason. If the publish is parked, the user acts next, whatever the reason."""
        found = meaning(self.reason)
        return Meaning(Turn.PERSON, found.text, found.code) if self.parked else found

    @property
    def parked(self) -> bool:
        """Whether the publish waits for the user and the daemon leaves it alone."""
        return self.summary.interrupted and self.summary.queued.parked

    @property
    def by_daemon(self) -> bool:
        """Whether the daemon works on it, or will take it without being asked."""
        if self.around.daemon is None or not self.summary.live:
            return False
        return self.summary.owner == self.around.daemon or (self.summary.owner is None and not self.parked)

    @property
    def next_attempt(self) -> float | None:
        """The time in Unix seconds until which the daemon leaves it alone, or None."""
        until = self.summary.queued.next_attempt
        waits = self.summary.interrupted and until is not None and until > self.around.now
        return until if waits else None

    @property
    def age(self) -> float:
        """Seconds since it was planned."""
        return max(0.0, self.around.now - self.summary.plan.created_at)

    @property
    def items(self) -> tuple[int, int]:
        """The number of items that the registry acknowledged, and of all items."""
        tallies = self.summary.tally.values()
        return sum(tally.acked_items for tally in tallies), sum(tally.items for tally in tallies)

    @property
    def percent(self) -> int:
        """The acknowledged share in percent, rounded down. It is 100 only if the lineage is published.

        For a put, the bytes of its files count until all of them are stored.
        """
        if self.status is Status.DONE:
            return 100
        objects = self.summary.objects
        if objects.stored < objects.objects:
            return min(99, 100 * objects.stored_size // objects.size) if objects.size else 0
        done, total = self.items
        return min(99, 100 * done // total) if total else 0

    @property
    def why(self) -> str:
        """The reason in words, with the owner and the time until which it waits."""
        if self.status is Status.RUNNING:
            owned = f"owned by {'the daemon, ' if self.by_daemon else ''}pid {self.summary.owner}"
            return f"{owned}, {self.reason}" if self.summary.progress.reason else owned
        until = "" if self.next_attempt is None else moment(self.next_attempt, self.around.now)
        if until and self.reason == Reason.THROTTLED:
            return f"throttled until {until}"
        return f"{self.reason}, next attempt {until}" if until and self.by_daemon else str(self.reason)

    @property
    def next_step(self) -> str:
        """The command to type next, or an empty string if nothing is left to do."""
        return as_called(self._next_step)

    @property
    def _next_step(self) -> str:
        publish_id = self.summary.plan.id
        if self.status is Status.FAILED:
            return f"roar journal retry {publish_id}"
        if self.summary.owes and self.summary.owner is None:
            return f"roar publish --resume {publish_id}"
        if not self.summary.live:
            unconfirmed = self.summary.progress.unconfirmed
            return unconfirmed.command if unconfirmed else ""
        if self.summary.owner is not None:
            return f"roar publish --watch {publish_id}"
        remedy = self._remedy
        if self.by_daemon and self.meaning.turn is not Turn.PERSON:
            return f"{remedy}; the daemon then continues" if remedy else f"roar publish --watch {publish_id}"
        resume = f"roar publish --resume {publish_id}"
        if self.word == QUEUED:
            resume = f"roar daemon start, or: {resume}"
        return f"{remedy}; then: {resume}" if remedy else resume

    @property
    def _remedy(self) -> str | None:
        """What the user must do before resuming, if anything."""
        plan, objects = self.summary.plan, self.summary.objects
        storing = self.summary.progress.state in (State.STAGE, State.FALLBACK) and objects.stored < objects.objects
        if self.reason == Reason.AUTH and storing and plan.destination is not None:
            store = STORES.get(urlsplit(plan.destination).scheme)
            return store.sign_in if store else None
        if self.reason == Reason.CLOCK:
            return clock_advice_in(self.summary.progress.detail) or REMEDIES[Reason.CLOCK]
        return REMEDIES.get(self.reason)

    def facts(self) -> dict[str, Any]:
        """Return the facts that `roar journal list --json` and `show --json` print."""
        plan, progress = self.summary.plan, self.summary.progress
        done, total = self.items
        return {
            "publish_id": plan.id,
            "status": self.status,
            "state": progress.state,
            "owner": self.summary.owner,
            "detached": self.summary.queued.detached_at is not None,
            "parked": self.parked,
            "created_at": plan.created_at,
            "updated_at": progress.updated_at,
            "age_seconds": round(self.age, 1),
            "project": plan.project,
            "target": plan.target,
            "registry": plan.registry,
            "destination": plan.destination,
            "files": asdict(self.summary.objects),
            "jobs": plan.jobs,
            "inputs": plan.inputs,
            "outputs": plan.outputs,
            "artifacts": plan.artifacts,
            "labels": plan.labels,
            "items": {"done": done, "total": total},
            "percent": self.percent,
            "reason": self.reason,
            "turn": self.meaning.turn,
            "detail": as_called(progress.detail),
            "attempts": self.summary.queued.attempts,
            "next_attempt": self.next_attempt,
            "owed": [as_called(debt.text) for debt in progress.owed],
            "hash": progress.hash,
            "url": progress.url,
            "receipt": progress.receipt,
            "next": self.next_step,
        }

    def more_facts(self) -> dict[str, Any]:
        """Return additional facts for `show --json`: credential, git context, and units of each kind."""
        plan, progress = self.summary.plan, self.summary.progress
        return {
            "git": {"repo": plan.git_repo, "commit": plan.git_commit, "branch": plan.git_branch},
            "intent": plan.intent,
            "redactions": plan.redactions,
            "provisional": plan.provisional,
            "credential": progress.credential,
            "identity": progress.identity,
            "why": progress.why,
            "epoch": progress.epoch,
            "kinds": {kind.value: asdict(tally) for kind, tally in self.summary.tally.items()},
        }


def moment(at: float, now: float) -> str:
    """Return a local time of day, with the date if it is not today. at, now: Unix seconds."""
    then = time.localtime(at)
    today = then[:3] == time.localtime(now)[:3]
    return time.strftime("%H:%M:%S" if today else "%Y-%m-%d %H:%M:%S", then)
