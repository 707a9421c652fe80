"""The resources that all uploads of one process share, across its publishes."""

import os

from anyio import CapacityLimiter, Event, move_on_after
from msgspec import Struct, field

from roar_publisher.net.gate import GateState
from roar_publisher.net.pace import Pace

HELD_BYTES = 24 * 1024 * 1024
"""Bytes of parts that may be in memory from their checksum until they are sent: three parts."""
REUSED_BYTES = 8 * 1024 * 1024
"""What one part may need; twice as much freed memory is kept for the next ones."""
HELD_SECONDS = 0.25
"""How long to wait for such memory. A fast network frees it sooner, and a slow one has time to read a part twice."""


class HeldMemory:
    """Memory for parts, up to a maximum. Belongs to one event loop."""

    def __init__(self, most: int = HELD_BYTES) -> None:
        self._most = self._free = most
        self._freed = Event()
        # glibc returns freed memory to the system, and every page of the next part is faulted in again, unless a block
        # of such a size was freed before (M_MMAP_THRESHOLD in mallopt(3)).
        bytes(REUSED_BYTES)

    async def take(self, size: int) -> bool:
        """Take memory for `size` bytes, and return whether it was free within HELD_SECONDS."""
        if size > self._most:
            return False
        with move_on_after(HELD_SECONDS):
            while size > self._free:
                await self._freed.wait()
        if size > self._free:
            return False
        self._free -= size
        return True

    def give_back(self, size: int) -> None:
        """Return memory that was taken."""
        self._free += size
        self._freed.set()
        self._freed = Event()


def _one_thread_a_core() -> CapacityLimiter:
    return CapacityLimiter(os.cpu_count() or 1)


class UploadBudget(Struct, frozen=True):
    """Shared upload resources, created inside an event loop.

    slots: concurrent requests to object stores. pace: the upload rate over the network, if it is limited. gate_states:
    of the stores, by scheme and bucket. All uploads wait together for a store that is unreachable. hashing: concurrent
    checksums of parts. held: memory for parts that wait to be sent.
    """

    slots: CapacityLimiter
    pace: Pace | None = None
    gate_states: dict[str, GateState] = field(default_factory=dict)
    hashing: CapacityLimiter = field(default_factory=_one_thread_a_core)
    held: HeldMemory = field(default_factory=HeldMemory)

    @classmethod
    def of(cls, most: int, rate: int | None) -> "UploadBudget":
        """Create a budget. most: concurrent requests. rate: bytes per second, or None for no limit."""
        return cls(CapacityLimiter(most), Pace(rate) if rate else None)

    def gate_state(self, store: str) -> GateState:
        """Return the gate state of a store. store: its scheme and bucket."""
        return self.gate_states.setdefault(store, GateState())
