"""Cancels a publish, or permits another attempt. Each owns the publish while it changes it."""

from msgspec import Struct

from roar_publisher.publishing.cancelling import cancel_owned
from roar_publisher.publishing.ownership import take_over
from roar_publisher.publishing.running import Runner
from roar_publisher.state.errors import LocalProblem, UsageProblem
from roar_publisher.state.machine import LIVE, Event, State
from roar_publisher.state.paths import PublishPaths, StateFolder
from roar_publisher.state.publish import OwnedPublish, discard_damaged
from roar_publisher.state.reasons import Reason
from roar_publisher.text import count


def cancel_publish(paths: PublishPaths, folder: StateFolder, run: Runner) -> str:
    """Cancel a publish; the daemon releases it first. If its journal is damaged, remove it.

    Return a text that tells the user what follows. Raises UsageProblem if it has ended, Owned if another process works
    on it.
    """
    try:
        with take_over(paths, folder) as owned:
            return cancel_owned(owned, run)
    except LocalProblem as problem:
        if problem.reason != Reason.DAMAGED_JOURNAL:
            raise
        text = f"Its journal is damaged, so it is removed{lost_uploads(paths)}."
        discard_damaged(paths)
        return text


class Retry(Struct, frozen=True):
    """What follows after another attempt was permitted.

    owes: the lineage is published, and there is only a debt left. by_daemon: a daemon runs, and continues it.
    """

    owes: bool
    by_daemon: bool


def retry_publish(paths: PublishPaths, folder: StateFolder) -> Retry:
    """Permit another attempt of a publish that has failed, is parked, or waits for its next attempt.

    Wakes the daemon. Raises UsageProblem if it has ended otherwise, Owned if a process works on it.
    """
    from roar_publisher.daemon.wake import wake

    with OwnedPublish.open(paths) as owned:
        progress = owned.journal.progress()
        state, owes = progress.state, any(debt.payable for debt in progress.owed)
        if state not in (*LIVE, State.FAILED) and not owes:
            raise UsageProblem(f"publish {paths.id} is already {state}", next_step="roar journal list")
        if state is State.FAILED:
            owned.journal.checkpoint(Event.RETRIED)
        owned.journal.queue.unpark()
    return Retry(owes, by_daemon=wake(folder))


def lost_uploads(paths: PublishPaths) -> str:
    """Return a text about the uploads that can no longer be aborted, because the damaged journal identified them."""
    known = paths.count_uploads()
    return f"; {count(known, 'unfinished upload')} may remain at its store" if known else ""
