"""The resources that all uploads of one process share, across its publishes."""

from dataclasses import dataclass, field

from anyio import CapacityLimiter

from roar_publisher.net.gate import GateState
from roar_publisher.net.pace import Pace


@dataclass(frozen=True, slots=True)
class UploadBudget:
    """Shared upload resources, created inside an event loop.

    slots: concurrent requests to object stores. pace: the upload rate over the network, if it is limited. doors: the
    gate states of the stores, by destination. All uploads wait together for a store that is away.
    """

    slots: CapacityLimiter
    pace: Pace | None = None
    doors: dict[str, GateState] = field(default_factory=dict)

    @classmethod
    def of(cls, most: int, rate: int | None) -> "UploadBudget":
        """Create a share. most: concurrent requests. rate: bytes per second, or None for no limit."""
        return cls(CapacityLimiter(most), Pace(rate) if rate else None)

    def door(self, destination: str) -> GateState:
        """Return the gate state of a destination's store."""
        return self.doors.setdefault(destination, GateState())
