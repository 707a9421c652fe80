"""AUTH_SELECT: chooses the credential, the identity and the route, and ensures that the identity stays the same."""

import re
from collections.abc import Iterator
from contextlib import contextmanager

from roar_publisher.auth.authorizers import base_path
from roar_publisher.auth.decide import (
    Capabilities,
    Choice,
    Decision,
    Flag,
    Key,
    Mode,
    Probe,
    RepoScope,
    decide,
    lineage_names_owner,
    requests_anonymity,
)
from roar_publisher.auth.identity import is_key_identity, requires_bearer
from roar_publisher.engine.run import ANONYMOUS_SESSIONS, SERVER_HASH, Outcome, Run, Step
from roar_publisher.engine.steps.sessions import UNAUTHORIZED, credential_rejected
from roar_publisher.glaas.client import Refused
from roar_publisher.glaas.protocol import ANONYMOUS_IDENTITY, API_ROOT
from roar_publisher.glaas.replies import AnyReply
from roar_publisher.report import Noted
from roar_publisher.state.errors import LocalProblem, NeedsUser, PublisherError, sentence
from roar_publisher.state.machine import Event
from roar_publisher.state.reasons import Reason
from roar_publisher.state.record import Learned, Progress

AUTH_PROBE = f"{API_ROOT}/sessions?limit=1"
_BROKEN_SIGNATURE = re.compile(r"\bsignature\b.*\b(this request|match|matches|mismatch)\b", re.IGNORECASE)
"""A 401 about the signature of another request: the key may be valid. A mere "invalid signature" does not match,
because a registry may answer it to an unknown key, too."""
_OTHER_HOST = re.compile(r"\bsignature was made for\b", re.IGNORECASE)
"""A 401 about the host that the signature names (`glaas.signature`): the key may be valid."""


async def auth_select(run: Run, progress: Progress) -> Outcome:
    """Choose the credential by the table of protocol.md §5.

    Raises NeedsUser if the table stops, if the user does not confirm an anonymous publish, if the plan names a
    user whose credential is missing, or if the identity is not one that the plan was made for or not the one that this
    publish started with. The identity never changes silently.
    """
    with _says_if_published(progress):
        return await _select(run, progress)


def require_same_identity(step: Step) -> Step:
    """Wrap `step` so that it only runs as the identity that AUTH_SELECT chose.

    Another process may find another credential in the same place, and neither a key nor `ROAR_ACCESS_TOKEN` says whose
    it is. Therefore the registry is asked once per process. If it rejects the credential, the event is
    CREDENTIAL_REJECTED.

    Raises what the step raises, and NeedsUser if the credential now belongs to another user.
    """

    async def checked(run: Run, progress: Progress) -> Outcome:
        try:
            await check_identity(run, progress)
        except Refused as refusal:
            return credential_rejected(run, refusal)
        return await step(run, progress)

    return checked


async def check_identity(run: Run, progress: Progress) -> None:
    """Raise NeedsUser if the credential's identity is not the publish's, and Refused if the registry rejects it."""
    decision = Decision(progress.credential or Decision.ANONYMOUS_SESSION)
    identity = await run.keyring.identity(decision, run.client, run.plan.provisional)
    with _says_if_published(progress):
        await _refuse_other_identity(run, progress, decision, identity)


@contextmanager
def _says_if_published(progress: Progress) -> Iterator[None]:
    """Let an error of the block say what is kept, if the lineage is published and only its labels are left."""
    try:
        yield
    except (NeedsUser, LocalProblem) as problem:
        if progress.hash is not None:
            problem.kept = "The lineage is published; its labels are not published yet."
        raise


async def _select(run: Run, progress: Progress) -> Outcome:
    choice = await _choose(run, progress)
    if choice.note:
        run.report(Noted(choice.note))
    identity = await _identity(run, choice.decision)
    await _refuse_other_identity(run, progress, choice.decision, identity)
    if identity == ANONYMOUS_IDENTITY and progress.identity is None:
        await _check_not_anonymous(run)
    if choice.needs_confirmation and progress.hash is None and not await _has_consent(run, choice):
        raise NeedsUser(
            "this publish is public and anonymous, which needs your consent",
            next_step=f"roar publish --resume {run.plan.id} --yes",
            reason=Reason.NEEDS_CONFIRMATION,
        )
    learned: Learned = {
        "credential": choice.decision.value,
        "identity": identity,
        "why": choice.why,
        "scope_request": choice.scope_request,
    }
    if choice.decision is Decision.LEGACY:
        learned["remote_session"] = None
        return Outcome(Event.NO_STAGING, learned)
    return Outcome(Event.SELECTED, learned)


async def _has_consent(run: Run, choice: Choice) -> bool:
    """Return whether the user agrees or did so earlier. The answer is stored with the plan, so it is asked once."""
    if (await run.journal.queue.read()).agreed:
        return True
    agreed = await run.frontend.confirm(choice)
    await run.journal.queue.configure(agreed=agreed)
    return agreed


async def _identity(run: Run, decision: Decision) -> str:
    try:
        return await run.keyring.identity(decision, run.client, run.plan.provisional)
    except Refused as refusal:
        raise run.keyring.rejection_error(refusal, decision) from refusal


async def _choose(run: Run, progress: Progress) -> Choice:
    """Return the table's choice. If the SSH key matters, probe the registry with it first.

    Raises NeedsUser if the table stops or if the registry rejects the required key.
    """
    capabilities = progress.capabilities
    flag, scope = _requested(run)
    held = await run.keyring.available(flag, scope)

    def choose(probe: Probe) -> Choice:
        return decide(
            flag,
            scope,
            held,
            Capabilities(
                anonymous_public=bool(capabilities.get(ANONYMOUS_SESSIONS)),
                server_hash=bool(capabilities.get(SERVER_HASH)),
            ),
            probe,
        )

    choice, rejection = choose(Probe.NOT_ASKED), None
    if choice.decision in (Decision.PROBE_SSH, Decision.SSH):
        probe, rejection = await _probe_ssh(run)
        choice = choose(probe)
    if choice.decision is Decision.STOP:
        problem = run.keyring.stop_error(choice)
        if rejection is not None:
            problem.what = f"{sentence(problem.what)} {sentence(rejection.what)}"
        raise problem
    if rejection is not None:
        if choice.decision is Decision.SSH:
            raise rejection
        run.report(Noted(f"{rejection.what.rstrip('.')}; so this publish is anonymous"))
    return choice


def _requested(run: Run) -> tuple[Flag, RepoScope]:
    scope = run.plan.intent["scope"]
    return Flag(run.plan.intent["flag"]), RepoScope(**scope | {"mode": Mode(scope["mode"])})


async def _probe_ssh(run: Run) -> tuple[Probe, PublisherError | None]:
    """Probe the registry with the SSH key (protocol.md §4). Return its answer, and the error if it rejected the key.

    Only the registry's own 401 rejects the key. Raises an error if the key may be valid despite the 401: this machine's
    clock is wrong, or a proxy changes the signed path.
    """
    if run.keyring.key_accepted:
        return Probe.ACCEPTED, None
    signer = await run.keyring.authorizer(Decision.SSH, run.client)
    try:
        await run.client.call("GET", AUTH_PROBE, expect=AnyReply, authorize=signer)
    except Refused as refusal:
        if refusal.status != UNAUTHORIZED or not refusal.body:
            return Probe.INCONCLUSIVE, None
        problem = run.keyring.rejection_error(refusal, Decision.SSH)
        if problem.reason == Reason.CLOCK:
            raise problem from refusal
        base = base_path(run.plan.registry)
        other_host = bool(_OTHER_HOST.search(refusal.what))
        if base or other_host or _BROKEN_SIGNATURE.search(refusal.what):
            if not other_host:
                what = f"path {base}" if base else "request"
                problem.what = f"{problem.what.rstrip('.')}. A proxy may change the {what}, which breaks signatures."
            or_anonymous = ", or rerun with --anonymous" if lineage_names_owner(*_requested(run)) else ""
            problem.next_step = f"use the registry's own address, {problem.next_step}{or_anonymous}"
            raise problem from refusal
        return Probe.REJECTED, problem
    run.keyring.record_acceptance()
    return Probe.ACCEPTED, None


async def _refuse_other_identity(run: Run, progress: Progress, decision: Decision, identity: str) -> None:
    """Raise NeedsUser unless `identity` may continue this publish.

    The remote uids follow from the identity, so what was staged under one identity cannot be finished under another.
    If a key has a new owner, that one is remembered, so that the next publish is planned for them.
    """
    if progress.identity in (None, identity) and identity in run.plan.provisional:
        return
    if decision is Decision.SSH and not is_key_identity(identity):
        key = (await run.keyring.signer()).keyid
        await run.resources.run_blocking(run.key_owners.store, run.plan.registry, key, identity)
    began = progress.identity or " or ".join(sorted(run.plan.provisional))
    last = (await run.journal.history())[-1]
    because = f" ({last.detail.rstrip('.')})" if last.event == Event.CREDENTIAL_REJECTED else ""
    raise NeedsUser(
        f"this publish was started as {began} and would continue as {identity}{because}",
        kept="What is staged is kept.",
        next_step=f"sign in as before, then: roar publish --resume {run.plan.id}\n"
        f"or start again: roar journal cancel {run.plan.id}",
        reason=Reason.AUTH,
    )


async def _check_not_anonymous(run: Run) -> None:
    """Raise NeedsUser if the plan names a user whose credential this process does not hold.

    A daemon does not have the environment in which the publish was planned, and an anonymous publish stays anonymous
    permanently. A key that is present but rejected is left to the table, if the plan may have been made for a key.
    """
    users = sorted(run.plan.provisional.keys() - {ANONYMOUS_IDENTITY})
    if not users or requests_anonymity(*_requested(run)):
        return
    if (await run.keyring.available(*_requested(run))).key is not Key.NONE and not all(map(requires_bearer, users)):
        return
    what = f"this publish was planned to name {' or '.join(users)}, and you are not signed in where it continues"
    raise NeedsUser(
        ". ".join(filter(None, [what, run.keyring.why_unusable])),
        kept="Nothing is in the registry yet.",
        next_step="run `roar login`, or set ROAR_ACCESS_TOKEN where it continues (for a daemon: then `roar daemon "
        f"stop` and `start`), then: roar publish --resume {run.plan.id}\n"
        f"or publish anonymously: roar journal cancel {run.plan.id}, then roar publish --anonymous",
        reason=Reason.AUTH,
    )
