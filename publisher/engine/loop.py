"""The engine: state → step → event → checkpoint, until the publish has ended.

A publish is a plan, frozen in a journal before the first write, and a state.  The engine looks the state up, runs its
step, and checkpoints the event that the step returned: the event, the new state and what was learned, in one
transaction.  Then the next step starts.  There is no other way to change the state, so a process may die anywhere:
whoever owns the publish next reads the last checkpoint and does the same.

    cli ── freezes the plan ──▶ journal ◀── checkpoints ── engine ──▶ steps ──▶ staging, glaas, auth
                                                             │
                                                             └── reports ──▶ cli

- A step raises `Rejected` when the server's answer is final: REJECTED, and the publish has FAILED.
- It raises anything else of `PublisherError` when it can't go on now: the state stays, the reason is noted, and the
  publish is interrupted until somebody resumes it.
- SIGINT and SIGTERM set `Run.stop`: the step finishes what is under way, within `GRACE_SECONDS`.  In a terminal that is
  a person's word, and the publish waits for that person; a daemon that is stopped goes on when it runs again.

Requests are sent at least once, their effect is exactly once; nothing that was acknowledged is sent again after a
restart, beyond the batches in flight; what readers see changes once, at finalize.
"""

from collections.abc import Awaitable, Callable
from typing import NoReturn, TypeVar

import anyio

from roar_publisher.engine.run import Outcome, Run, Step
from roar_publisher.engine.steps.auth_select import as_begun, auth_select
from roar_publisher.engine.steps.fallback import fallback
from roar_publisher.engine.steps.finalize import finalize
from roar_publisher.engine.steps.open import open_session
from roar_publisher.engine.steps.paying import pay
from roar_publisher.engine.steps.probe import probe
from roar_publisher.engine.steps.stage import stage
from roar_publisher.glaas.caller import STOPPED
from roar_publisher.report import Entered
from roar_publisher.state.errors import Interrupted, NeedsPerson, PublisherError, Rejected, Transient
from roar_publisher.state.machine import ENDED, Event, State
from roar_publisher.state.queue import STOPPED_BY_PERSON
from roar_publisher.state.record import Progress

T = TypeVar("T")

STEPS: dict[State, Step] = {
    State.PROBE: probe,
    State.AUTH_SELECT: auth_select,
    State.OPEN: as_begun(open_session),
    State.STAGE: as_begun(stage),
    State.FINALIZE: as_begun(finalize),
    State.FALLBACK: fallback,
}
GRACE_SECONDS = 5.0
"""How long requests under way may take after the process was asked to stop."""
MAX_SETBACKS = 3
"""How often in one run the server may lose the session or turn the credential down before we stop asking."""
SETBACKS = frozenset({Event.SESSION_LOST, Event.CREDENTIAL_REJECTED})


async def publish(run: Run) -> Progress:
    """Drive a publish to its end and return where it stands then (DONE, FAILED or CANCELLED).

    One that is published already pays what it owes, if anything.

    Raises a PublisherError, noted in the journal, where it can't go on now; calling again goes on from there.
    Cancelling leaves the last checkpoint, and loses no acknowledgement.
    """
    progress = await run.on_disk(run.journal.progress)
    if any(debt.payable for debt in progress.owed):
        return await _paid(run)
    event: Event | None = None
    setbacks = 0
    while progress.state not in ENDED:
        if run.stop.is_set():
            await _note(run, Interrupted(STOPPED))
        run.report(Entered(progress.state, event))
        outcome = await _outcome(run, progress.state)
        event = outcome.event
        setbacks += event in SETBACKS
        if setbacks > MAX_SETBACKS:
            await _give_up(run, outcome)
        progress = await run.on_disk(run.journal.checkpoint, event, **outcome.learned)
    run.report(Entered(progress.state, event))
    return progress


async def _outcome(run: Run, state: State) -> Outcome:
    """Run a step under the grace period, and turn what it raises into an event or a note."""
    try:
        return await _within_grace(run, STEPS[state])
    except Rejected as error:
        remedy = f" (next: {error.next_step})" if error.next_step else ""
        return Outcome(Event.REJECTED, {"reason": error.reason, "detail": f"{error.what}{remedy}"})
    except PublisherError as error:
        await _note(run, error)


async def _paid(run: Run) -> Progress:
    """Pay what a published lineage owes; what stays owed is noted and raised."""
    try:
        return await _within_grace(run, pay)
    except PublisherError as error:
        await _note(run, error)


async def _within_grace(run: Run, step: Callable[[Run], Awaitable[T]]) -> T:
    """The step's outcome; what it raised, raised outside of the task group, which would wrap it."""
    outcome: T | None = None
    failure: PublisherError = Interrupted(STOPPED)
    async with anyio.create_task_group() as tasks:

        async def end_after_grace() -> None:
            await run.stop.wait()
            await anyio.sleep(GRACE_SECONDS)
            tasks.cancel_scope.cancel()

        tasks.start_soon(end_after_grace)
        try:
            outcome = await step(run)
        except PublisherError as error:
            failure = error
        tasks.cancel_scope.cancel()
    if outcome is None:
        raise failure
    return outcome


async def _note(run: Run, error: PublisherError) -> NoReturn:
    """Keep the reason for whoever looks at the journal, then raise it.

    A stop by a person parks the publish, in the same transaction: no daemon goes on with it unasked.
    """
    with anyio.CancelScope(shield=True):
        if run.attended and isinstance(error, Interrupted):
            await run.on_disk(run.journal.queue.park, reason=error.reason, detail=STOPPED_BY_PERSON)
        else:
            await run.on_disk(run.journal.note, reason=error.reason, detail=error.what)
    raise error


async def _give_up(run: Run, outcome: Outcome) -> NoReturn:
    what = f"the registry keeps turning us away: {outcome.learned['detail']}"
    if outcome.event is Event.CREDENTIAL_REJECTED:
        await _note(run, NeedsPerson(what, next_step="sign in anew (`roar login`), then resume", reason="auth"))
    await _note(run, Transient(what, reason="session lost"))
