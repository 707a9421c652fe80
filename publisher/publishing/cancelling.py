"""Cancels a publish that this process owns."""

from contextlib import suppress
from typing import TYPE_CHECKING

from roar_publisher.publishing.running import Runner
from roar_publisher.state.errors import LocalProblem, UsageProblem
from roar_publisher.state.machine import LIVE, Event, State
from roar_publisher.state.publish import OwnedPublish
from roar_publisher.state.reasons import Reason
from roar_publisher.text import count

if TYPE_CHECKING:
    import anyio


def cancel_owned(owned: OwnedPublish, run: Runner) -> str:
    """Cancel an owned publish. Return a text that tells the user what follows. Raises UsageProblem if it has ended."""
    progress = owned.journal.progress()
    if progress.state not in LIVE:
        raise UsageProblem(
            f"publish {owned.paths.id} is already {progress.state}", next_step=f"roar journal show {owned.paths.id}"
        )
    # Before the checkpoint: after a kill, the publish can still be cancelled, and no upload is forgotten.
    left = abort_uploads(owned, run)
    owned.journal.checkpoint(Event.CANCELLED, reason=Reason.CANCELLED)
    with suppress(LocalProblem):  # already cancelled; leftover files are removed later
        owned.paths.forget_session_token()
        owned.paths.forget_put_record()
    text = "Nothing of it is visible."
    if progress.state is State.VERIFY:
        text = "It is published, and not verified."
    if progress.state is State.FALLBACK:
        text = "What an older registry received stays visible."
    if progress.reason == Reason.EXPORTED:
        text = "The other machine's copy is not affected."
    if left:
        text += f" {count(left, 'upload')} could not be aborted; `roar journal prune --all` tries again."
    return text


def abort_uploads(owned: OwnedPublish, run: Runner) -> int:
    """Abort the unfinished uploads of a put. Return how many the store still keeps."""
    if owned.journal.plan().destination is None:
        return 0
    from roar_publisher.engine.staging.uploader import abandon

    async def abort(stop: "anyio.Event") -> int:
        return await abandon(owned.paths, owned.journal, owned.journal.plan())

    return run(abort)
