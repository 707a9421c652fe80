"""A credential that the registry turns down: why, and what a person can do about it."""

from roar_publisher.auth.clock import clock_skew
from roar_publisher.glaas.caller import Refused
from roar_publisher.state.errors import NeedsPerson


def explained(refusal: Refused, now: float) -> str:
    """Why, with what this machine's clock may have to do with it.  now: Unix seconds."""
    skew = clock_skew(refusal.date, now)
    return f"{refusal.what.rstrip('.')}. {skew}" if skew else refusal.what


def not_accepted(refusal: Refused, now: float, mend: str) -> NeedsPerson:
    """The error for a person.  now: Unix seconds.  mend: what to do unless it is the clock; empty: `roar login`."""
    mend = "set this machine's clock" if clock_skew(refusal.date, now) else mend or "roar login"
    what = f"the registry does not accept this credential: {explained(refusal, now)}"
    return NeedsPerson(what, next_step=mend, reason="auth")
