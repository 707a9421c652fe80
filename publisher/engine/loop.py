"""The engine: runs the cycle state → step → event → checkpoint until the publish has ended.

A publish consists of a plan, which is frozen in a journal before the first write, and a state. The engine looks up the
state, runs its step and checkpoints the result: the event that the step returned, the new state and the learned values,
in one transaction. Then the next step starts. Nothing else changes the state, so a process may die at any point: the
next owner of the publish continues from the last checkpoint.

    publishing ── freezes the plan ──▶ journal ◀── checkpoints ── engine ──▶ steps ──▶ staging, glaas, auth
                                                                    │
                                                                    └── reports ──▶ publishing ──▶ cli

- A step raises `Rejected` when the server's answer is final. The event is REJECTED and the publish becomes FAILED.
- A step raises any other `PublisherError` when it cannot continue now. The state does not change, the journal notes the
  reason, and the publish stays interrupted until it is resumed.
- SIGINT and SIGTERM set `Run.stop`. The step finishes the requests in flight within `GRACE_SECONDS`. If a user stopped
  the publish in a terminal, it waits for the user; a stopped daemon continues it when it runs again.

Requests are sent at least once, and their effect is exactly once. After a restart, nothing that was acknowledged is
sent again, except for the batches in flight. Readers see one change only, at finalize.
"""

from functools import partial
from typing import NoReturn

import anyio

from roar_publisher.engine.run import Outcome, Run, Step
from roar_publisher.engine.steps.auth_select import auth_select, require_same_identity
from roar_publisher.engine.steps.finalize import finalize
from roar_publisher.engine.steps.open import open_session
from roar_publisher.engine.steps.probe import probe
from roar_publisher.engine.steps.sessions import is_anonymous
from roar_publisher.engine.steps.stage import stage
from roar_publisher.report import Entered
from roar_publisher.state.errors import Interrupted, NeedsUser, PublisherError, Rejected, Transient
from roar_publisher.state.machine import ENDED, Event, State
from roar_publisher.state.queue import STOPPED_BY_USER
from roar_publisher.state.reasons import Reason
from roar_publisher.state.record import Progress
from roar_publisher.tasks import until_stopped


async def _fallback(run: Run, progress: Progress) -> Outcome:
    from roar_publisher.engine.steps.fallback import fallback  # few registries need it

    return await fallback(run, progress)


async def _verify(run: Run, progress: Progress) -> Outcome:
    from roar_publisher.engine.steps.verify import verify  # few publishes ask for it

    return await verify(run, progress)


STEPS: dict[State, Step] = {
    State.PROBE: probe,
    State.AUTH_SELECT: auth_select,
    State.OPEN: require_same_identity(open_session),
    State.STAGE: require_same_identity(stage),
    State.FINALIZE: require_same_identity(finalize),
    State.FALLBACK: _fallback,
    State.VERIFY: _verify,
}
GRACE_SECONDS = 5.0
"""Maximum time for requests in flight after the process was asked to stop."""
MAX_SETBACKS = 3
"""How often the registry may lose the session or reject the credential in one run before the engine gives up."""
SETBACKS = frozenset({Event.SESSION_LOST, Event.CREDENTIAL_REJECTED})


async def publish(run: Run, progress: Progress) -> Progress:
    """Drive a publish from its current progress until it has ended. Return the last progress (DONE, FAILED, CANCELLED).

    If the lineage is already published, pay what is still owed, if anything.

    Raises a PublisherError, which the journal notes, if the publish cannot continue now. Call again to continue.
    Cancellation keeps the last checkpoint and loses no acknowledgement.
    """
    if progress.state is State.DONE and any(debt.payable for debt in progress.owed):
        return await _pay(run, progress)
    event: Event | None = None
    setbacks = 0
    while progress.state not in ENDED:
        if run.stop.is_set():
            await _note(run, Interrupted())
        run.report(Entered(progress.state, event))
        outcome = await _outcome(run, progress)
        event = outcome.event
        setbacks += event in SETBACKS
        if setbacks > MAX_SETBACKS:
            await _stop_after_setbacks(run, progress, outcome)
        progress = await run.journal.checkpoint(event, **outcome.learned)
    run.report(Entered(progress.state, event))
    return progress


async def _outcome(run: Run, progress: Progress) -> Outcome:
    """Run a step under the grace period, and turn an exception into an event or a note in the journal."""
    try:
        return await until_stopped(run.stop, partial(STEPS[progress.state], run, progress), grace_seconds=GRACE_SECONDS)
    except Rejected as error:
        return Outcome(Event.REJECTED, {"reason": error.reason, "detail": error.detail})
    except PublisherError as error:
        await _note(run, error)


async def _pay(run: Run, progress: Progress) -> Progress:
    """Pay what a published lineage owes. Note and raise the error for what is still owed."""
    from roar_publisher.engine.steps.debts import pay

    try:
        return await until_stopped(run.stop, partial(pay, run, progress), grace_seconds=GRACE_SECONDS)
    except PublisherError as error:
        await _note(run, error)


async def _note(run: Run, error: PublisherError) -> NoReturn:
    """Note the reason in the journal, then raise the error.

    If a user stopped the publish, park it in the same transaction, so that no daemon continues it without being asked.
    """
    with anyio.CancelScope(shield=True):
        if run.frontend.attended and isinstance(error, Interrupted):
            await run.journal.park(reason=error.reason, detail=STOPPED_BY_USER)
        else:
            await run.journal.note(reason=error.reason, detail=error.what)
    raise error


async def _stop_after_setbacks(run: Run, progress: Progress, outcome: Outcome) -> NoReturn:
    what = f"the registry repeatedly rejects requests: {outcome.learned['detail']}"
    if outcome.event is Event.CREDENTIAL_REJECTED:
        remedy = "sign in again (`roar login`)"
        if is_anonymous(progress):  # the session's token is not a sign-in
            remedy = f"resume later, or publish again: roar journal cancel {run.plan.id}; roar publish"
        await _note(run, NeedsUser(what, next_step=remedy, reason=Reason.AUTH))
    await _note(run, Transient(what, reason=Reason.SESSION_LOST))
