"""How a publish stands, for `roar journal`: a status, an age, a share done and what to type next."""

from dataclasses import asdict, dataclass
from typing import Any

from publisher.cli.text import Status
from state.machine import State
from state.survey import Summary

_ENDED = {State.DONE: Status.DONE, State.FAILED: Status.FAILED, State.CANCELLED: Status.CANCELLED}


@dataclass(frozen=True, slots=True)
class Standing:
    """One publish, seen at `now` (Unix seconds)."""

    summary: Summary
    now: float

    @property
    def status(self) -> Status:
        """What a person calls its state."""
        ended = _ENDED.get(self.summary.progress.state)
        if ended is not None:
            return ended
        return Status.INTERRUPTED if self.summary.owner is None else Status.RUNNING

    @property
    def age(self) -> float:
        """Seconds since it was planned."""
        return max(0.0, self.now - self.summary.plan.created_at)

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
    def next_step(self) -> str:
        """The command to type next; empty where nothing is left to do."""
        publish_id = self.summary.plan.id
        match self.status:
            case Status.INTERRUPTED:
                return f"roar publish --resume {publish_id}"
            case Status.FAILED:
                return f"roar journal retry {publish_id}"
            case _:
                return ""

    def facts(self) -> dict[str, Any]:
        """One publish as `roar journal list --json` and `show --json` tell it."""
        plan, progress = self.summary.plan, self.summary.progress
        done, total = self.items
        return {
            "publish_id": plan.id,
            "status": self.status,
            "state": progress.state,
            "owner": self.summary.owner,
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
            "reason": progress.reason,
            "detail": progress.detail,
            "hash": progress.hash,
            "url": progress.url,
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
            "marks_owed": progress.marks_owed,
            "kinds": {kind.value: asdict(tally) for kind, tally in self.summary.tally.items()},
        }
