"""A person stopped the command outside of the steps of a publish, which note a stop by themselves."""

from roar_publisher.cli.failure import Unfinished
from roar_publisher.state.errors import Interrupted, Owned, PublisherError
from roar_publisher.state.machine import LIVE
from roar_publisher.state.publish import OwnedPublish
from roar_publisher.state.queue import STOPPED_BY_PERSON
from roar_publisher.state.reasons import Reason


def stopped(publish: OwnedPublish) -> PublisherError:
    """Park a publish that exists by now, so that it waits for this person; returns the error that says how to go on.

    A publish that the daemon has taken meanwhile goes on there, and the error says so.  Repeating is harmless.
    """
    publish.give_up()
    error, publish_id = Interrupted("stopped on request"), publish.paths.id
    try:
        with OwnedPublish.open(publish.paths) as owned:
            state = owned.journal.progress().state
            if state not in LIVE:
                return Interrupted(error.what, kept=f"Publish {publish_id} is {state}.")
            owned.journal.queue.park(reason=Reason.INTERRUPTED, detail=STOPPED_BY_PERSON)
    except Owned:
        return Unfinished(error, publish_id, by_daemon=True)
    return Unfinished(error, publish_id)
