"""FINALIZE: the one flip that readers see, and what follows it."""

import re
from contextlib import suppress
from typing import Any

from roar_publisher.auth.choice import Decision
from roar_publisher.engine.run import Outcome, Run
from roar_publisher.engine.steps.after_publish import Published, finish
from roar_publisher.engine.steps.missing import session_event
from roar_publisher.engine.steps.objects import look_for_objects
from roar_publisher.engine.steps.receipts import compared, kept, mismatch, page_url
from roar_publisher.engine.steps.sessions import (
    BASE,
    CONFLICT,
    credential_rejected,
    prepared_hash,
    session_authorizer,
    staged_route,
)
from roar_publisher.glaas.caller import Refused
from roar_publisher.glaas.policy import dump
from roar_publisher.glaas.replies import Receipt
from roar_publisher.report import Noted
from roar_publisher.state.debts import What
from roar_publisher.state.errors import LocalProblem, NeedsPerson, Transient
from roar_publisher.state.machine import Event
from roar_publisher.state.record import Progress

BAD_REQUEST = 400
COUNTS_WORDS = re.compile(r"(?<![a-z])(count|expected|staged)")
"""What a 400 to finalize speaks of when the server counted differently: two of these at least, for a field that should
be something else is `expected` to be it, too."""
BEARER_WORDS = ("refresh", "bearer")
"""What a 400 to finalize speaks of when the registry has no access context of the key's owner (protocol.md §5)."""
PUBLISHED_BEFORE = "this lineage was published before; where it is public, publishing it again does not make it private"


async def finalize(run: Run) -> Outcome:
    """Close the session and finish what belongs to it.  Closing also carries out a change of scope that was prepared.

    Repeating is harmless: a closed session returns the same receipt, labels that were acknowledged are not sent again,
    marks are set as they are.  Nothing follows a receipt that contradicts what was sent (`steps.receipts`).

    Raises Rejected, Transient, Interrupted, and what storing objects raises.
    """
    progress = await run.on_disk(run.journal.progress)
    lineage_hash, url = progress.hash, progress.url
    published_before = bool(progress.published_elsewhere)
    if lineage_hash is None:
        await look_for_objects(run)
        try:
            receipt = await _close_as_known(run, progress)
        except Refused as refusal:
            outcome = await _finalize_event(run, progress, refusal)
            if outcome is None:
                _explain_old_server(refusal, progress)
                raise
            return outcome
        lineage_hash, url = await _accepted(run, progress, receipt)
        published_before = not receipt.created or await run.on_disk(_found_published, run)
        scope = _as_published(progress.scope_request, receipt)
        await run.on_disk(run.journal.remember, hash=lineage_hash, url=url, scope_request=scope)
        if scope != progress.scope_request:
            run.report(Noted(f"the registry has this lineage as {receipt.visibility}, and keeps it so"))
            published_before = False  # that is said
    if (
        published_before
        and not progress.binding_prepared
        and (progress.scope_request or {}).get("visibility") == "private"
    ):
        run.report(Noted(PUBLISHED_BEFORE))
    published = Published(lineage_hash, prepared_hash(run, progress), staged=True)
    route = staged_route(run, progress, lineage_hash=lineage_hash)
    try:
        owed = await finish(run, published, route, session_authorizer(run, progress))
    except Refused as refusal:
        return credential_rejected(run, refusal)
    if any(debt.what is What.LABELS for debt in owed["owed"]):  # which the token signs, too
        return Outcome(Event.FINALIZED, {"hash": lineage_hash, "url": url, **owed})
    with suppress(LocalProblem):  # the lineage is out; a token that stays is removed at the next look (state.sweep)
        await run.on_disk(run.paths.forget_session_token)
    return Outcome(Event.FINALIZED, {"hash": lineage_hash, "url": url, **owed})


async def _accepted(run: Run, progress: Progress, receipt: Receipt) -> tuple[str, str | None]:
    """The hash of the lineage, and its page where it may be shown.

    The receipt is kept before it is judged.  Raises Rejected where it contradicts what was sent: asking again, after
    RETRIED, gets another receipt, and that one is judged anew.
    """
    await run.on_disk(run.journal.remember, receipt=kept(receipt))
    found = compared(receipt, run.plan, progress)
    if found.faults:
        raise mismatch(found.faults)
    url, note = page_url(receipt.url, run.plan.registry, receipt.hash)
    for text in filter(None, (*found.notes, note)):
        run.report(Noted(text))
    return receipt.hash, url


def _as_published(scope: dict[str, Any] | None, receipt: Receipt) -> dict[str, Any] | None:
    """The scope that was asked for, with the visibility that the registry gave the lineage."""
    if scope is None or receipt.visibility is None:
        return scope
    return {**scope, "visibility": receipt.visibility}


def _found_published(run: Run) -> bool:
    """Whether the registry had closed the session before this publish came to finalize it."""
    return run.journal.history()[-1].event == Event.ALREADY_PUBLISHED


async def _close_as_known(run: Run, progress: Progress) -> Receipt:
    """The receipt.  A registry that knows a key, but not where its owner belongs, is shown the bearer, if there is one.

    Raises NeedsPerson where there is none (protocol.md §5, "refresh with bearer auth first"), and what `_close` raises.
    """
    unknown: Refused | None = None
    for _ in range(2):
        try:
            return await _close(run, progress)
        except Refused as refusal:
            if refusal.status != BAD_REQUEST or not all(word in refusal.what.lower() for word in BEARER_WORDS):
                raise
            unknown = refusal
        if not await run.keyring.show_bearer(run.caller):
            break
    raise NeedsPerson(
        str(unknown),
        kept="What is staged is kept.",
        next_step="sign in once as the key's owner (`roar login`), so that the registry knows your projects",
        reason="auth",
    ) from unknown


async def _close(run: Run, progress: Progress) -> Receipt:
    body = {
        "git_repo": run.plan.git_repo,
        "git_commit": run.plan.git_commit,
        "git_branch": run.plan.git_branch,
    }
    extra: dict[str, object] = {"scope_request": progress.scope_request} if progress.scope_request else {}
    anonymous = progress.credential == Decision.ANONYMOUS_SESSION
    counted = anonymous or progress.capabilities.get("finalize_expected_counts")
    if counted and not progress.binding_prepared:  # what was prepared is in another session
        extra["expected"] = {"jobs": run.plan.jobs, "inputs": run.plan.inputs, "outputs": run.plan.outputs}
    return await run.caller.call(
        "POST",
        f"{BASE}/{progress.remote_session}/finalize",
        dump(body | extra),
        expect=Receipt,
        authorize=session_authorizer(run, progress),
        takes_long=True,
    )


async def _finalize_event(run: Run, progress: Progress, refusal: Refused) -> Outcome | None:
    """The event that a refusal stands for; None where it is just a no.

    Raises Transient where the registry can't finish just now (409 to an open session), and as `session_event`.
    """
    if (refusal.status == BAD_REQUEST or refusal.status < 300) and _counts_differ(refusal):
        return Outcome(Event.COUNTS_DIFFER, {"detail": refusal.what, "reason": "counts differ"})
    if refusal.status == CONFLICT:
        raise Transient(refusal.what, reason="server finalizing") from refusal
    return await session_event(run, progress, refusal)


def _counts_differ(refusal: Refused) -> bool:
    return "staged_counts" in refusal.body or len(set(COUNTS_WORDS.findall(refusal.what.lower()))) > 1


def _explain_old_server(refusal: Refused, progress: Progress) -> None:
    """An older server knows no `owner_resolution`: name the two ways out (protocol.md §5)."""
    asked = (progress.scope_request or {}).get("owner_resolution")
    if asked and any(word in refusal.what for word in ("owner_resolution", "scope_request")):
        refusal.next_step = "roar scope use <owner>/<project>, or publish with --public"
