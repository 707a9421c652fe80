"""Every error that the Python API raises, in one tree below `PublisherError`.

Each has `what` happened, what is `kept`, the `next_step`, a stable `reason`, the `publish_id` (empty if there is none)
and a `conclusion`. An error that interrupts a publish arrives as `Unfinished`, with the original as its `__cause__`.
"""

from roar_publisher.publishing.errors import Cancelled, Differing, Failed, NotStarted, Unconfirmed, Unfinished
from roar_publisher.publishing.watching import Halted
from roar_publisher.state.errors import (
    Conclusion,
    Interrupted,
    LocalProblem,
    NeedsUser,
    Owned,
    PublisherError,
    Rejected,
    Transient,
    UsageProblem,
)
from roar_publisher.state.reasons import Reason

__all__ = [
    "Cancelled",
    "Conclusion",
    "Differing",
    "Failed",
    "Halted",
    "Interrupted",
    "LocalProblem",
    "NeedsUser",
    "NotStarted",
    "Owned",
    "PublisherError",
    "Reason",
    "Rejected",
    "Transient",
    "Unconfirmed",
    "Unfinished",
    "UsageProblem",
]
