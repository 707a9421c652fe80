"""A credential that the registry turns down: why, and what a person can do about it."""

from roar_publisher.auth.clock import clock_advice, clock_skew
from roar_publisher.glaas.caller import Refused
from roar_publisher.state.errors import LocalProblem, NeedsPerson


def explained(refusal: Refused, now: float) -> str:
    """Why, with what this machine's clock may have to do with it.  now: Unix seconds."""
    skew = clock_skew(refusal.date, now)
    return f"{refusal.what.rstrip('.')}. {skew}" if skew else refusal.what


def not_accepted(refusal: Refused, now: float, credential: str, mend: str) -> NeedsPerson | LocalProblem:
    """The error for a person.  now: Unix seconds.  credential: which one.  mend: what to do unless it is the clock."""
    what = f"the registry does not accept {credential}: {explained(refusal, now)}"
    if advice := clock_advice(refusal.date, now):
        return LocalProblem(what, next_step=advice, reason="clock", resumable=True)
    return NeedsPerson(what, next_step=mend, reason="auth")
