"""AUTH_SELECT: which credential publishes, under which identity, and by which route."""

from publisher.auth.decide import Capabilities, Choice, Credentials, Decision, Flag, Mode, Scope, decide
from publisher.lineage.canonical import ANONYMOUS
from publisher.steps.run import Outcome, Run
from state.errors import NeedsPerson
from state.machine import Event
from state.record import Learned, Progress


async def auth_select(run: Run) -> Outcome:
    """Decide by the table of protocol.md §5.

    Raises NeedsPerson where the table stops, where a public publish without credential is not confirmed, and where the
    identity would differ from the one that this publish began with: that never changes silently.
    """
    progress = await run.on_disk(run.journal.progress)
    choice = _choose(run, progress)
    if choice.decision is Decision.STOP:
        raise choice.problem()
    if choice.needs_confirmation and not await run.confirm(choice):
        raise NeedsPerson(
            "this publish is public and names nobody: it needs your consent",
            next_step=f"roar publish --resume {run.plan.id} --yes",
            reason="needs confirmation",
        )
    identity = ANONYMOUS
    if progress.identity not in (None, identity):
        raise NeedsPerson(
            f"this publish began as {progress.identity} and would go on as {identity}",
            next_step=f"sign in as before, or start anew: roar journal cancel {run.plan.id}",
            reason="auth",
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


def _choose(run: Run, progress: Progress) -> Choice:
    can, scope = progress.capabilities, run.plan.intent["scope"]
    return decide(
        Flag(run.plan.intent["flag"]),
        Scope(**scope | {"mode": Mode(scope["mode"])}),
        Credentials(bearer=False, ssh=False),
        Capabilities(
            anonymous_public=can.get("anonymous_public", False),
            server_hash=can.get("finalize_server_authoritative_hash", False),
            authenticated=can.get("authenticated", False),
        ),
    )
