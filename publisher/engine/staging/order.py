"""Decides which units may be sent now, with a window over the plan and a watermark over its nodes.

A unit waits for every node (composite, job batch, artifact batch) up to its `after`. In the plan, nodes come before
links, and links follow the order of their nodes, so the first units of the window are nearly always ready. The window
lets later units overtake those that are not ready, and bounds the memory.
"""

import heapq
from collections import Counter
from collections.abc import Callable, Iterable

from roar_publisher.state.units import NODES, Unit


class Watermark:
    """The seq up to which every node is acknowledged. Stores one number per unacknowledged node."""

    def __init__(self, unacknowledged: Iterable[int]) -> None:
        self._parts = Counter(unacknowledged)  # seq -> number of missing parts
        self._heap = list(self._parts)
        heapq.heapify(self._heap)

    @property
    def level(self) -> float:
        """The seq up to which every node is acknowledged; infinite when all are."""
        while self._heap and self._parts[self._heap[0]] == 0:
            del self._parts[heapq.heappop(self._heap)]
        return self._heap[0] - 1 if self._heap else float("inf")

    def split(self, unit: Unit) -> None:
        """Record that one missing part became two."""
        if unit.kind in NODES:
            self._parts[unit.seq] += 1

    def acknowledged(self, unit: Unit) -> None:
        """Record that one part is acknowledged."""
        if unit.kind in NODES:
            self._parts[unit.seq] -= 1


class Window:
    """The next units of the plan, in order, of which some may be ready.

    size: the bytes of their bodies.
    """

    def __init__(self) -> None:
        self.size = 0
        self._units: list[Unit] = []
        self._skip = 0  # units before this index were sent; compacted in `extend`, which keeps `take` cheap

    def __len__(self) -> int:
        return len(self._units) - self._skip

    def extend(self, units: Iterable[Unit]) -> None:
        """Append a page of the plan."""
        self._replace([*self._units[self._skip :], *units])

    def put_back(self, units: Iterable[Unit]) -> None:
        """Put units that were taken before the others."""
        self._replace([*units, *self._units[self._skip :]])

    def take(self, level: float, suits: Callable[[Unit], bool] = lambda unit: True) -> Unit | None:
        """Remove and return the first unit that the watermark allows and that suits; None if there is none.

        Real plans alternate between jobs and artifacts, so what is sent together has others in between.
        """
        for index in range(self._skip, len(self._units)):
            unit = self._units[index]
            if unit.after <= level and suits(unit):
                if index == self._skip:
                    self._skip += 1
                else:
                    del self._units[index]
                self.size -= len(unit.body)
                return unit
        return None

    def _replace(self, units: list[Unit]) -> None:
        self._units, self._skip = units, 0
        self.size = sum(len(unit.body) for unit in units)
