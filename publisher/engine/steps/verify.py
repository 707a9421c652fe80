"""VERIFY: reads what is published back, and compares it with the plan: jobs, links, labels, and a put's objects.

A difference does not undo the publish. The journal keeps it, and the waiting program reports it.
"""

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

from roar_publisher.auth.choice import Decision
from roar_publisher.blocking import in_thread
from roar_publisher.engine.run import Outcome, Run
from roar_publisher.engine.steps.sessions import is_anonymous
from roar_publisher.glaas.client import Authorizer
from roar_publisher.inspection.findings import Finding, Inspection
from roar_publisher.report import Noted
from roar_publisher.state.errors import NeedsUser, Rejected, Transient
from roar_publisher.state.journal import Journal
from roar_publisher.state.machine import Event
from roar_publisher.state.paths import PublishPaths
from roar_publisher.state.record import DIFFERS, PROVEN, UNCHECKED, Progress
from roar_publisher.text import count
from roar_publisher.verification.check import Verification, verify_lineage
from roar_publisher.verification.errors import CannotCheck
from roar_publisher.verification.planned import PlannedLineage

MOST_KEPT = 20
"""Differences, and objects, that the journal keeps."""


async def verify(run: Run, progress: Progress) -> Outcome:
    """Verify what is published. Repeating reads it again; cancelling changes nothing.

    Raises Transient and Interrupted: what cannot be read now is verified by a resume.
    """
    assert progress.hash is not None
    if not progress.verify:  # `--no-verify` was given to a resume
        return Outcome(Event.VERIFIED, {"verification": {"outcome": UNCHECKED, "why": "it was given up"}})
    journal = await run.files.call(_read_only)
    try:
        planned = PlannedLineage(journal, run.plan, progress)
        found = await verify_lineage(run.client, progress.hash, _sign_in(run, progress), planned)
        inspection = await _inspect(run, journal)
    except (CannotCheck, NeedsUser, Rejected) as problem:
        if isinstance(problem.__cause__, Transient):
            raise problem.__cause__ from None
        run.report(Noted(f"what is published could not be verified: {problem.what}"))
        return Outcome(Event.VERIFIED, {"verification": {"outcome": UNCHECKED, "why": problem.what}})
    finally:
        journal.close()
    kept = _kept(found, inspection)
    if kept["outcome"] == UNCHECKED:
        run.report(Noted(f"not everything that is published could be verified: {kept['why']}"))
    return Outcome(Event.VERIFIED, {"verification": kept})


def _read_only(paths: PublishPaths) -> Journal:
    return Journal(paths.journal, read_only=True)


def _sign_in(run: Run, progress: Progress) -> Callable[[], Awaitable[Authorizer | None]]:
    async def sign_in() -> Authorizer | None:
        if is_anonymous(progress) or progress.credential is None:
            return None
        return await run.keyring.authorizer(Decision(progress.credential), run.client, progress.identity)

    return sign_in


async def _inspect(run: Run, journal: Journal) -> Inspection | None:
    """Look at the objects of a put; where no checksum of the store proves one, read it."""
    if run.plan.destination is None:
        return None
    from roar_publisher.inspection.inspector import Inspector
    from roar_publisher.inspection.subjects import put_by
    from roar_publisher.net.pace import Pace
    from roar_publisher.storage.destinations import open_readable

    open_store = partial(
        open_readable,
        connections=run.limits.uploads,
        budget=run.resources.budget,
        report=run.report,
        patience=run.resources.patience,
    )
    pace = Pace(run.limits.limit_rate) if run.limits.limit_rate else None
    subjects = await in_thread(lambda: list(put_by(journal)))
    return await Inspector(open_store, pace=pace).run(subjects)


def _kept(found: Verification, inspection: Inspection | None) -> dict[str, Any]:
    """Return what the journal keeps."""
    wrong = inspection.wrong if inspection else 0
    unread = inspection.counts[Finding.UNREADABLE] if inspection else 0
    reasons = []
    if not found.proven:
        reasons.append(f"the registry serves {count(len(found.differences) + found.omitted, 'difference')}")
    if wrong:
        reasons.append(f"{count(wrong, 'object')} missing, truncated or changed")
    if unread:
        reasons.append(f"{count(unread, 'object')} could not be read")
    outcome = DIFFERS if wrong or not found.proven else UNCHECKED if unread else PROVEN
    kept: dict[str, Any] = {"outcome": outcome, "why": ", ".join(reasons)}
    if found.differences:
        shown = found.differences[:MOST_KEPT]
        kept["differences"] = [[each.job, each.field, _short(each.ours), _short(each.theirs)] for each in shown]
    if inspection is not None and inspection.problems:
        kept["objects"] = [[each.subject.url, each.finding, each.why] for each in inspection.problems[:MOST_KEPT]]
    return kept


def _short(value: object) -> str | None:
    return None if value is None else str(value)[:200]
