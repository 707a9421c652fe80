"""The resources that all uploads of one process share, across its publishes."""

from dataclasses import dataclass, field

from anyio import CapacityLimiter

from roar_publisher.net.gate import GateState
from roar_publisher.net.pace import Pace


@dataclass(frozen=True, slots=True)
class UploadBudget:
    """Shared upload resources, created inside an event loop.

    slots: concurrent requests to object stores. pace: the upload rate over the network, if it is limited. gate_states:
    of the stores, by scheme and bucket. All uploads wait together for a store that is unreachable.
    """

    slots: CapacityLimiter
    pace: Pace | None = None
    gate_states: dict[str, GateState] = field(default_factory=dict)

    @classmethod
    def of(cls, most: int, rate: int | None) -> "UploadBudget":
        """Create a budget. most: concurrent requests. rate: bytes per second, or None for no limit."""
        return cls(CapacityLimiter(most), Pace(rate) if rate else None)

    def gate_state(self, store: str) -> GateState:
        """Return the gate state of a store. store: its scheme and bucket."""
        return self.gate_states.setdefault(store, GateState())
