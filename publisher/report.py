"""What a running publish tells whoever watches it: typed, small, and without a credential in it.

The engine calls a `Reporter` with each of these; the command line draws them, a test records them.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from roar_publisher.state.machine import Event, State
from roar_publisher.state.record import Tally
from roar_publisher.state.units import Kind


@dataclass(frozen=True, slots=True)
class Entered:
    """A state's step begins; `event` led to it (None at the start of a run)."""

    state: State
    event: Event | None


@dataclass(frozen=True, slots=True)
class Planned:
    """How much a run has to send: items per kind, and how many of them are acknowledged already.

    requests: how many requests the others take, per kind.
    """

    total: dict[Kind, int]
    acknowledged: dict[Kind, int]
    requests: dict[Kind, int] = field(default_factory=dict)

    @classmethod
    def of(cls, counts: Mapping[Kind, Tally]) -> "Planned":
        """What the journal counts."""
        return cls(
            {kind: tally.items for kind, tally in counts.items()},
            {kind: tally.acked_items for kind, tally in counts.items()},
            {kind: tally.units - tally.acked_units for kind, tally in counts.items()},
        )


@dataclass(frozen=True, slots=True)
class Advanced:
    """Items that the server acknowledged just now, and the requests that they took."""

    kind: Kind
    items: int
    bytes: int
    requests: int = 1


@dataclass(frozen=True, slots=True)
class ObjectsPlanned:
    """The objects of a put: how many there are, how many are stored by now, and the same in bytes."""

    objects: int
    stored: int
    size: int
    stored_size: int


@dataclass(frozen=True, slots=True)
class Sent:
    """Bytes of an object that went out just now; negative where an attempt failed and begins again."""

    key: str
    bytes: int


@dataclass(frozen=True, slots=True)
class ObjectStored:
    """An object is in its store, verified.  sent: False where it was there already."""

    key: str
    size: int
    sent: bool


@dataclass(frozen=True, slots=True)
class Waiting:
    """What the publish waits for, and for how many seconds at the most until it does something else.

    reason: `offline`, `throttled` by the server, a `front` that answers in its place, or `no answer` to a request that
    is under way.
    """

    reason: str
    seconds: float


@dataclass(frozen=True, slots=True)
class Retrying:
    """One request is tried again after `seconds`; `attempt` counts from 1."""

    what: str
    attempt: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Noted:
    """Something a person should know; the publish goes on."""

    text: str


Report = Entered | Planned | Advanced | ObjectsPlanned | Sent | ObjectStored | Waiting | Retrying | Noted
Reporter = Callable[[Report], None]
