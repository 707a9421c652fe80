"""Leaves a publish that has not ended: records why, and tells the user how to continue."""

from roar_publisher.publishing.errors import Unfinished
from roar_publisher.state.errors import Interrupted, Owned, PublisherError
from roar_publisher.state.journal import Journal
from roar_publisher.state.machine import LIVE
from roar_publisher.state.meanings import MEANINGS, Turn
from roar_publisher.state.paths import PublishPaths, StateFolder
from roar_publisher.state.publish import OwnedPublish
from roar_publisher.state.queue import STOPPED_BY_USER
from roar_publisher.state.reasons import Reason


def park_stopped(publish: OwnedPublish) -> PublisherError:
    """Park a publish after the user stopped the command, and return the error that says how to continue.

    For stops outside the steps of a publish, which record a stop themselves. If the daemon has taken the publish in
    the meantime, it continues there, and the error says so. Repetition is harmless.
    """
    publish.release()
    error, publish_id = Interrupted(), publish.paths.id
    try:
        with OwnedPublish.open(publish.paths) as owned:
            progress = owned.journal.progress()
            if progress.state not in LIVE:
                return Interrupted(kept=f"Publish {publish_id} is {progress.state}.")
            owned.journal.park(reason=Reason.INTERRUPTED, detail=STOPPED_BY_USER)
    except Owned:
        return Unfinished(error, publish_id, by_daemon=True)
    return Unfinished(error, publish_id, published=progress.published)


def unfinished_error(error: PublisherError, paths: PublishPaths, folder: StateFolder) -> PublisherError:
    """Return the error that stopped a publish, with what is kept and what to type. Wakes a running daemon if needed."""
    if error.reason == Reason.DAMAGED_JOURNAL:
        return error  # there is no journal that `--resume` could read
    published, movable = _standing(paths)
    if published:
        error.kept = f"The lineage is published: {published}. The remaining work is kept."
    from roar_publisher.daemon.wake import wake

    waits = isinstance(error, Interrupted) or MEANINGS[error.reason].turn is Turn.USER
    return Unfinished(error, paths.id, by_daemon=not waits and wake(folder), movable=movable, published=bool(published))


def _standing(paths: PublishPaths) -> tuple[str, bool]:
    """Return where the lineage is published, if it is, and whether no registry has any of it yet."""
    try:
        with Journal(paths.journal, read_only=True) as journal:
            progress = journal.progress()
            return progress.url or progress.hash or "", not journal.may_be_at_registry()
    except PublisherError:
        return "", False
