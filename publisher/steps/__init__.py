"""One module a state: a step does the work of its state and returns what it found out."""

from publisher.steps.auth_select import auth_select
from publisher.steps.fallback import fallback
from publisher.steps.finalize import finalize
from publisher.steps.open import open_session
from publisher.steps.probe import probe
from publisher.steps.run import Outcome, Run, Step
from publisher.steps.stage import stage
from state.machine import State

STEPS: dict[State, Step] = {
    State.PROBE: probe,
    State.AUTH_SELECT: auth_select,
    State.OPEN: open_session,
    State.STAGE: stage,
    State.FINALIZE: finalize,
    State.FALLBACK: fallback,
}
"""The step of every live state."""

__all__ = ["STEPS", "Outcome", "Run", "Step"]
