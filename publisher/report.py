"""The events that a running publish reports to an observer: typed, small, and without credentials.

The engine calls a `Reporter` with each of them. The command line displays them, and the events of the Python API
(`events`) come from them.
"""

from collections.abc import Callable, Mapping

from msgspec import Struct, field

from roar_publisher.state.machine import Event, State
from roar_publisher.state.reasons import Reason
from roar_publisher.state.units import Kind, Tally


class Entered(Struct, frozen=True):
    """The step of a state begins. `event` led to it (None at the start of a run)."""

    state: State
    event: Event | None


class Planned(Struct, frozen=True):
    """The work of a run: items per kind in total, and those acknowledged already.

    units: how many units hold the remaining items, per kind. One request may send several.
    """

    total: dict[Kind, int]
    acknowledged: dict[Kind, int]
    units: dict[Kind, int] = field(default_factory=dict)

    @classmethod
    def of(cls, counts: Mapping[Kind, Tally]) -> "Planned":
        """Return the work from the journal's counts."""
        return cls(
            {kind: tally.items for kind, tally in counts.items()},
            {kind: tally.acked_items for kind, tally in counts.items()},
            {kind: tally.units - tally.acked_units for kind, tally in counts.items()},
        )


class Advanced(Struct, frozen=True):
    """Items that the registry has just acknowledged, and how many units they were."""

    kind: Kind
    items: int
    units: int = 1


class ObjectsPlanned(Struct, frozen=True):
    """The objects of a put: how many there are, how many are stored, and the same in bytes."""

    objects: int
    stored: int
    size: int
    stored_size: int


class Sent(Struct, frozen=True):
    """Bytes of an object that were just sent; negative if an attempt failed and starts again."""

    key: str
    bytes: int


class ObjectStored(Struct, frozen=True):
    """An object is in its store, verified. sent: False if it was there already."""

    key: str
    size: int
    sent: bool


class Waiting(Struct, frozen=True):
    """What the publish waits for, and at most how many seconds until it reports something else.

    reason: OFFLINE, THROTTLED by the server, INTERMEDIARY for one that answers in its place, or NO_ANSWER to a
    running request.
    """

    reason: Reason
    seconds: float


class Retrying(Struct, frozen=True):
    """A request is sent again after `seconds`. `attempt` counts from 1."""

    what: str
    attempt: int
    seconds: float


class Noted(Struct, frozen=True):
    """Something that the user should know. The publish continues."""

    text: str


Report = Entered | Planned | Advanced | ObjectsPlanned | Sent | ObjectStored | Waiting | Retrying | Noted
Reporter = Callable[[Report], None]
