"""Ends the work on a publish that is published."""

from roar_publisher.publishing.errors import Differing, Unconfirmed
from roar_publisher.publishing.observer import PublishObserver
from roar_publisher.publishing.result import Result


def finish(observer: PublishObserver, result: Result, *, again: bool) -> Result:
    """Report the result and return it. again: the lineage was published before.

    Raises Unconfirmed if the registry's answers about the labels do not match what was sent, Differing if what was read
    back does not.
    """
    observer.published(result, again=again)
    debt = result.progress.unconfirmed
    if debt is not None:
        raise Unconfirmed(result.plan.id, debt)
    if result.progress.differs:
        raise Differing(result.plan.id, result.progress.differs)
    return result
