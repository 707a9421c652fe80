"""FINALIZE: the one flip that readers see, then the labels, then roar.db's own marks."""

import json
import re
from pathlib import Path

from publisher.auth.choice import Decision
from publisher.glaas.caller import Authorizer, Refused
from publisher.glaas.wire import LabelsReply, Receipt
from publisher.lineage.canonical import remote_job_uid
from publisher.report import Noted
from publisher.staging.pipeline import Pipeline
from publisher.staging.requests import Route, dump
from publisher.steps.run import Outcome, Run
from publisher.steps.sessions import BASE, prepared_hash, session_authorizer, session_event, staged_route
from publisher.steps.stage import announce
from state.errors import LocalProblem
from state.machine import Event
from state.record import Progress
from state.units import Kind, Unit

COUNTS_WORDS = re.compile(r"\b(expected|counts?)\b", re.IGNORECASE)
"""What a 400 to finalize speaks of when the server counted differently."""


async def finalize(run: Run) -> Outcome:
    """Close the session and finish what belongs to it.

    Repeating is harmless: a closed session returns the same receipt, labels that were acknowledged are not sent again,
    marks are set as they are.  Raises Rejected, Transient, Interrupted.
    """
    progress = await run.on_disk(run.journal.progress)
    lineage_hash, url = progress.hash, progress.url
    if lineage_hash is None:
        try:
            receipt = await _close(run, progress)
        except Refused as refusal:
            outcome = _finalize_event(run, refusal)
            if outcome is None:
                _explain_old_server(refusal, progress)
                raise
            return outcome
        lineage_hash, url = receipt.hash, receipt.url
        await run.on_disk(run.journal.remember, hash=lineage_hash, url=url)
    route = staged_route(run, progress, lineage_hash=lineage_hash)
    detail = await send_labels(run, route, session_authorizer(run, progress))
    owed = await mark(run, lineage_hash, prepared_hash(run, progress), staged=True, labelled=not detail)
    await run.on_disk(run.paths.forget_session_token)
    return Outcome(Event.FINALIZED, {"hash": lineage_hash, "url": url, "marks_owed": owed, "detail": detail})


async def _close(run: Run, progress: Progress) -> Receipt:
    body = {
        "git_repo": run.plan.git_repo,
        "git_commit": run.plan.git_commit,
        "git_branch": run.plan.git_branch,
    }
    extra: dict[str, object] = {"scope_request": progress.scope_request} if progress.scope_request else {}
    anonymous = progress.credential == Decision.ANONYMOUS_SESSION
    if anonymous or progress.capabilities.get("finalize_expected_counts"):
        extra["expected"] = {"jobs": run.plan.jobs, "inputs": run.plan.inputs, "outputs": run.plan.outputs}
    return await run.caller.call(
        "POST",
        f"{BASE}/{progress.remote_session}/finalize",
        dump(body | extra),
        expect=Receipt,
        authorize=session_authorizer(run, progress),
    )


def _finalize_event(run: Run, refusal: Refused) -> Outcome | None:
    if refusal.status == 400 and COUNTS_WORDS.search(refusal.what):
        return Outcome(Event.COUNTS_DIFFER, {"detail": refusal.what, "reason": "counts differ"})
    outcome = session_event(run, refusal)
    return None if outcome is None or outcome.event is Event.ALREADY_PUBLISHED else outcome


def _explain_old_server(refusal: Refused, progress: Progress) -> None:
    """An older server knows no `owner_resolution`: name the two ways out (protocol.md §5)."""
    asked = (progress.scope_request or {}).get("owner_resolution")
    if asked and any(word in refusal.what for word in ("owner_resolution", "scope_request")):
        refusal.next_step = "roar scope use <owner>/<project>, or publish with --public"


async def send_labels(run: Run, route: Route, authorize: Authorizer) -> str:
    """Send the labels.  A registry that refuses them does not undo the publish; returns what to tell the person."""

    async def deliver(unit: Unit) -> None:
        path, body = route.request(unit)
        await run.caller.call("POST", path, body, expect=LabelsReply, authorize=authorize)

    await announce(run, (Kind.LABELS,))
    try:
        await Pipeline(run, [Kind.LABELS], deliver).drain()
    except Refused as refusal:
        owed = f"the labels are owed ({refusal.what}); send them with: roar label sync"
        run.report(Noted(owed))
        return owed
    return ""


async def mark(run: Run, lineage_hash: str, prepared: str, *, staged: bool, labelled: bool) -> bool:
    """Write into roar.db what was published (protocol.md §7); returns whether that is owed.

    roar's own file may be gone or locked by now; the publish is done all the same, and the person is told.
    staged: whether jobs stand under remote uids (else under their local ones).
    labelled: whether the labels were taken.
    """
    from publisher.lineage.marks import mark_published

    def write() -> None:
        locals_ = [job["job_uid"] for body in run.journal.bodies(Kind.JOBS) for job in json.loads(body)]
        digests = (
            item["digest"]
            for kind in (Kind.ARTIFACTS, Kind.COMPOSITE)
            for body in run.journal.bodies(kind)
            for artifact in json.loads(body)
            for item in artifact["hashes"]
        )
        mark_published(
            Path(run.plan.roar_db),
            session_id=run.plan.local_session,
            session_hash=lineage_hash,
            prepared_hash=prepared,
            job_uids=((uid, remote_job_uid(prepared, uid) if staged else uid) for uid in locals_),
            digests=digests,
            labels_as_of=run.plan.created_at if labelled else None,
            now=run.clock(),
        )

    try:
        await run.on_disk(write)
    except LocalProblem as problem:
        run.report(Noted(f"published, but roar.db could not be marked: {problem.what}"))
        return True
    return False
