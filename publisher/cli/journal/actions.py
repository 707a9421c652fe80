"""Implements `roar journal cancel`, `retry` and `prune`. Each owns the publish while it changes it."""

import json
import shlex
import time
from collections.abc import Iterator

import click
from msgspec import Struct

from roar_publisher.naming import as_called
from roar_publisher.publishing.cancelling import abort_uploads
from roar_publisher.publishing.changing import cancel_publish, lost_uploads, retry_publish
from roar_publisher.publishing.running import run_here
from roar_publisher.state.errors import LocalProblem, Owned
from roar_publisher.state.machine import ENDED
from roar_publisher.state.paths import PublishPaths, StateFolder
from roar_publisher.state.publish import OwnedPublish, discard_damaged
from roar_publisher.state.reasons import Reason
from roar_publisher.state.record import Progress
from roar_publisher.state.status import JournalStatus
from roar_publisher.state.status_reader import read_all
from roar_publisher.text import count, printable, span

UNFINISHED_SECONDS = 60.0
"""How long a folder without a finished plan is left alone, because its process may be about to lock it."""
DAMAGED = "damaged"


def cancel(paths: PublishPaths, folder: StateFolder, *, as_json: bool) -> None:
    """Cancel a publish (see `cancel_publish`), and print what follows."""
    text = cancel_publish(paths, folder, run_here)
    _print(f"Cancelled {paths.id}. {text}", as_json=as_json, event="cancelled", publish_id=paths.id)


def retry(paths: PublishPaths, folder: StateFolder, *, as_json: bool) -> None:
    """Permit another attempt (see `retry_publish`), and print how it is made.

    The remaining work of a published lineage is done: in the daemon if one runs, otherwise here.
    """
    retried = retry_publish(paths, folder)
    if retried.by_daemon:
        command = f"roar publish --watch {paths.id}"
        text = f"The daemon {'completes' if retried.owes else 'retries'} {paths.id}: {command}"
    elif retried.owes:
        return _complete_here(paths, as_json=as_json)
    else:
        command = f"roar publish --resume {paths.id}"
        text = f"{paths.id} can be retried: {command}"
    _print(text, as_json=as_json, event="retried", publish_id=paths.id, next=command)


def _complete_here(paths: PublishPaths, *, as_json: bool) -> None:
    from roar_publisher.cli.publish.options import Options
    from roar_publisher.cli.publish.run import run

    run(Options(resume=paths.id, as_json=as_json))


class _Prunable(Struct, frozen=True):
    """A publish that is no longer needed.

    status: why it is no longer needed. age: seconds since it ended, or since it was begun. progress: as it was
    listed, None without a plan.
    """

    paths: PublishPaths
    status: str
    age: float
    progress: Progress | None = None


def prune(folder: StateFolder, *, older_than: float, damaged: bool, as_json: bool) -> None:
    """Remove publishes that ended more than `older_than` seconds ago, and unfinished plans. Print what was removed.

    damaged: also remove damaged journals and unfinished plans of any age, and published lineage with remaining work.
    Publishes that another process owns or has changed in the meantime are kept. A put whose store still holds an upload
    is kept with a message, because only its journal identifies the upload. A publish whose files cannot be removed is
    also kept, and does not prevent the removal of others.
    """
    anything = False
    for prunable in _prunable(folder, older_than, damaged=damaged):
        anything |= _prune(prunable, as_json=as_json)
    if not anything and not as_json:
        click.echo("Nothing to remove.", err=True)


def _prune(prunable: _Prunable, *, as_json: bool) -> bool:
    """Remove one publish, or print why it is kept.

    Return False if another process owns it, or has owned it since it was listed.
    """
    publish_id, status = prunable.paths.id, prunable.status
    try:
        lost = lost_uploads(prunable.paths) if status == DAMAGED else ""
        left = _remove(prunable)
    except Owned:
        return False
    except LocalProblem as problem:
        if not prunable.paths.folder.exists():  # another prune removed it first
            return False
        text, why = f"Kept {publish_id} ({status}): {printable(problem.what)}", problem.reason
        _print(text, as_json=as_json, event="kept", publish_id=publish_id, status=status, reason=why, what=problem.what)
        return True
    if left is None:
        return False
    if left:
        text = f"Kept {publish_id} ({status}): {count(left, 'upload')} could not be aborted; try again when the"
        text += f" store can be reached, or forget it: rm -r {shlex.quote(str(prunable.paths.folder))}"
        _print(text, as_json=as_json, event="kept", publish_id=publish_id, status=status, uploads=left)
    else:
        text = f"Removed {publish_id} ({status}, {span(prunable.age)} ago){lost}"
        _print(text, as_json=as_json, event="removed", publish_id=publish_id, status=status)
    return True


def _remove(prunable: _Prunable) -> int | None:
    """Remove a publish, unless its store still holds uploads of it.

    Return the number of those, or None if the publish has changed since it was listed. Raises Owned, and LocalProblem
    if its files cannot be used.
    """
    if prunable.status == DAMAGED:
        discard_damaged(prunable.paths)
        return 0
    with OwnedPublish.open(prunable.paths) as owned:
        progress = owned.journal.progress() if owned.journal.frozen() else None
        if progress != prunable.progress:  # retried, or its planning was finished
            return None
        left = abort_uploads(owned, run_here) if progress else 0
        if not left:
            owned.discard()
        return left


def _prunable(folder: StateFolder, older_than: float, *, damaged: bool) -> Iterator[_Prunable]:
    now = time.time()
    for found in read_all(folder):
        if isinstance(found, JournalStatus):
            age = max(0.0, now - found.progress.updated_at)  # the clock may have been set back since
            if found.progress.state in ENDED and age >= older_than and (damaged or not found.owes):
                yield _Prunable(found.paths, found.progress.state, age, found.progress)
        elif found[1].reason == Reason.NO_PLAN and ((begun := _age(found[0], now)) >= UNFINISHED_SECONDS or damaged):
            yield _Prunable(found[0], "never finished", begun)
        elif found[1].reason == Reason.DAMAGED_JOURNAL and damaged:
            yield _Prunable(found[0], DAMAGED, _age(found[0], now))


def _age(paths: PublishPaths, now: float) -> float:
    """Return the seconds since the folder was modified, or 0 if it was just removed."""
    try:
        return now - paths.folder.stat().st_mtime
    except OSError:
        return 0.0


def _print(text: str, *, as_json: bool, **facts: str | int) -> None:
    click.echo(as_called(json.dumps(facts) if as_json else text))
