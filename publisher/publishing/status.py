"""The status of a publish for `roar journal` and `roar daemon`: in words, as JSON, and what to type next."""

import time
from typing import Any
from urllib.parse import urlsplit

from msgspec.structs import asdict

from roar_publisher.auth.clock import clock_advice_in
from roar_publisher.exit_codes import exit_code_of
from roar_publisher.naming import as_called
from roar_publisher.publishing.remedies import REMEDIES
from roar_publisher.state.errors import LocalProblem
from roar_publisher.state.lock import owner
from roar_publisher.state.machine import State
from roar_publisher.state.meanings import MEANINGS, Turn
from roar_publisher.state.paths import PublishPaths
from roar_publisher.state.reasons import Reason
from roar_publisher.state.status import QUEUED, CountedStatus, JournalStatus, Status
from roar_publisher.storage.kinds import STORES


def explain(status: JournalStatus) -> str:
    """Return the reason of a status, with the owner and the time until which it waits."""
    if status.status is Status.RUNNING:
        owned = f"owned by {'the daemon, ' if status.by_daemon else ''}pid {status.owner}"
        return f"{owned}, {status.reason}" if status.progress.reason else owned
    until = "" if status.next_attempt is None else moment(status.next_attempt, status.host.now)
    if until and status.reason is Reason.THROTTLED:
        return f"throttled until {until}"
    return f"{status.reason}, next attempt {until}" if until and status.by_daemon else str(status.reason)


def next_step(status: CountedStatus) -> str:
    """Return the command to type next, or an empty string if nothing is left to do."""
    return as_called(_next_step(status))


def _next_step(status: CountedStatus) -> str:
    publish_id = status.plan.id
    if status.status is Status.FAILED:
        return f"roar journal retry {publish_id}"
    if status.owes and status.owner is None:
        return f"roar publish --resume {publish_id}"
    if not status.live:
        unconfirmed = status.progress.unconfirmed
        command = f"roar verify {publish_id}" if status.progress.differs else ""
        return unconfirmed.command if unconfirmed else command
    if status.owner is not None:
        return f"roar publish --watch {publish_id}"
    remedy = _remedy(status)
    if status.by_daemon and status.meaning.turn is not Turn.USER:
        return f"{remedy}; the daemon then continues" if remedy else f"roar publish --watch {publish_id}"
    resume = f"roar publish --resume {publish_id}"
    if status.reason is Reason.NEEDS_CONFIRMATION:
        resume += " --yes"  # without a terminal, there is no other way to agree
    if status.label == QUEUED and not status.by_daemon:
        resume = f"roar daemon start, or: {resume}"
    return f"{remedy}; then: {resume}" if remedy else resume


def _remedy(status: CountedStatus) -> str | None:
    """Return what the user must do before resuming, if anything."""
    destination, objects = status.plan.destination, status.objects
    storing = status.progress.state in (State.STAGE, State.FALLBACK) and objects.stored < objects.objects
    if status.reason is Reason.AUTH and storing and destination is not None:
        store = STORES.get(urlsplit(destination).scheme)
        return store.sign_in if store else None
    if status.reason is Reason.CLOCK:
        return clock_advice_in(status.progress.detail) or REMEDIES[Reason.CLOCK]
    return REMEDIES.get(status.reason)


def facts(status: CountedStatus) -> dict[str, Any]:
    """Return the facts that `roar journal list --json` and `show --json` print."""
    plan, progress = status.plan, status.progress
    done, total = status.items
    return {
        "publish_id": plan.id,
        "status": status.status,
        "state": progress.state,
        "owner": status.owner,
        "detached": status.queued.detached_at is not None,
        "parked": status.parked,
        "created_at": plan.created_at,
        "updated_at": progress.updated_at,
        "age_seconds": round(status.age, 1),
        "project": plan.project,
        "target": plan.target,
        "registry": plan.registry,
        "destination": plan.destination,
        "files": asdict(status.objects),
        "jobs": plan.jobs,
        "inputs": plan.inputs,
        "outputs": plan.outputs,
        "artifacts": plan.artifacts,
        "labels": plan.labels,
        "items": {"done": done, "total": total},
        "percent": status.percent,
        "reason": status.reason,
        "turn": status.meaning.turn,
        "detail": as_called(progress.detail),
        "attempts": status.queued.attempts,
        "next_attempt": status.next_attempt,
        "owed": [as_called(debt.text) for debt in progress.owed],
        "hash": progress.hash,
        "url": progress.url,
        "receipt": progress.receipt,
        "verification": progress.verification,
        "next": next_step(status),
    }


def more_facts(status: CountedStatus) -> dict[str, Any]:
    """Return additional facts for `show --json`: credential, git context, and units of each kind."""
    plan, progress = status.plan, status.progress
    return {
        "git": {"repo": plan.git_repo, "commit": plan.git_commit, "branch": plan.git_branch},
        "intent": plan.intent,
        "redactions": plan.redactions,
        "provisional": plan.provisional,
        "credential": progress.credential,
        "identity": progress.identity,
        "why": progress.why,
        "epoch": progress.epoch,
        "kinds": {kind.value: asdict(tally) for kind, tally in status.tally.items()},
    }


def reason_facts(status: CountedStatus) -> dict[str, Any]:
    """Return the facts that `show --why --json` prints."""
    shared = facts(status)
    return {
        "publish_id": shared["publish_id"],
        "status": shared["status"],
        "reason": shared["reason"],
        "meaning": status.meaning.text,
        "turn": shared["turn"],
        "detail": shared["detail"],
        "receipt": shared["receipt"],
        "owner": shared["owner"],
        "parked": shared["parked"],
        "attempts": shared["attempts"],
        "next_attempt": shared["next_attempt"],
        "exit_code": int(exit_code_of(status.meaning.conclusion)),
        "next": shared["next"],
    }


def unreadable_facts(paths: PublishPaths, problem: LocalProblem) -> dict[str, Any]:
    """Return the facts of `reason_facts` for a publish whose journal cannot be read."""
    found = MEANINGS[problem.reason]
    return {
        "publish_id": paths.id,
        "status": Status.UNREADABLE,
        "reason": problem.reason,
        "meaning": found.text,
        "turn": found.turn,
        "detail": as_called(problem.what),
        "receipt": None,
        "owner": owner(paths.lock),
        "parked": False,
        "attempts": 0,
        "next_attempt": None,
        "exit_code": int(exit_code_of(found.conclusion)),
        "next": as_called(problem.next_step),
    }


def moment(at: float, now: float) -> str:
    """Return a local time of day, with the date if it is not today. at, now: Unix seconds."""
    then = time.localtime(at)
    today = then[:3] == time.localtime(now)[:3]
    return time.strftime("%H:%M:%S" if today else "%Y-%m-%d %H:%M:%S", then)
