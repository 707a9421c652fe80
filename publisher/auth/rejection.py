"""Explains why the registry rejected a credential, and what the user can do about it."""

from roar_publisher.auth.clock import clock_advice, clock_skew
from roar_publisher.glaas.caller import Refused
from roar_publisher.state.errors import LocalProblem, NeedsUser
from roar_publisher.state.reasons import Reason


def explained(refusal: Refused, now: float) -> str:
    """Return the reason, with a note if this machine's clock may be the cause. now: Unix seconds."""
    skew = clock_skew(refusal.date, now)
    return f"{refusal.what.rstrip('.')}. {skew}" if skew else refusal.what


def not_accepted(refusal: Refused, now: float, credential: str, mend: str) -> NeedsUser | LocalProblem:
    """Return the error for the user.

    now: Unix seconds.
    credential: the name of the credential.
    mend: the remedy unless the clock is the cause.
    """
    what = f"the registry does not accept {credential}: {explained(refusal, now)}"
    if advice := clock_advice(refusal.date, now):
        return LocalProblem(what, next_step=advice, reason=Reason.CLOCK, resumable=True)
    return NeedsUser(what, next_step=mend, reason=Reason.AUTH)
