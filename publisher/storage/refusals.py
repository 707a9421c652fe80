"""The errors for refusals that all stores have in common: the bucket is missing, full, or not writable."""

from roar_publisher.state.errors import LocalProblem, NeedsUser, Rejected
from roar_publisher.state.reasons import Reason


def no_such_bucket(where: str) -> NeedsUser:
    """Return the error for a destination whose bucket does not exist."""
    return NeedsUser(
        f"{where}: the bucket does not exist",
        next_step="create the bucket (or, for another destination, cancel this publish and put again)",
        reason=Reason.NO_BUCKET,
    )


def lacks_bucket(where: str) -> Rejected:
    """Return the error for an object that is looked for in a bucket that does not exist."""
    return Rejected(
        f"the bucket of {where} does not exist",
        next_step="check the endpoint that your environment names for it (AWS_ENDPOINT_URL)",
        reason=Reason.REJECTED,
    )


def no_room(where: str, words: str) -> LocalProblem:
    """Return the error for a destination whose quota is used up, like that of a full disk. words: the store's own."""
    return LocalProblem(
        f"{where} is full ({words})",
        next_step="free space there, or have its quota raised",
        reason=Reason.DISK_FULL,
        resumable=True,
    )


def may_not_write(where: str, words: str) -> NeedsUser:
    """Return the error for a destination that refuses these credentials. words: the store's own."""
    return NeedsUser(
        f"{where} cannot be written with these credentials ({words})",
        next_step="have the permission granted, or use other credentials",
        reason=Reason.ACCESS_DENIED,
    )
