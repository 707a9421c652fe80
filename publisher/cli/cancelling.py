"""Cancelling a publish that this process owns."""

from contextlib import suppress

from roar_publisher.cli.display.text import count
from roar_publisher.state.errors import LocalProblem, UsageProblem
from roar_publisher.state.machine import LIVE, Event, State
from roar_publisher.state.publish import OwnedPublish
from roar_publisher.state.reasons import Reason


def cancel_owned(owned: OwnedPublish) -> str:
    """Cancel what is owned; what a person should know of that."""
    progress = owned.journal.progress()
    if progress.state not in LIVE:
        raise UsageProblem(
            f"publish {owned.paths.id} is {progress.state} already", next_step=f"roar journal show {owned.paths.id}"
        )
    left = abandon_uploads(
        owned
    )  # first: killed meanwhile, it is still there to be cancelled, and no temporary is forgotten
    owned.journal.checkpoint(Event.CANCELLED, reason="cancelled")
    with suppress(LocalProblem):  # it is cancelled all the same; what stays is removed at the next look
        owned.paths.forget_session_token()
        owned.paths.forget_put_record()
    text = "Nothing of it is visible."
    if progress.state is State.FALLBACK:
        text = "What an older registry was sent stays visible."
    if progress.reason == Reason.EXPORTED:
        text = "What the other machine does with it is not changed."
    if left:
        text += f" {count(left, 'upload')} could not be given up; `roar journal prune --all` tries again."
    return text


def abandon_uploads(owned: OwnedPublish) -> int:
    """Give up the uploads under way of a put; how many the store keeps all the same."""
    if owned.journal.plan().destination is None:
        return 0
    import anyio

    from roar_publisher.engine.staging.objects import abandon

    return anyio.run(abandon, owned.paths, owned.journal, owned.journal.plan())
