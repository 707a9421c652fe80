"""FALLBACK: the legacy path of an older registry, with the same units and the same journal (protocol.md §4).

Every write is visible at once, under the hash that the client computed, and nothing is finalized. A signed-in user's
credential signs each write: a registry that knows the credential records whose the lineage is.
"""

from roar_publisher.auth.choice import Decision
from roar_publisher.engine.run import LEGACY_LINKS_IN_BULK, Outcome, Run
from roar_publisher.engine.staging.pipeline import Pipeline
from roar_publisher.engine.staging.routes import LegacyRoute
from roar_publisher.engine.steps.after_publish import PublishedLineage, finish
from roar_publisher.engine.steps.auth_select import check_identity
from roar_publisher.engine.steps.marks import Marks
from roar_publisher.engine.steps.not_found import Endpoints
from roar_publisher.engine.steps.object_storage import recheck_objects, store_objects
from roar_publisher.engine.steps.receipts import mismatch, page_url
from roar_publisher.engine.steps.sending import BEFORE_LABELS, deliver_if_supported, report_planned
from roar_publisher.engine.steps.sessions import CONFLICT, FORBIDDEN, LINEAGES, UNAUTHORIZED, provisional_hash
from roar_publisher.engine.steps.unit_groups import UnitGroups
from roar_publisher.glaas.client import ANONYMOUS, Authorizer, Refused
from roar_publisher.glaas.replies import LegacySessionReply
from roar_publisher.glaas.request_dicts import LegacySessionBody
from roar_publisher.net.documents import dump
from roar_publisher.report import Noted
from roar_publisher.state.machine import Event
from roar_publisher.state.record import Progress
from roar_publisher.state.units import Unit


async def fallback(run: Run, progress: Progress) -> Outcome:
    """Register the lineage, its units and its labels. Repeating sends only what is not acknowledged.

    If the registry says that the lineage is closed, a session published it, and it is complete. Any other conflict is a
    plain refusal.

    Raises NeedsUser if the credential is rejected or now belongs to another user, Rejected, Transient and
    Interrupted.
    """
    decision = Decision(progress.credential or Decision.LEGACY)
    try:
        await check_identity(run, progress)
        return await _publish(run, progress, decision)
    except Refused as refusal:
        if refusal.status in (UNAUTHORIZED, FORBIDDEN) and decision is not Decision.LEGACY:
            raise run.keyring.rejection_error(refusal, decision) from refusal
        raise


async def _publish(run: Run, progress: Progress, decision: Decision) -> Outcome:
    lineage_hash = provisional_hash(run, progress)
    authorize: Authorizer = ANONYMOUS
    if decision is not Decision.LEGACY:
        authorize = await run.keyring.authorizer(decision, run.client, progress.identity)
    body: LegacySessionBody = {
        "hash": lineage_hash,
        "git_repo": run.plan.git_repo,
        "git_commit": run.plan.git_commit,
        "git_branch": run.plan.git_branch,
    }
    session = await run.client.call("POST", LINEAGES, dump(body), expect=LegacySessionReply, authorize=authorize)
    if session.hash not in (None, lineage_hash):
        raise mismatch((f"it registered {session.hash} instead of {lineage_hash}",))
    url, note = page_url(session.url, run.plan.registry, lineage_hash)
    if note:
        run.report(Noted(note))
    route = LegacyRoute(lineage_hash)

    async def registered() -> bool:
        return True

    endpoints = Endpoints(run, progress, registered, LEGACY_LINKS_IN_BULK)

    async def deliver(unit: Unit) -> None:
        await deliver_if_supported(run, unit, route, authorize, endpoints)

    await store_objects(run)
    await recheck_objects(run)
    await report_planned(run, BEFORE_LABELS)
    try:
        await Pipeline(run, BEFORE_LABELS, deliver, UnitGroups(run, progress, route, authorize, endpoints)).drain()
    except Refused as refusal:
        if refusal.status != CONFLICT or refusal.body.get("status") != "closed":
            raise
        run.report(Noted("this lineage was published before, in a session; it is complete and accepts no more writes"))
    published = PublishedLineage(lineage_hash, lineage_hash, staged=False, route=route, authorize=authorize)
    async with Marks(run, lineage_hash, staged=False) as marks:
        owed = await finish(run, progress, published, marks)
    return Outcome(Event.FELL_BACK, {"hash": lineage_hash, "url": url, **owed})
