"""What `roar journal cancel`, `retry` and `prune` do.  Each owns the publish while it changes it."""

import json
import shlex
import time
from collections.abc import Iterator
from dataclasses import dataclass

import click

from roar_publisher.cli.cancelling import abandon_uploads, cancel_owned
from roar_publisher.cli.display.naming import as_called
from roar_publisher.cli.display.text import count, printable, span
from roar_publisher.cli.taking import taken
from roar_publisher.state.errors import LocalProblem, Owned, UsageProblem
from roar_publisher.state.machine import ENDED, LIVE, Event, State
from roar_publisher.state.paths import PublishPaths, StateFolder
from roar_publisher.state.publish import OwnedPublish, discard_unread
from roar_publisher.state.reasons import Reason
from roar_publisher.state.record import Progress
from roar_publisher.state.survey import Summary, survey

UNFINISHED_SECONDS = 60.0
"""A folder without a finished plan is left alone for so long: its process may be about to lock it."""
DAMAGED = "damaged"


def cancel(paths: PublishPaths, folder: StateFolder, *, as_json: bool) -> None:
    """Cancel a publish; the daemon lets go of it first.  One whose journal is damaged is removed.

    Raises UsageProblem if it has ended, Owned if another terminal works on it.
    """
    try:
        with taken(paths, folder) as owned:
            text = cancel_owned(owned)
    except LocalProblem as problem:
        if problem.reason != Reason.DAMAGED_JOURNAL:
            raise
        text = f"Its journal is damaged, so it is removed{_lost_uploads(paths)}."
        discard_unread(paths)
    _say(f"Cancelled {paths.id}. {text}", as_json=as_json, event="cancelled", publish_id=paths.id)


def retry(paths: PublishPaths, folder: StateFolder, *, as_json: bool) -> None:
    """Have a publish tried again: one that has failed, one that is parked, one that waits for its next attempt.

    One that is published and owes something pays it: by the daemon where one runs, else here.  Raises UsageProblem if
    it has ended otherwise, Owned if a process works on it.
    """
    from roar_publisher.daemon.wake import wake

    with OwnedPublish.open(paths) as owned:
        progress = owned.journal.progress()
        state, owes = progress.state, any(debt.payable for debt in progress.owed)
        if state not in (*LIVE, State.FAILED) and not owes:
            raise UsageProblem(f"publish {paths.id} is {state} already", next_step="roar journal list")
        if state is State.FAILED:
            owned.journal.checkpoint(Event.RETRIED)
        owned.journal.queue.unpark()
    if wake(folder):
        command = f"roar publish --watch {paths.id}"
        text = f"The daemon {'pays what' if owes else 'tries'} {paths.id} {'owes' if owes else 'again'}: {command}"
    elif owes:
        return _pay_here(paths, as_json=as_json)
    else:
        command = f"roar publish --resume {paths.id}"
        text = f"{paths.id} may be tried again: {command}"
    _say(text, as_json=as_json, event="retried", publish_id=paths.id, next=command)


def _pay_here(paths: PublishPaths, *, as_json: bool) -> None:
    from roar_publisher.cli.publish.options import Options
    from roar_publisher.cli.publish.publishing import run

    run(Options.resuming(paths.id, as_json=as_json))


@dataclass(frozen=True, slots=True)
class _Prunable:
    """A publish that nobody needs any more, and why.

    age: seconds since it ended, or since it was begun.  progress: as the survey found it, None without a plan.
    """

    paths: PublishPaths
    status: str
    age: float
    progress: Progress | None = None


def prune(folder: StateFolder, *, older_than: float, damaged: bool, as_json: bool) -> None:
    """Remove what ended more than `older_than` seconds ago, and plans that were never finished.  Says what it removed.

    damaged: also what can't be resumed because its journal is damaged, however young, and what is published but owes
    something.  What another process owns, or
    changed meanwhile, is left alone.  A put whose store keeps an upload stays, and that is said: nothing else can name
    the upload.  What this machine does not let go of stays, too, and keeps no other from being removed.
    """
    anything = False
    for prunable in _prunable(folder, older_than, damaged=damaged):
        anything |= _prune(prunable, as_json=as_json)
    if not anything and not as_json:
        click.echo("Nothing to remove.", err=True)


def _prune(prunable: _Prunable, *, as_json: bool) -> bool:
    """Remove one, or say why it stays; False where another process has it, or had it since the survey."""
    publish_id, status = prunable.paths.id, prunable.status
    try:
        lost = _lost_uploads(prunable.paths) if status == DAMAGED else ""
        left = _remove(prunable)
    except Owned:
        return False
    except LocalProblem as problem:
        if not prunable.paths.folder.exists():  # another prune was quicker
            return False
        text, why = f"Kept {publish_id} ({status}): {printable(problem.what)}", problem.reason
        _say(text, as_json=as_json, event="kept", publish_id=publish_id, status=status, reason=why, what=problem.what)
        return True
    if left is None:
        return False
    if left:
        text = f"Kept {publish_id} ({status}): {count(left, 'upload')} could not be given up; try again when the"
        text += f" store can be reached, or forget it: rm -r {shlex.quote(str(prunable.paths.folder))}"
        _say(text, as_json=as_json, event="kept", publish_id=publish_id, status=status, uploads=left)
    else:
        text = f"Removed {publish_id} ({status}, {span(prunable.age)} ago){lost}"
        _say(text, as_json=as_json, event="removed", publish_id=publish_id, status=status)
    return True


def _lost_uploads(paths: PublishPaths) -> str:
    """What goes with a damaged journal: where its uploads are, so that nobody can give them up."""
    known = paths.uploads_known()
    return f"; {count(known, 'unfinished upload')} may stay at its store" if known else ""


def _remove(prunable: _Prunable) -> int | None:
    """Remove a publish, unless its store keeps uploads of it: returns how many; None if it changed since the survey.

    Raises Owned, and LocalProblem where its files can't be used.
    """
    if prunable.status == DAMAGED:
        discard_unread(prunable.paths)
        return 0
    with OwnedPublish.open(prunable.paths) as owned:
        progress = owned.journal.progress() if owned.journal.frozen() else None
        if progress != prunable.progress:  # retried, or planned to the end
            return None
        left = abandon_uploads(owned) if progress else 0
        if not left:
            owned.discard()
        return left


def _prunable(folder: StateFolder, older_than: float, *, damaged: bool) -> Iterator[_Prunable]:
    now = time.time()
    for found in survey(folder):
        if isinstance(found, Summary):
            age = max(0.0, now - found.progress.updated_at)  # the clock may have been set back since
            if found.progress.state in ENDED and age >= older_than and (damaged or not found.owes):
                yield _Prunable(found.paths, found.progress.state, age, found.progress)
        elif found[1].reason == Reason.NO_PLAN and ((begun := _age(found[0], now)) >= UNFINISHED_SECONDS or damaged):
            yield _Prunable(found[0], "never finished", begun)
        elif found[1].reason == Reason.DAMAGED_JOURNAL and damaged:
            yield _Prunable(found[0], DAMAGED, _age(found[0], now))


def _age(paths: PublishPaths, now: float) -> float:
    """Seconds since the folder was touched; 0 for one that just vanished."""
    try:
        return now - paths.folder.stat().st_mtime
    except OSError:
        return 0.0


def _say(text: str, *, as_json: bool, **facts: str | int) -> None:
    click.echo(as_called(json.dumps(facts) if as_json else text))
