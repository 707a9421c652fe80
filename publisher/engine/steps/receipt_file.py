"""Makes the receipt of a published lineage: a file that stands on its own (docs/receipts.md).

The registry signs the statement if it can, and the publisher with the SSH key that signs the publish, if one does.
Without either there is no receipt: an unsigned statement proves nothing, and what the registry replied to finalize is
in the journal.
"""

import json
from collections.abc import Sequence

from roar_publisher.auth.choice import Decision
from roar_publisher.engine.run import Run
from roar_publisher.engine.steps.sessions import LINEAGES, is_anonymous
from roar_publisher.glaas.client import ANONYMOUS, Authorizer, Refused
from roar_publisher.glaas.envelope import (
    RECEIPT_NAMESPACE,
    InvalidReceipt,
    ReceiptEnvelope,
    ReceiptSignature,
    key_blob,
)
from roar_publisher.glaas.protocol import ANONYMOUS_IDENTITY
from roar_publisher.glaas.receipt_replies import ReceiptReply
from roar_publisher.glaas.signature import fingerprint
from roar_publisher.lineage.statement import (
    DEFAULT_ALGORITHM,
    PublishedFacts,
    Statement,
    compose,
    listed,
    may_be_listed,
    read_statement,
    time_text,
)
from roar_publisher.net.address import origin
from roar_publisher.report import Noted
from roar_publisher.state.debts import Debt, DebtKind
from roar_publisher.state.errors import Interrupted, LocalProblem, PublisherError
from roar_publisher.state.journal import Journal
from roar_publisher.state.machine import State
from roar_publisher.state.record import Checkpoint, Progress
from roar_publisher.state.units import Kind


async def keep_receipt(
    run: Run, progress: Progress, lineage_hash: str, authorize: Authorizer, *, registry_signs: bool
) -> Debt | None:
    """Make the receipt and store its file, unless it is there. Return what is owed if that fails now.

    registry_signs: whether the registry computed the hash and signs receipts.
    Safe to repeat: the statement is the same each time, and a file that is there is not replaced. Raises Interrupted.
    """
    try:
        if await run.files.has_receipt(lineage_hash):
            return None
        envelope = None
        if registry_signs:
            envelope = await _signed_by_registry(run, progress, lineage_hash, authorize)
        if progress.credential == Decision.SSH:
            envelope = envelope or ReceiptEnvelope(await _own_statement(run, progress, lineage_hash))
            signer = await run.keyring.signer()
            blob = await signer.sshsig(envelope.signed_bytes, RECEIPT_NAMESPACE)
            envelope = envelope.signed_also(ReceiptSignature(signer.keyid, blob))
        if envelope is not None:
            await run.files.write_receipt(lineage_hash, envelope.as_bytes())
    except Interrupted:
        raise
    except PublisherError as error:
        return Debt(DebtKind.RECEIPT, error.what, error.reason)
    return None


async def _signed_by_registry(
    run: Run, progress: Progress, lineage_hash: str, authorize: Authorizer
) -> ReceiptEnvelope | None:
    """Return what the registry signed; None, with a note, if it is not what was published. Pins its first key."""
    path = f"{LINEAGES}/{lineage_hash}/receipt"
    try:
        who = ANONYMOUS if is_anonymous(progress) else authorize
        reply = await run.client.call("GET", path, expect=ReceiptReply, authorize=who)
        envelope = ReceiptEnvelope.of_document(reply.envelope)
        envelope.require_only_signature(reply.key)
        _check_statement(run, progress, lineage_hash, read_statement(envelope.payload))
    except (Refused, InvalidReceipt) as error:
        run.report(Noted(f"the registry's receipt is not used: {error}"))
        return None
    await _meet_key(run, reply.key)
    return envelope


async def _meet_key(run: Run, key: str) -> None:
    """Pin the key if it is the registry's first one. Note if it is another one, or if it cannot be pinned."""
    registry, known = origin(run.plan.registry), run.keyring.receipt_keys
    try:
        believed = await run.resources.run_blocking(known.meet, registry, key, run.clock())
    except LocalProblem as problem:
        run.report(Noted(f"the key with which the registry signs receipts is not remembered: {problem.what}"))
        return
    if not believed:
        run.report(
            Noted(
                f"the registry signs receipts with a different key than before, {fingerprint(key_blob(key))}; if its "
                f"operator has changed it: roar registry trust {registry} --receipt-keys"
            )
        )


def _check_statement(run: Run, progress: Progress, lineage_hash: str, statement: Statement) -> None:
    """Raise InvalidReceipt if the statement contradicts what was sent."""
    facts, plan = statement.facts, run.plan
    if facts.hash != lineage_hash:
        raise InvalidReceipt("it is that of another lineage")
    if facts.registry != origin(plan.registry):
        raise InvalidReceipt(f"it names another registry, {facts.registry}")
    if plan.published.get(facts.publisher, lineage_hash) != lineage_hash:
        raise InvalidReceipt(f"it names another publisher, {facts.publisher}")
    counts = (facts.jobs, facts.inputs, facts.outputs)
    if not progress.published_elsewhere and counts != (plan.jobs, plan.inputs, plan.outputs):
        raise InvalidReceipt("its counts are not those of what was sent")


async def _own_statement(run: Run, progress: Progress, lineage_hash: str) -> bytes:
    """Return the statement of what was sent, for the publisher alone to sign."""
    plan = run.plan
    facts = PublishedFacts(
        hash=lineage_hash,
        publisher=progress.identity or ANONYMOUS_IDENTITY,
        registry=origin(plan.registry),
        published_at=time_text(_sent_at(await run.journal.history())),
        git_repo=plan.git_repo,
        git_commit=plan.git_commit,
        git_branch=plan.git_branch,
        jobs=plan.jobs,
        inputs=plan.inputs,
        outputs=plan.outputs,
    )
    return await run.journal.call(_statement_of_plan, facts)


def _sent_at(history: Sequence[Checkpoint]) -> float:
    """Return when everything had been sent.

    It stays the same when the receipt is made again, also if FINALIZE is entered again because a credential of the
    labels was rejected.
    """
    sent_at: float | None = None
    for row in history:
        if row.target == State.STAGE:
            sent_at = None
        elif sent_at is None and row.target in (State.FINALIZE, State.FALLBACK):
            sent_at = row.at
    assert sent_at is not None, "a published lineage has been finalized"
    return sent_at


def _statement_of_plan(journal: Journal, facts: PublishedFacts) -> bytes:
    """Compose the statement from the journal. Blocking."""
    from roar_publisher.verification.planned import plan_into
    from roar_publisher.verification.texts import SortedJobs

    texts: list[str] | None = None
    if may_be_listed(facts):
        with SortedJobs() as jobs:
            plan_into(journal, jobs)
            texts = listed(job.text for job in jobs.sorted())
    algorithms: dict[str, str] = {}
    if texts is not None:
        for kind in (Kind.ARTIFACTS, Kind.COMPOSITE):
            for body in journal.units.bodies(kind):
                named = (each for artifact in json.loads(body) for each in artifact["hashes"])
                algorithms |= {each["digest"]: each["algorithm"] for each in named}
    return compose(facts, texts, lambda digest: algorithms.get(digest, DEFAULT_ALGORITHM))
