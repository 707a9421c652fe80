"""What a store's no means to a person where every store says it: the bucket is missing, or is not theirs to write."""

from roar_publisher.state.errors import LocalProblem, NeedsPerson
from roar_publisher.state.reasons import Reason


def no_such_bucket(where: str) -> NeedsPerson:
    """The error of a destination whose bucket does not exist (yet)."""
    return NeedsPerson(
        f"{where}: there is no such bucket",
        next_step="create the bucket and resume; for another destination, cancel this publish and put again",
        reason=Reason.NO_BUCKET,
    )


def no_room(where: str, words: str) -> LocalProblem:
    """The error of a destination whose quota is used up: as of a disk that is full.  words: the store's own."""
    return LocalProblem(
        f"{where} has no room left ({words})",
        next_step="make room there, or have its quota raised",
        reason=Reason.DISK_FULL,
        resumable=True,
    )


def may_not_write(where: str, words: str) -> NeedsPerson:
    """The error of a destination that refuses these credentials.  words: the store's own."""
    return NeedsPerson(
        f"{where} may not be written with these credentials ({words})",
        next_step="have the permission granted, or use other credentials",
        reason=Reason.ACCESS_DENIED,
    )
