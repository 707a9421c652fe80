"""STAGE: sends every unacknowledged unit into the session."""

from contextlib import suppress

import anyio

from roar_publisher.engine.run import LINKS_IN_BULK, Outcome, Run
from roar_publisher.engine.staging.pipeline import Pipeline
from roar_publisher.engine.steps.not_found import Endpoints, session_event, session_exists
from roar_publisher.engine.steps.object_storage import store_objects
from roar_publisher.engine.steps.open import request_session
from roar_publisher.engine.steps.receipts import check_published_hash
from roar_publisher.engine.steps.sending import BEFORE_LABELS, deliver_if_supported, report_planned
from roar_publisher.engine.steps.sessions import CONFLICT, session_authorizer, staged_route
from roar_publisher.engine.steps.unit_groups import UnitGroups
from roar_publisher.glaas.client import Refused
from roar_publisher.glaas.replies import BatchReply
from roar_publisher.report import Noted
from roar_publisher.state.errors import Rejected, Transient
from roar_publisher.state.machine import Event
from roar_publisher.state.reasons import Reason
from roar_publisher.state.record import Progress
from roar_publisher.state.units import Kind, Unit


class _PublishedElsewhere(Exception):
    """The registry has these jobs in a published lineage, so only the other job batches are still sent."""


async def stage(run: Run, progress: Progress) -> Outcome:
    """Store the objects, then send the units of the plan.

    Repeating sends only what is not acknowledged. Cancellation keeps every acknowledgement.

    If all jobs are in one published lineage of this user, nothing is staged (protocol.md §4), and nothing is finalized
    unless the registry has prepared a change of scope. If only some are, the lineage cannot be published, because a job
    belongs to one lineage.

    Raises Rejected, Transient, Interrupted, and what storing objects raises.
    """
    await store_objects(run)
    route, authorize = staged_route(run, progress), await session_authorizer(run, progress)
    elsewhere = progress.published_elsewhere  # a hash; "" once a job was new; None while unknown
    prepared = progress.binding_prepared
    endpoints = Endpoints(run, progress, lambda: session_exists(run, progress), LINKS_IN_BULK)

    async def deliver(unit: Unit) -> None:
        if elsewhere and unit.kind is not Kind.JOBS:
            raise _PublishedElsewhere
        reply = await deliver_if_supported(run, unit, route, authorize, endpoints)
        if unit.kind is Kind.JOBS and reply is not None:
            await note_jobs(reply)

    async def note_jobs(reply: BatchReply) -> None:
        nonlocal elsewhere, prepared
        found = _published_in(reply)
        if elsewhere is not None and found != elsewhere:
            raise _overlap()
        if elsewhere is None:
            if found and (note := check_published_hash(found, run.plan, progress)):
                run.report(Noted(note))
            elsewhere = found
            groups.enabled = not found
            with anyio.CancelScope(shield=True):  # the next batch's reply may end this drain, and relies on it
                await run.journal.remember(published_elsewhere=found)
        if found and reply.existing_binding_prepared and not prepared:
            prepared = True
            with anyio.CancelScope(shield=True):
                await run.journal.remember(binding_prepared=True)

    groups = UnitGroups(run, progress, route, authorize, endpoints, note_jobs)
    await report_planned(run, BEFORE_LABELS)
    try:
        if not elsewhere:
            with suppress(_PublishedElsewhere):
                await Pipeline(run, BEFORE_LABELS, deliver, groups).drain()
        if elsewhere:
            await Pipeline(run, [Kind.JOBS], deliver).drain()
    except Refused as refusal:
        if refusal.status == CONFLICT:
            return await _conflict(run, progress, refusal)
        outcome = await session_event(run, progress, refusal)
        if outcome is None:
            raise
        return outcome
    if elsewhere and not prepared:
        return Outcome(Event.ALREADY_PUBLISHED, {"hash": elsewhere})
    return Outcome(Event.STAGED, {})


async def _conflict(run: Run, progress: Progress, refusal: Refused) -> Outcome:
    """Return the event for a 409: another process finalized the session, if the registry says that it is closed.

    Raises Transient otherwise, because an open session must not be finalized before everything is staged.
    """
    with suppress(Refused):  # the next run meets the same refusal
        if (await request_session(run, progress)).status == "closed":
            return Outcome(Event.ALREADY_PUBLISHED, {"detail": refusal.what})
    raise Transient(refusal.what, reason=Reason.SERVER_FAILING) from refusal


def _published_in(reply: BatchReply) -> str:
    """Return the one published lineage that has every job of a batch, or "" if there is none."""
    hashes = set(filter(None, reply.already_registered_session_hashes))
    if not hashes:
        return ""
    if len(hashes) > 1 or reply.created_count or reply.existing_count:
        raise _overlap()
    return hashes.pop()


def _overlap() -> Rejected:
    return Rejected(
        "some of these jobs already belong to another published lineage, and a job can belong to only one",
        kept="The other lineage is not changed.",
        next_step="publish a target whose jobs are all new, or start a fresh session with: roar reset",
        reason=Reason.OVERLAP,
    )
