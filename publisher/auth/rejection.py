"""Explains why the registry rejected a credential, and what the user can do about it."""

from roar_publisher.auth.clock import clock_advice_in, clock_skew
from roar_publisher.glaas.client import Refused
from roar_publisher.state.errors import LocalProblem, NeedsUser
from roar_publisher.state.reasons import Reason


def explain_rejection(refusal: Refused, now: float) -> str:
    """Return the reason, with a note if this machine's clock may be the cause. now: Unix seconds."""
    skew = clock_skew(refusal.date, now)
    return f"{refusal.what.rstrip('.')}. {skew}" if skew else refusal.what


def rejection_error(refusal: Refused, now: float, credential: str, remedy: str) -> NeedsUser | LocalProblem:
    """Return the error for the user.

    now: Unix seconds.
    credential: the name of the credential.
    remedy: what the user can do unless the clock is the cause.
    """
    what = f"the registry does not accept {credential}: {explain_rejection(refusal, now)}"
    if advice := clock_advice_in(clock_skew(refusal.date, now) or ""):
        return LocalProblem(what, next_step=advice, reason=Reason.CLOCK, resumable=True)
    return NeedsUser(what, next_step=remedy, reason=Reason.AUTH)
