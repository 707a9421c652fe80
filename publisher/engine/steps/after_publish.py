"""The work after the lineage is published: labels, the receipt, roar.db, and the git tags of a put.

None of it undoes the publish. Work that fails now is owed: the journal keeps it, the user is shown the command that
does it, and `debts` does it later.
"""

from collections.abc import Awaitable, Iterable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path

from msgspec import Struct

from roar_publisher.auth.choice import Decision
from roar_publisher.blocking import in_thread, in_thread_while_wanted
from roar_publisher.engine.run import RECEIPTS, Run
from roar_publisher.engine.staging.delivery import describe_rejected
from roar_publisher.engine.staging.pipeline import NotTaken, Pipeline
from roar_publisher.engine.staging.reply_counts import contradiction, unaccounted_labels
from roar_publisher.engine.staging.routes import UnitRoute
from roar_publisher.engine.steps.marks import Marks, mark_labels
from roar_publisher.engine.steps.sending import report_planned
from roar_publisher.engine.steps.sessions import FORBIDDEN, UNAUTHORIZED
from roar_publisher.glaas.acceptance import NotAccepted
from roar_publisher.glaas.client import Authorizer, Refused
from roar_publisher.glaas.replies import BatchReply
from roar_publisher.lineage.git.context import describe_missing_git
from roar_publisher.report import Noted
from roar_publisher.state.debts import LABEL_SYNC, Debt, DebtKind
from roar_publisher.state.errors import LocalProblem, Rejected
from roar_publisher.state.forks import import_module
from roar_publisher.state.machine import Event, State
from roar_publisher.state.paths import PublishPaths
from roar_publisher.state.reasons import Reason
from roar_publisher.state.record import Checkpoint, Learned, Plan, Progress
from roar_publisher.state.units import Kind, Unit
from roar_publisher.tasks import together

MOST_SHOWN = 3
"""Maximum number of label batches whose refused items are reported."""


class PublishedLineage(Struct, frozen=True):
    """A lineage that readers can see.

    hash: the registry's hash.
    provisional: the hash that the client computed before it published.
    staged: whether jobs have the remote uids that follow from `provisional`; otherwise they have their local ones.
    route, authorize: where its labels are sent, and what authorizes them and the request for the receipt.
    """

    hash: str
    provisional: str
    staged: bool
    route: UnitRoute
    authorize: Authorizer


async def finish(run: Run, progress: Progress, published: PublishedLineage, marks: Marks) -> Learned:
    """Do all work that follows the publish, and return what is owed, for the journal.

    The labels are sent, the receipt is made and roar.db is marked at the same time.
    Safe to repeat: acknowledged labels are not sent again, and existing rows and tags do not change. Raises Transient
    and Interrupted while sending labels, and Refused (401, 403) once if the labels need another credential.
    """
    labels, (receipt, rows) = await together(
        partial(send_labels, run, progress, published),
        lambda: together(partial(make_receipt, run, progress, published), partial(write_rows, run, published, marks)),
    )
    if not any((labels, *rows)):
        rows = (None, await write_label_marks(run))
    debts = [*filter(None, (labels, receipt, *rows, await make_tags(run)))]
    if debts:
        run.report(Noted(describe_debts(run.plan.id, debts)))
    if run.plan.git_commit is None:
        run.report(Noted(describe_missing_git(run.plan.git_repo, run.plan.git_commit)))
    return {"owed": tuple(debts), "detail": describe_debts(run.plan.id, debts)}


def describe_debts(publish_id: str, debts: Sequence[Debt]) -> str:
    """Return what is owed and the commands that pay it; empty if nothing is owed."""
    texts = "; ".join(debt.text for debt in debts)
    resume = f"; all of it: roar publish --resume {publish_id}" if any(debt.payable for debt in debts) else ""
    return texts + resume


async def send_labels(run: Run, progress: Progress, published: PublishedLineage) -> Debt | None:
    """Send the unacknowledged labels. Return a debt if the registry refuses all or some of them.

    A batch of which it refuses some stays unacknowledged: if this process dies, or another batch fails, before the debt
    is in the journal, the batch is sent again and refused again.
    The session's credential may have expired. The first time that it is rejected, this raises Refused, so that a
    credential is chosen again. If that one is rejected too, the registry does not accept the labels.
    """
    refused: list[str | tuple[Unit, Sequence[NotAccepted]]] = []

    async def deliver(unit: Unit) -> None:
        path, body = published.route.request(unit)
        reply = await run.client.call("POST", path, body, expect=BatchReply, authorize=published.authorize)
        why: str | tuple[Unit, Sequence[NotAccepted]]
        if missing := reply.not_accepted(unit.items):
            why = unit, missing
        elif unaccounted := unaccounted_labels(reply, unit.items):
            why = f"{unaccounted} of the {unit.items} labels that were sent, and does not say why"
        elif wrong := contradiction(reply, unit):
            why = f"all labels with certainty: {wrong}"
        else:
            return
        if len(refused) < MOST_SHOWN:
            refused.append(why)
        raise NotTaken

    await report_planned(run, (Kind.LABELS,))
    try:
        await Pipeline(run, [Kind.LABELS], deliver).drain()
    except Rejected as refusal:
        unauthorized = isinstance(refusal, Refused) and refusal.status in (UNAUTHORIZED, FORBIDDEN)
        rejected = published.staged and unauthorized
        if rejected and not _rejected_before(await run.journal.history()):
            raise
        # The token is an anonymous session's only credential, so no other one can replace it.
        lost = rejected and progress.credential == Decision.ANONYMOUS_SESSION
        return Debt(DebtKind.REFUSED_LABELS if lost else DebtKind.LABELS, refusal.what, refusal.reason, LABEL_SYNC)
    if refused:
        # A description searches the whole plan, so only what is shown is described.
        texts = [why if isinstance(why, str) else await describe_rejected(run, *why) for why in refused]
        shown = f"the registry did not accept {'; '.join(texts)}"
        return Debt(DebtKind.REFUSED_LABELS, shown, Reason.RECEIPT, LABEL_SYNC)
    return None


def _rejected_before(history: Iterable[Checkpoint]) -> bool:
    """Return whether a credential was rejected after the lineage was finalized."""
    return any((row.event, row.source) == (Event.CREDENTIAL_REJECTED, State.FINALIZE) for row in history)


async def write_rows(
    run: Run, published: PublishedLineage, marks: Marks, *, record_due: bool = True
) -> tuple[Debt | None, Debt | None]:
    """Write the put's record into roar.db, then mark there what was published. Return what is owed of each.

    Labels are marked by `write_label_marks`. record_due: whether the record still has to be written.
    """
    record = await _written(run, DebtKind.RECORD, run.files.call(_record_put, run.plan)) if record_due else None
    if record is not None:
        return record, Debt(DebtKind.MARKS, "they follow the record", record.reason)
    return None, await _written(run, DebtKind.MARKS, marks.write(published.hash))


async def write_label_marks(run: Run) -> Debt | None:
    """Mark in roar.db the labels that the registry accepted. Return what is owed."""
    if not run.plan.labels:
        return None
    return await _written(run, DebtKind.MARKS, mark_labels(run))


async def _written(run: Run, what: DebtKind, write: Awaitable[None]) -> Debt | None:
    """Return what is owed if roar.db cannot be written, because it is read-only, gone or locked.

    If roar.db is gone, marks are not owed, because there is nothing to mark.
    """
    try:
        await write
    except LocalProblem as problem:
        if what is DebtKind.MARKS and problem.reason == Reason.NO_DATABASE:
            run.report(Noted(f"published; {problem.what}"))
            return None
        return Debt(what, problem.what, problem.reason)
    return None


def _record_put(paths: PublishPaths, plan: Plan) -> None:
    """Write the put job into roar.db (protocol.md §9), once. Blocking."""
    text = paths.read_put_record()
    if text is None:
        return
    from roar_publisher.planning.bundles.allowed_folders import check_database
    from roar_publisher.planning.put.record import PutRecord
    from roar_publisher.planning.put.record_writer import record_put

    check_database(plan)
    record_put(Path(plan.roar_db), PutRecord.from_json(text))
    paths.forget_put_record()


async def import_receipt_file(progress: Progress) -> None:
    """Import what makes receipts, if one will be made, in a thread: a caller waits for the registry meanwhile."""
    if progress.capabilities.get(RECEIPTS) or progress.credential == Decision.SSH:
        with suppress(ImportError, OSError):  # what is published does not depend on it; the receipt is owed
            await in_thread(import_module, "roar_publisher.engine.steps.receipt_file")


async def make_receipt(run: Run, progress: Progress, published: PublishedLineage) -> Debt | None:
    """Make the receipt if the registry or the SSH key of the publish signs it. Return what is owed.

    Safe to repeat. Raises Interrupted.
    """
    signs = published.staged and progress.capabilities.get(RECEIPTS)
    if not signs and progress.credential != Decision.SSH:
        return None
    try:
        from roar_publisher.engine.steps.receipt_file import keep_receipt  # needs cryptography
    except (ImportError, OSError) as error:  # OSError: no file can be opened now
        return Debt(DebtKind.RECEIPT, f"what makes it cannot be imported: {error}", Reason.LOCAL)
    return await keep_receipt(run, progress, published.hash, published.authorize, registry_signs=bool(signs))


async def make_tags(run: Run) -> Debt | None:
    """Make and push the tags of a put. Return what is owed if git or its remote fails."""
    if not run.plan.tags:
        return None
    from roar_publisher.planning.put.request import Tag
    from roar_publisher.planning.put.tags import TagFailure, make_tag, push_tag

    def make() -> TagFailure | None:
        root = Path(run.plan.project)
        tags = [Tag(*fields) for fields in run.plan.tags]
        return next(filter(None, (make_tag(root, tag) or push_tag(root, tag) for tag in tags)), None)

    owed = await in_thread_while_wanted(make)  # a remote may be slow, and a stop must not wait for it
    return Debt(DebtKind.TAG, owed.why, Reason.LOCAL, owed.command) if owed else None
