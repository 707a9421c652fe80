"""The errors for refusals that all stores have in common: the bucket is missing, full, or not writable."""

from roar_publisher.state.errors import LocalProblem, NeedsUser, Rejected
from roar_publisher.state.reasons import Reason
from roar_publisher.storage.source import shown


def no_bucket_to_write(where: str) -> NeedsUser:
    """Return the error for a destination whose bucket does not exist."""
    return NeedsUser(
        f"{where}: the bucket does not exist",
        next_step="create the bucket (or, for another destination, cancel this publish and put again)",
        reason=Reason.NO_BUCKET,
    )


def no_bucket_to_read(where: str, endpoint: str) -> Rejected:
    """Return the error for an object in a bucket that does not exist. endpoint: the variable that names another one."""
    return Rejected(
        f"the bucket of {where} does not exist",
        next_step=f"check its name, and the endpoint if your environment names one ({endpoint})",
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


def may_not_read(where: str, words: str = "") -> Rejected:
    """Return the error for an object that a store does not show to these credentials. words: the store's own."""
    what = f"{shown(where)} may not be read with these credentials, or is missing"
    return Rejected(f"{what} ({words})" if words else what)


def may_not_write(where: str, words: str) -> NeedsUser:
    """Return the error for a destination that refuses these credentials. words: the store's own."""
    return NeedsUser(
        f"{where} cannot be written with these credentials ({words})",
        next_step="have the permission granted, or use other credentials",
        reason=Reason.ACCESS_DENIED,
    )
