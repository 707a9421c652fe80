"""How a publish stands, for `roar journal`: a status, a reason, whose turn it is, and what to type next."""

import time
from dataclasses import asdict, dataclass
from typing import Any
from urllib.parse import urlsplit

from roar_publisher.auth.clock import advice_in
from roar_publisher.cli.display.naming import as_called
from roar_publisher.cli.display.text import Status
from roar_publisher.cli.display.words import REMEDIES, STORE_SIGN_IN
from roar_publisher.state.lock import owner
from roar_publisher.state.machine import State
from roar_publisher.state.paths import StateFolder
from roar_publisher.state.reasons import Meaning, Reason, Turn, meaning
from roar_publisher.state.room import has_room
from roar_publisher.state.survey import Summary

DOCUMENTED = frozenset(reason.value for reason in Reason)
QUEUED, PARKED, STOPPED = "queued", "parked", "stopped"
_ENDED = {State.DONE: Status.DONE, State.FAILED: Status.FAILED, State.CANCELLED: Status.CANCELLED}


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a publish stands in.  now: Unix seconds.  daemon: the pid of the one that runs.  room: on the disk."""

    now: float
    daemon: int | None = None
    room: bool = True

    @classmethod
    def of(cls, folder: StateFolder, now: float) -> "Surroundings":
        """As they are now."""
        return cls(now, owner(folder.daemon_lock), has_room(folder.root))


@dataclass(frozen=True, slots=True)
class Standing:
    """One publish, as it stands in its surroundings."""

    summary: Summary
    around: Surroundings

    @property
    def status(self) -> Status:
        """What a person calls its state."""
        ended = _ENDED.get(self.summary.progress.state)
        if ended is not None:
            return ended
        return Status.INTERRUPTED if self.summary.owner is None else Status.RUNNING

    @property
    def word(self) -> str:
        """The status as a table says it: what nobody works on may be stopped by a person, queued, or parked."""
        if self.parked:
            return STOPPED if self.reason == Reason.INTERRUPTED else PARKED
        left_to_it = self.summary.queued.detached_at is not None and self.meaning.turn is not Turn.PERSON
        return QUEUED if self.summary.interrupted and (left_to_it or self.by_daemon) else self.status

    @property
    def reason(self) -> str:
        """Why it is not under way, or that it is: one of the codes of `state.reasons`.

        A disk without room is a fact of now, whatever stopped the publish before.
        """
        if self.summary.interrupted and not self.around.room:
            return Reason.DISK_FULL
        code = self.summary.reason
        if code in DOCUMENTED:
            return code
        return Reason.LOCAL if self.summary.live else Reason.FAILED

    @property
    def meaning(self) -> Meaning:
        """What the reason means.  What is parked is a person's turn, whatever the reason."""
        found = meaning(self.reason)
        return Meaning(Turn.PERSON, found.text, found.code) if self.parked else found

    @property
    def parked(self) -> bool:
        """Whether it waits for a person, and the daemon leaves it alone."""
        return self.summary.interrupted and self.summary.queued.parked

    @property
    def by_daemon(self) -> bool:
        """Whether the daemon works on it, or takes it without being asked."""
        if self.around.daemon is None or not self.summary.live:
            return False
        return self.summary.owner == self.around.daemon or (self.summary.owner is None and not self.parked)

    @property
    def next_attempt(self) -> float | None:
        """Unix seconds until which the daemon leaves it alone; None where it does not."""
        until = self.summary.queued.next_attempt
        waits = self.summary.interrupted and until is not None and until > self.around.now
        return until if waits else None

    @property
    def age(self) -> float:
        """Seconds since it was planned."""
        return max(0.0, self.around.now - self.summary.plan.created_at)

    @property
    def items(self) -> tuple[int, int]:
        """Items that the registry acknowledged, and all of them."""
        tallies = self.summary.tally.values()
        return sum(tally.acked_items for tally in tallies), sum(tally.items for tally in tallies)

    @property
    def percent(self) -> int:
        """How much is acknowledged, rounded down; 100 only where it is published.

        Of a put, the bytes of its files count until all of them are stored.
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
        """The reason in words: with who owns it, and until when it waits."""
        if self.status is Status.RUNNING:
            owned = f"owned by {'the daemon, ' if self.by_daemon else ''}pid {self.summary.owner}"
            return f"{owned}, {self.reason}" if self.summary.progress.reason else owned
        until = "" if self.next_attempt is None else moment(self.next_attempt, self.around.now)
        if until and self.reason == Reason.THROTTLED:
            return f"throttled until {until}"
        return f"{self.reason}, next attempt {until}" if until and self.by_daemon else str(self.reason)

    @property
    def next_step(self) -> str:
        """The command to type next; empty where nothing is left to do."""
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
            return f"{remedy}; the daemon goes on then" if remedy else f"roar publish --watch {publish_id}"
        resume = f"roar publish --resume {publish_id}"
        if self.word == QUEUED:
            resume = f"roar daemon start, or: {resume}"
        return f"{remedy}; then: {resume}" if remedy else resume

    @property
    def _remedy(self) -> str | None:
        """What to do first, if anything."""
        plan, objects = self.summary.plan, self.summary.objects
        storing = self.summary.progress.state in (State.STAGE, State.FALLBACK) and objects.stored < objects.objects
        if self.reason == Reason.AUTH and storing and plan.destination is not None:
            return STORE_SIGN_IN.get(urlsplit(plan.destination).scheme)
        if self.reason == Reason.CLOCK:
            return advice_in(self.summary.progress.detail) or REMEDIES[Reason.CLOCK]
        return REMEDIES.get(self.reason)

    def facts(self) -> dict[str, Any]:
        """One publish as `roar journal list --json` and `show --json` tell it."""
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
        """What only `show --json` tells: the credential, the git context and the units of each kind."""
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
    """A time of day here, with its date where that is not today's.  at, now: Unix seconds."""
    then = time.localtime(at)
    today = then[:3] == time.localtime(now)[:3]
    return time.strftime("%H:%M:%S" if today else "%Y-%m-%d %H:%M:%S", then)
