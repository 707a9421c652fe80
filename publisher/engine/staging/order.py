"""Which units may go now: a window over the plan, and a watermark over its nodes.

A unit waits for every node (composite, job batch, artifact batch) up to its `after`.  Nodes stand before links in the
plan, and links in the order of their nodes, so the first units of the window are nearly always ready; the window lets
later ones overtake those that are not, and bounds the memory.
"""

import heapq
from collections import Counter
from collections.abc import Iterable

from roar_publisher.state.units import NODES, Unit


class Watermark:
    """Up to which seq every node is acknowledged.  Holds one number for each unacknowledged node."""

    def __init__(self, unacknowledged: Iterable[int]) -> None:
        self._parts = Counter(unacknowledged)  # seq -> parts that are still missing
        self._heap = list(self._parts)
        heapq.heapify(self._heap)

    @property
    def level(self) -> float:
        """Every node with a seq up to this is acknowledged; infinite when all are."""
        while self._heap and self._parts[self._heap[0]] == 0:
            del self._parts[heapq.heappop(self._heap)]
        return self._heap[0] - 1 if self._heap else float("inf")

    def split(self, unit: Unit) -> None:
        """One missing part became two."""
        if unit.kind in NODES:
            self._parts[unit.seq] += 1

    def acknowledged(self, unit: Unit) -> None:
        """One part is there."""
        if unit.kind in NODES:
            self._parts[unit.seq] -= 1


class Window:
    """The next units of the plan, in order, some of which may be ready."""

    def __init__(self) -> None:
        self._units: list[Unit] = []
        self._skip = 0  # units before this index were sent; compacted now and then, to keep taking cheap

    def __len__(self) -> int:
        return len(self._units) - self._skip

    def extend(self, units: Iterable[Unit]) -> None:
        """Append a page of the plan."""
        self._units = [*self._units[self._skip :], *units]
        self._skip = 0

    def take(self, level: float) -> Unit | None:
        """Remove and return the first unit that the watermark lets through, None if there is none."""
        for index in range(self._skip, len(self._units)):
            unit = self._units[index]
            if unit.after <= level:
                if index == self._skip:
                    self._skip += 1
                else:
                    del self._units[index]
                return unit
        return None
