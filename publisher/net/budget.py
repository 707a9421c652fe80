"""What all uploads of one process have in common, however many publishes they belong to."""

from dataclasses import dataclass, field

from anyio import CapacityLimiter

from roar_publisher.net.gate import Door
from roar_publisher.net.pace import Pace


@dataclass(frozen=True, slots=True)
class Share:
    """Made inside of an event loop.

    slots: requests to object stores under way at once.  pace: the rate that files go at over the network, if it is
    limited.  doors: of the stores' gates, by destination: all wait together for one that is away.
    """

    slots: CapacityLimiter
    pace: Pace | None = None
    doors: dict[str, Door] = field(default_factory=dict)

    @classmethod
    def of(cls, most: int, rate: int | None) -> "Share":
        """most: requests at once.  rate: bytes a second, None for as many as go."""
        return cls(CapacityLimiter(most), Pace(rate) if rate else None)

    def door(self, destination: str) -> Door:
        """The door of a destination's store."""
        return self.doors.setdefault(destination, Door())
