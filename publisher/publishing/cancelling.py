"""Cancels a publish that this process owns."""

from contextlib import suppress
from typing import TYPE_CHECKING

from roar_publisher.publishing.running import Runner
from roar_publisher.state.debts import LABEL_SYNC, Debt, DebtKind
from roar_publisher.state.errors import LocalProblem, UsageProblem
from roar_publisher.state.machine import LIVE, Event, State
from roar_publisher.state.publish import OwnedPublish
from roar_publisher.state.reasons import Reason
from roar_publisher.state.record import Progress
from roar_publisher.state.units import Kind
from roar_publisher.text import count

if TYPE_CHECKING:
    import anyio


def cancel_owned(owned: OwnedPublish, run: Runner) -> str:
    """Cancel an owned publish. Return a text that tells the user what follows. Raises UsageProblem if it has ended.

    If the registry has published it already, only the work that follows is given up. Its marks in roar.db are owed.
    """
    progress = owned.journal.progress()
    if progress.state not in LIVE:
        raise UsageProblem(
            f"publish {owned.paths.id} is already {progress.state}", next_step=f"roar journal show {owned.paths.id}"
        )
    # Before the checkpoint: after a kill, the publish can still be cancelled, and no upload is forgotten.
    left = abort_uploads(owned, run)
    owed = progress.owed or _given_up(owned, progress)
    owned.journal.checkpoint(Event.CANCELLED, reason=Reason.CANCELLED, owed=owed)
    with suppress(LocalProblem):  # already cancelled; `state.sweep` removes leftover files
        owned.paths.forget_session_token()
    with suppress(LocalProblem):
        if not progress.published:
            owned.paths.forget_put_record()
    text = _outcome(progress)
    if any(debt.payable for debt in owed):
        text += f" Its marks in roar.db are still to be written: roar publish --resume {owned.paths.id}"
    if left:
        text += f" {count(left, 'upload')} could not be aborted; `roar journal prune --all` tries again."
    return text


def _given_up(owned: OwnedPublish, progress: Progress) -> tuple[Debt, ...]:
    """Return what a publish owes whose lineage is published, and which is cancelled before the work that follows."""
    if not progress.published or progress.state is State.VERIFY:
        return ()
    why = "it was cancelled once it was published"
    labels = owned.journal.units.tally().get(Kind.LABELS)
    unsent = labels is not None and labels.acked_items < labels.items
    puts = owned.journal.plan().destination is not None
    kinds = [DebtKind.REFUSED_LABELS] * unsent + [DebtKind.RECORD] * puts + [DebtKind.MARKS]
    return tuple(
        Debt(kind, why, Reason.CANCELLED, LABEL_SYNC if kind is DebtKind.REFUSED_LABELS else "") for kind in kinds
    )


def _outcome(progress: Progress) -> str:
    """Return what is visible of a publish that was cancelled in this position."""
    if progress.state is State.VERIFY:
        return "It is published, and not verified."
    if progress.published:
        return f"It is published, and stays so: {progress.url or progress.hash}."
    if progress.reason == Reason.EXPORTED:
        return "The other machine's copy is not affected."
    if progress.state is State.FALLBACK:
        return "What an older registry received stays visible."
    if progress.state is State.FINALIZE:
        return "Nothing of it is visible, unless the registry was publishing it when it was interrupted."
    return "Nothing of it is visible."


def abort_uploads(owned: OwnedPublish, run: Runner) -> int:
    """Abort the unfinished uploads of a put. Return how many the store still keeps."""
    if owned.journal.plan().destination is None:
        return 0
    from roar_publisher.engine.staging.uploader import abandon

    async def abort(stop: "anyio.Event") -> int:
        return await abandon(owned.paths, owned.journal, owned.journal.plan())

    return run(abort)
