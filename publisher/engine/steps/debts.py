"""Pays what a published lineage still owes: labels, the receipt, the record and marks in roar.db, git tags."""

from contextlib import suppress

from roar_publisher.auth.choice import Decision
from roar_publisher.engine.run import Run
from roar_publisher.engine.staging.routes import LegacyRoute
from roar_publisher.engine.steps.after_publish import (
    PublishedLineage,
    describe_debts,
    make_receipt,
    make_tags,
    send_labels,
    write_label_marks,
    write_rows,
)
from roar_publisher.engine.steps.auth_select import check_identity
from roar_publisher.engine.steps.marks import Marks
from roar_publisher.engine.steps.sessions import (
    FORBIDDEN,
    UNAUTHORIZED,
    provisional_hash,
    session_authorizer,
    staged_route,
)
from roar_publisher.glaas.client import ANONYMOUS, Authorizer, Refused
from roar_publisher.state.debts import LABEL_SYNC, Debt, DebtKind
from roar_publisher.state.errors import Interrupted, LocalProblem, PublisherError
from roar_publisher.state.machine import Event
from roar_publisher.state.meanings import MEANINGS, Turn
from roar_publisher.state.record import Progress

AFFECTS_MARKS = frozenset({DebtKind.LABELS, DebtKind.RECORD, DebtKind.MARKS})
"""Debts whose payment requires setting the marks in roar.db again: marks say which labels and jobs are published."""


async def pay(run: Run, progress: Progress) -> Progress:
    """Pay the payable debts and return the progress of the publish.

    Safe to repeat. If something is still owed, the journal notes it, and this raises LocalProblem (resumable). Raises
    Interrupted if the process is asked to stop.
    """
    due = {debt.what for debt in progress.owed if debt.payable}
    left = [debt for debt in progress.owed if not debt.payable]
    published = await _published(run, progress)
    if DebtKind.LABELS in due:
        left += filter(None, [await _labels(run, progress, published)])
    if DebtKind.RECEIPT in due:
        left += filter(None, [await _receipt(run, progress, published)])
    if due & AFFECTS_MARKS:
        labelled = not any(debt.what in (DebtKind.LABELS, DebtKind.REFUSED_LABELS) for debt in left)
        async with Marks(run, published.provisional, staged=published.staged) as marks:
            rows = await write_rows(run, published, marks, record_due=DebtKind.RECORD in due)
        if labelled and not any(rows):
            rows = (None, await write_label_marks(run))
        left += filter(None, rows)
    if DebtKind.TAG in due:
        left += filter(None, [await make_tags(run)])
    await run.journal.remember(owed=tuple(left), reason="", detail=describe_debts(run.plan.id, left))
    if not any(debt.what is DebtKind.LABELS for debt in left):  # labels need the session's token, so keep it
        with suppress(LocalProblem):  # nothing is owed for it; `state.sweep` removes a leftover token later
            await run.files.forget_session_token()
    if any(debt.payable for debt in left):
        raise _still_owed(run.plan.id, left)
    return await run.journal.progress()


async def _published(run: Run, progress: Progress) -> PublishedLineage:
    """Return the published lineage, with the route that it was published on."""
    lineage_hash = progress.hash or ""
    history = await run.journal.history()
    authorize: Authorizer = ANONYMOUS
    if any(row.event == Event.FELL_BACK for row in history):
        decision = Decision(progress.credential or Decision.LEGACY)
        if decision is not Decision.LEGACY:
            authorize = await run.keyring.authorizer(decision, run.client, progress.identity)
        legacy = LegacyRoute(lineage_hash)
        return PublishedLineage(lineage_hash, lineage_hash, staged=False, route=legacy, authorize=authorize)
    route = staged_route(run, progress, lineage_hash=lineage_hash)
    authorize = await session_authorizer(run, progress)
    provisional = provisional_hash(run, progress)
    return PublishedLineage(lineage_hash, provisional, staged=True, route=route, authorize=authorize)


async def _labels(run: Run, progress: Progress, published: PublishedLineage) -> Debt | None:
    """Send the labels as the identity that published. Return what is owed if that fails again."""
    decision = Decision(progress.credential or Decision.ANONYMOUS_SESSION)
    try:
        await check_identity(run, progress)
        return await send_labels(run, progress, published)
    except Refused as refusal:
        dead_token = decision is Decision.ANONYMOUS_SESSION and refusal.status in (UNAUTHORIZED, FORBIDDEN)
        return Debt(
            DebtKind.REFUSED_LABELS if dead_token else DebtKind.LABELS, refusal.what, refusal.reason, LABEL_SYNC
        )
    except Interrupted:
        raise
    except PublisherError as error:
        return Debt(DebtKind.LABELS, error.what, error.reason, LABEL_SYNC)


async def _receipt(run: Run, progress: Progress, published: PublishedLineage) -> Debt | None:
    """Make the receipt as the identity that published. Return what is owed if that fails again."""
    try:
        await check_identity(run, progress)
        return await make_receipt(run, progress, published)
    except Interrupted:
        raise
    except PublisherError as error:
        return Debt(DebtKind.RECEIPT, error.what, error.reason)


def _still_owed(publish_id: str, left: list[Debt]) -> LocalProblem:
    """Return the error for what is still owed. The daemon may continue as long as one debt does not need the user."""
    payable = sorted((debt for debt in left if debt.payable), key=lambda debt: MEANINGS[debt.reason].turn is Turn.USER)
    other = next((f"; or: {debt.command}" for debt in payable if debt.command), "")
    return LocalProblem(
        f"the lineage is published, but {'; '.join(debt.text for debt in left)}",
        kept="The publication itself is complete.",
        next_step=f"correct that, then: roar publish --resume {publish_id}{other}",
        reason=payable[0].reason,
        resumable=True,
    )
