"""The state machine of a publish: states, events and the transition table.

    PROBE ─ PROBED ─▶ AUTH_SELECT ─ SELECTED ─▶ OPEN ─ OPENED ─▶ STAGE ─ STAGED ─▶ FINALIZE ─ FINALIZED ─▶ DONE
                           └───── NO_STAGING, also from OPEN ─────▶ FALLBACK ─ FELL_BACK ─▶ DONE

If the publish is to be verified, FINALIZED and FELL_BACK lead to VERIFY ─ VERIFIED ─▶ DONE.

A step does the work of a state and returns an event. `next_state` alone decides where the event leads. It is pure: it
does no I/O and awaits nothing. `transitions.Machine` holds the table and its guards. The asynchronous variant of that
class swallows cancellation and does not run on trio, so the machine is synchronous.

There is no state "interrupted": a publish is interrupted if it has not ended and no process owns it.
"""

from enum import StrEnum
from functools import cache
from typing import TYPE_CHECKING

from msgspec import Struct

if TYPE_CHECKING:
    from transitions import Machine


class State(StrEnum):
    """The state of a publish. The journal stores the value."""

    PROBE = "probe"
    AUTH_SELECT = "auth-select"
    OPEN = "open"
    STAGE = "stage"
    FINALIZE = "finalize"
    FALLBACK = "fallback"
    VERIFY = "verify"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"


class Event(StrEnum):
    """The result of a step. The journal stores the value."""

    PROBED = "probed"
    SELECTED = "selected"
    NO_STAGING = "no-staging"
    OPENED = "opened"
    ALREADY_PUBLISHED = "already-published"
    STAGED = "staged"
    SESSION_LOST = "session-lost"
    COUNTS_DIFFER = "counts-differ"
    CREDENTIAL_REJECTED = "credential-rejected"
    FINALIZED = "finalized"
    FELL_BACK = "fell-back"
    VERIFIED = "verified"
    REJECTED = "rejected"
    CANCELLED = "cancelled"
    RETRIED = "retried"
    READDRESSED = "readdressed"


BEFORE_VERIFY = (State.PROBE, State.AUTH_SELECT, State.OPEN, State.STAGE, State.FINALIZE, State.FALLBACK)
"""States with a step to run before VERIFY. In FINALIZE and FALLBACK, the registry may have published already."""
LIVE = (*BEFORE_VERIFY, State.VERIFY)
"""States that have a step to run."""
ENDED = (State.DONE, State.FAILED, State.CANCELLED)
"""States that have no step to run."""

UNOPENED = (State.PROBE, State.AUTH_SELECT, State.OPEN, State.FAILED)
"""States in which the registry may have no data of the publish. The history says whether it has."""

CLEARS_ACKNOWLEDGEMENTS = frozenset({Event.SESSION_LOST, Event.COUNTS_DIFFER})
"""Events after which no unit counts as received."""

MAX_RECOUNTS = 1
"""How often a publish stages everything again because the registry's counts differ."""


class Transition(Struct, frozen=True):
    """A row of the table. Of several rows with one event and source, the first whose guard holds applies.

    guard: the name of a method of `_Position` that must return true; None: always.
    """

    event: Event
    source: State
    target: State
    guard: str | None = None


TABLE: tuple[Transition, ...] = (
    Transition(Event.PROBED, State.PROBE, State.AUTH_SELECT),
    Transition(Event.SELECTED, State.AUTH_SELECT, State.OPEN),
    Transition(Event.NO_STAGING, State.AUTH_SELECT, State.FALLBACK),
    Transition(Event.OPENED, State.OPEN, State.STAGE),
    Transition(Event.NO_STAGING, State.OPEN, State.FALLBACK),
    Transition(Event.ALREADY_PUBLISHED, State.OPEN, State.FINALIZE),
    Transition(Event.STAGED, State.STAGE, State.FINALIZE),
    Transition(Event.ALREADY_PUBLISHED, State.STAGE, State.FINALIZE),
    Transition(Event.SESSION_LOST, State.STAGE, State.OPEN),
    Transition(Event.FINALIZED, State.FINALIZE, State.VERIFY, guard="is_to_be_verified"),
    Transition(Event.FINALIZED, State.FINALIZE, State.DONE),
    Transition(Event.COUNTS_DIFFER, State.FINALIZE, State.STAGE, guard="may_recount"),
    Transition(Event.COUNTS_DIFFER, State.FINALIZE, State.FAILED),
    Transition(Event.SESSION_LOST, State.FINALIZE, State.OPEN),
    Transition(Event.FELL_BACK, State.FALLBACK, State.VERIFY, guard="is_to_be_verified"),
    Transition(Event.FELL_BACK, State.FALLBACK, State.DONE),
    Transition(Event.VERIFIED, State.VERIFY, State.DONE),
    Transition(Event.CANCELLED, State.VERIFY, State.DONE),  # the check is given up; what is published stays
    *(Transition(Event.CANCELLED, state, State.DONE, guard="is_published") for state in BEFORE_VERIFY),
    Transition(Event.CREDENTIAL_REJECTED, State.OPEN, State.AUTH_SELECT),
    Transition(Event.CREDENTIAL_REJECTED, State.STAGE, State.AUTH_SELECT),
    Transition(Event.CREDENTIAL_REJECTED, State.FINALIZE, State.AUTH_SELECT),
    Transition(Event.RETRIED, State.FAILED, State.PROBE),
    *(Transition(Event.READDRESSED, state, State.PROBE) for state in UNOPENED),
    *(Transition(Event.REJECTED, state, State.FAILED) for state in BEFORE_VERIFY),
    *(Transition(Event.CANCELLED, state, State.CANCELLED) for state in BEFORE_VERIFY),
)


class ImpossibleEvent(Exception):
    """A step returned an event that its state does not accept. This is always a bug in this program."""


class _Position:
    """The model that `transitions` moves. Each call of `next_state` makes one and discards it.

    Its methods are the guards, which `Transition.guard` names.
    """

    state: str

    def __init__(self, recounts: int, verifies: bool, published: bool) -> None:
        self.recounts = recounts
        self.verifies = verifies
        self.published = published

    def is_to_be_verified(self) -> bool:
        return self.verifies

    def is_published(self) -> bool:
        return self.published

    def may_recount(self) -> bool:
        return self.recounts < MAX_RECOUNTS


@cache
def _machine() -> "Machine":
    from transitions import Machine

    return Machine(
        model=None,
        states=[state.value for state in State],
        transitions=[
            {"trigger": row.event.value, "source": row.source.value, "dest": row.target.value, "conditions": row.guard}
            for row in TABLE
        ],
        initial=State.PROBE.value,
        auto_transitions=False,
    )


def next_state(
    state: State, event: Event, *, recounts: int = 0, verifies: bool = False, published: bool = False
) -> State:
    """Return the state that `event` leads to from `state`.

    recounts: how often COUNTS_DIFFER has happened to this publish. Beyond `MAX_RECOUNTS` it leads to FAILED.
    verifies: whether what is published is verified. published: whether the registry has published it, although work
    that belongs to it is left.
    Raises ImpossibleEvent if the table has no row for the event.
    """
    from transitions import MachineError  # only here, because most readers of a state move nothing

    position = _Position(recounts, verifies, published)
    machine = _machine()
    machine.add_model(position, initial=state.value)
    try:
        machine.events[event.value].trigger(position)
    except (MachineError, KeyError) as error:
        raise ImpossibleEvent(f"{event.value} does not happen in {state.value}") from error
    finally:
        machine.remove_model(position)
    return State(position.state)
