"""FINALIZE: makes the lineage visible to readers, then does the work that follows."""

import re
from contextlib import suppress
from functools import partial
from typing import Any

from roar_publisher.auth.choice import Decision
from roar_publisher.engine.run import EXPECTED_COUNTS, Outcome, Run
from roar_publisher.engine.steps.after_publish import PublishedLineage, finish, import_receipt_file
from roar_publisher.engine.steps.marks import Marks
from roar_publisher.engine.steps.not_found import session_event
from roar_publisher.engine.steps.object_storage import recheck_objects
from roar_publisher.engine.steps.receipts import compare_receipt, mismatch, page_url, shortened
from roar_publisher.engine.steps.sessions import (
    BASE,
    CONFLICT,
    LINEAGES,
    credential_rejected,
    is_anonymous,
    provisional_hash,
    session_authorizer,
    staged_route,
)
from roar_publisher.glaas.client import ANONYMOUS, Refused
from roar_publisher.glaas.replies import LineageReply, Receipt
from roar_publisher.glaas.request_dicts import FinalizeBody
from roar_publisher.net.documents import dump
from roar_publisher.report import Noted
from roar_publisher.state.debts import DebtKind
from roar_publisher.state.errors import LocalProblem, NeedsUser, Rejected, Transient
from roar_publisher.state.machine import Event
from roar_publisher.state.reasons import Reason
from roar_publisher.state.record import Progress
from roar_publisher.tasks import background

BAD_REQUEST = 400
COUNTS_WORDS = re.compile(r"(?<![a-z])(count|expected|staged)")
"""Words in a 400 reply to finalize about different counts. Two of them must occur, because `expected` alone also
appears in messages about invalid fields."""
BEARER_WORDS = ("refresh", "bearer")
"""Words in a 400 reply to finalize about a missing access context of the key's owner (protocol.md §5)."""
PUBLISHED_BEFORE = "this lineage was published before; where it is public, publishing it again does not make it private"


async def finalize(run: Run, progress: Progress) -> Outcome:
    """Close the session and finish what belongs to it. Closing also carries out a prepared change of scope.

    Safe to repeat: a closed session returns the same receipt, acknowledged labels are not sent again, and existing
    marks do not change. Nothing follows a receipt that contradicts what was sent (`steps.receipts`).

    Raises Rejected, Transient, Interrupted, NeedsUser if the registry has to learn first what the owner of the SSH key
    may access, and what storing objects raises.
    """
    async with Marks(run, provisional_hash(run, progress), staged=True) as marks:
        return await _finalize(run, progress, marks)


async def _finalize(run: Run, progress: Progress, marks: Marks) -> Outcome:
    lineage_hash, url = progress.hash, progress.url
    published_before = bool(progress.published_elsewhere)
    if lineage_hash is None:
        await recheck_objects(run)
        try:
            async with background(partial(import_receipt_file, progress), marks.collect_early):
                receipt = await _close_with_access_context(run, progress)
        except Refused as refusal:
            outcome = await _finalize_event(run, progress, refusal)
            if outcome is None:
                _explain_old_registry(refusal, progress)
                raise
            return outcome
        lineage_hash, url = await _judged(run, progress, receipt)
        closed_before = (await run.journal.history())[-1].event == Event.ALREADY_PUBLISHED
        published_before = not receipt.created or closed_before
        scope = _actual_scope(progress.scope_request, receipt)
        await run.journal.remember(receipt=shortened(receipt), hash=lineage_hash, url=url, scope_request=scope)
        if scope != progress.scope_request:
            run.report(Noted(f"the registry already has this lineage as {receipt.visibility}, which does not change"))
            published_before = False  # the note above says so already
    elif published_before and progress.receipt is None:
        url = await _ask_about(run, progress, lineage_hash)
    if (
        published_before
        and not progress.binding_prepared
        and (progress.scope_request or {}).get("visibility") == "private"
    ):
        run.report(Noted(PUBLISHED_BEFORE))
    route = staged_route(run, progress, lineage_hash=lineage_hash)
    try:
        published = PublishedLineage(
            lineage_hash,
            provisional_hash(run, progress),
            staged=True,
            route=route,
            authorize=await session_authorizer(run, progress),
        )
        owed = await finish(run, progress, published, marks)
    except Refused as refusal:
        return credential_rejected(run, refusal)
    if any(debt.what is DebtKind.LABELS for debt in owed["owed"]):  # labels need the session's token, so keep it
        return Outcome(Event.FINALIZED, {"hash": lineage_hash, "url": url, **owed})
    with suppress(LocalProblem):  # the lineage is published; `state.sweep` removes a leftover token later
        await run.files.forget_session_token()
    return Outcome(Event.FINALIZED, {"hash": lineage_hash, "url": url, **owed})


async def _judged(run: Run, progress: Progress, receipt: Receipt) -> tuple[str, str | None]:
    """Return the hash of the lineage, and its page if it may be shown.

    Raises Rejected if the receipt contradicts what was sent, and keeps it in the journal. Asking again, after RETRIED,
    gets another receipt, which is judged again.
    """
    found = compare_receipt(receipt, run.plan, progress)
    if found.faults:
        await run.journal.remember(receipt=shortened(receipt))
        raise mismatch(found.faults)
    url, note = page_url(receipt.url, run.plan.registry, receipt.hash)
    for text in filter(None, (*found.notes, note)):
        run.report(Noted(text))
    return receipt.hash, url


async def _ask_about(run: Run, progress: Progress, lineage_hash: str) -> str | None:
    """Ask where a lineage is shown that was published before, and as what. Return its page if it may be shown.

    The lineage is published whatever the answer, so without one the page and the visibility stay unknown.
    """
    authorize = ANONYMOUS if is_anonymous(progress) else await session_authorizer(run, progress)
    try:
        known = await run.client.call(
            "GET", f"{LINEAGES}/{lineage_hash}?limit=1", expect=LineageReply, authorize=authorize
        )
    except (Rejected, Transient) as error:
        run.report(Noted(f"the registry has this lineage already, but does not say where it is shown: {error.what}"))
        return None
    url, note = page_url(known.url, run.plan.registry, lineage_hash)
    if note:
        run.report(Noted(note))
    await run.journal.remember(receipt={"hash": lineage_hash, "visibility": known.visibility}, url=url)
    return url


def _actual_scope(scope: dict[str, Any] | None, receipt: Receipt) -> dict[str, Any] | None:
    """Return the requested scope with the visibility that the registry gave the lineage.

    A public lineage without a scope gets one if the registry has it as private.
    """
    if receipt.visibility is None or (scope is None and receipt.visibility != "private"):
        return scope
    return {**(scope or {}), "visibility": receipt.visibility}


async def _close_with_access_context(run: Run, progress: Progress) -> Receipt:
    """Close the session and return the receipt.

    If the registry lacks the access context of a key's owner, send the bearer and try again. Raises NeedsUser if
    there is no bearer (protocol.md §5, "refresh with bearer auth first"), and what `_close` raises.
    """
    answer = await _close_unless_unknown(run, progress)
    if isinstance(answer, Refused) and await run.keyring.send_access_context(run.client):
        answer = await _close_unless_unknown(run, progress)
    if not isinstance(answer, Refused):
        return answer
    raise NeedsUser(
        str(answer),
        kept="What is staged is kept.",
        next_step="sign in once as the key's owner (`roar login`), so that the registry knows your projects",
        reason=Reason.AUTH,
    ) from answer


async def _close_unless_unknown(run: Run, progress: Progress) -> Receipt | Refused:
    """Close the session. Return the refusal if the registry lacks the access context of the key's owner."""
    try:
        return await _close(run, progress)
    except Refused as refusal:
        if refusal.status != BAD_REQUEST or not all(word in refusal.what.lower() for word in BEARER_WORDS):
            raise
        return refusal


async def _close(run: Run, progress: Progress) -> Receipt:
    body: FinalizeBody = {
        "git_repo": run.plan.git_repo,
        "git_commit": run.plan.git_commit,
        "git_branch": run.plan.git_branch,
    }
    if progress.scope_request:
        body["scope_request"] = progress.scope_request
    anonymous = progress.credential == Decision.ANONYMOUS_SESSION
    counted = anonymous or progress.capabilities.get(EXPECTED_COUNTS)
    if counted and not progress.binding_prepared:  # a prepared lineage is in another session
        body["expected"] = {"jobs": run.plan.jobs, "inputs": run.plan.inputs, "outputs": run.plan.outputs}
    return await run.client.call(
        "POST",
        f"{BASE}/{progress.remote_session}/finalize",
        dump(body),
        expect=Receipt,
        authorize=await session_authorizer(run, progress),
        takes_long=True,
    )


async def _finalize_event(run: Run, progress: Progress, refusal: Refused) -> Outcome | None:
    """Return the event for a refusal, or None if it is a plain refusal.

    Raises Transient if the registry cannot finish now (409 to an open session), and as `session_event`.
    """
    if (refusal.status == BAD_REQUEST or refusal.status < 300) and _is_about_counts(refusal):
        return Outcome(Event.COUNTS_DIFFER, {"detail": refusal.what, "reason": Reason.COUNTS_DIFFER})
    if refusal.status == CONFLICT:
        raise Transient(refusal.what, reason=Reason.SERVER_FINALIZING) from refusal
    return await session_event(run, progress, refusal)


def _is_about_counts(refusal: Refused) -> bool:
    return "staged_counts" in refusal.body or len(set(COUNTS_WORDS.findall(refusal.what.lower()))) > 1


def _explain_old_registry(refusal: Refused, progress: Progress) -> None:
    """Name the two remedies if an older registry does not know `owner_resolution` (protocol.md §5)."""
    asked = (progress.scope_request or {}).get("owner_resolution")
    if asked and any(word in refusal.what for word in ("owner_resolution", "scope_request")):
        refusal.next_step = "roar scope use <owner>/<project>, or publish with --public"
