"""`roar journal show ID --why`: prints one reason, who acts next, and the next command. Changes nothing."""

import json
import time
from typing import Any

import click

from roar_publisher.cli.display import tables
from roar_publisher.cli.display.naming import as_called
from roar_publisher.cli.display.text import Status
from roar_publisher.cli.status import Circumstances, Standing, moment
from roar_publisher.state.errors import LocalProblem
from roar_publisher.state.lock import owner
from roar_publisher.state.paths import PublishPaths, StateFolder
from roar_publisher.state.reasons import meaning
from roar_publisher.state.survey import look


def show_why(paths: PublishPaths, folder: StateFolder, *, as_json: bool) -> None:
    """Print the reason for the status of a publish. A journal that cannot be read is also a valid answer."""
    around = Circumstances.of(folder, time.time())
    try:
        answer = _answer(Standing(look(paths), around))
    except LocalProblem as problem:
        answer = _unreadable(paths, problem)
    if as_json:
        click.echo(json.dumps(answer))
        return
    until = answer["next_attempt"]
    receipt = answer["receipt"] and json.dumps(answer["receipt"])
    shown = answer | {"next_attempt": until and moment(until, around.now), "receipt": receipt}
    names = ("reason", "meaning", "turn", "detail", "receipt", "owner", "attempts", "next_attempt", "next")
    tables.show_facts((name.replace("_", " "), str(shown[name] or "")) for name in names)


def _answer(standing: Standing) -> dict[str, Any]:
    queued = standing.summary.queued
    return {
        "publish_id": standing.summary.plan.id,
        "status": standing.status,
        "reason": standing.reason,
        "meaning": standing.meaning.text,
        "turn": standing.meaning.turn,
        "detail": as_called(standing.summary.progress.detail),
        "receipt": standing.summary.progress.receipt,
        "owner": standing.summary.owner,
        "parked": standing.parked,
        "attempts": queued.attempts,
        "next_attempt": standing.next_attempt,
        "exit_code": int(standing.meaning.code),
        "next": standing.next_step,
    }


def _unreadable(paths: PublishPaths, problem: LocalProblem) -> dict[str, Any]:
    found = meaning(problem.reason)
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
        "exit_code": int(found.code),
        "next": as_called(problem.next_step),
    }
