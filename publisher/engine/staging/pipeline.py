"""Sends every unacknowledged unit as soon as it is ready, as many at once as the registry accepts.

One task hands out the units, one task per request delivers what it carries, and one task commits the acknowledgements.
A request carries one unit, or a group of them if the registry can take one (`steps.unit_groups`). The window, the
requests and the bytes in flight bound the memory, whatever the size of the plan.

    journal ──page──▶ window ──ready──▶ deliver (≤ most at once) ──reply──▶ acknowledgements ──group──▶ journal
                        ▲                                            │
                        └──────────────── watermark ◀────────────────┘
"""

from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Protocol

import anyio
from anyio.abc import TaskGroup

from roar_publisher.engine.run import Run
from roar_publisher.engine.staging.acks import Acknowledgements
from roar_publisher.engine.staging.delivery import describe_oversized_item
from roar_publisher.engine.staging.order import Watermark, Window
from roar_publisher.engine.staging.routes import TOO_LARGE, halves
from roar_publisher.glaas.client import Refused
from roar_publisher.report import Advanced
from roar_publisher.state.errors import Interrupted, Rejected
from roar_publisher.state.units import NODES, Kind, Unit
from roar_publisher.tasks import background, task_group

PAGE_UNITS = 1024
PAGE_BYTES = 2 * 1024 * 1024
BYTES_IN_FLIGHT = 6 * 1024 * 1024
"""While the requests in flight hold as many bytes of units, no other is begun."""

Deliver = Callable[[Unit], Awaitable[None]]
Take = Callable[[Callable[[Unit], bool]], Unit | None]
"""Removes and returns the next ready unit that suits; None if there is none."""
Taken = tuple[list[Unit], list[Unit]]
"""The units that the registry has, and those to send in another way."""


class NotTaken(Exception):
    """The registry does not take all of a unit. It stays unacknowledged, so a later drain meets the same answer."""


class Groups(Protocol):
    """Sends several units in one request (`steps.unit_groups`)."""

    def gather(self, first: Unit, take: Take) -> list[Unit]:
        """Return the units of one request: `first`, and the ready ones that are sent with it."""
        ...

    async def deliver(self, units: Sequence[Unit]) -> Taken:
        """Send units in one request."""
        ...


class Pipeline:
    """Sends the units of some kinds. Use one instance per drain.

    deliver: sends one unit and returns when the registry has it, or raises NotTaken. It is called again for a unit
    whose reply was lost.
    groups: sends several units together; None if each is sent alone.
    """

    def __init__(self, run: Run, kinds: Iterable[Kind], deliver: Deliver, groups: Groups | None = None) -> None:
        self._run = run
        self._kinds = frozenset(kinds)
        self._deliver = deliver
        self._groups = groups
        self._acks = Acknowledgements[tuple[int, int]](run.journal.units.acknowledge)
        self._window = Window()
        self._in_flight = 0  # requests; written by the event loop's tasks, between awaits
        self._bytes_in_flight = 0
        self._changed = anyio.Event()  # set after an acknowledgement or a stop
        self._too_large: int | None = None  # the size of the smallest body that the registry found too large

    async def drain(self) -> None:
        """Return when every unit is durably acknowledged, or was not taken.

        Raises the first error of `deliver`. Raises Interrupted when the run is asked to stop: nothing new is sent,
        requests in flight finish, and acknowledgements are committed. Draining again sends only what is missing.
        """
        self._watermark = Watermark(await self._run.journal.units.unacknowledged_nodes(self._kinds & NODES))
        try:
            async with background(self._acks.serve, self._watch_for_stop), task_group() as tasks:
                drained = await self._hand_out(tasks)
        finally:
            await self._acks.flush()
        if not drained:
            raise Interrupted

    async def _hand_out(self, tasks: TaskGroup) -> bool:
        """Begin requests until everything was sent, or the run is to stop. Return whether everything was."""
        past = 0
        exhausted = False
        while True:
            stopping = self._run.stop.is_set()
            if not exhausted and not stopping and self._runs_low():
                page = await self._run.journal.units.pending(
                    self._kinds, past=past, limit=PAGE_UNITS, max_bytes=PAGE_BYTES
                )
                exhausted = not page
                if page:
                    past = page[-1].seq
                    self._window.extend(page)
            units = [] if stopping else self._take()
            if units:
                self._in_flight += 1
                self._bytes_in_flight += _size(units)
                tasks.start_soon(self._send, units)
            elif self._in_flight == 0 and exhausted and not len(self._window):
                return True
            elif self._in_flight == 0 and stopping:
                return False
            else:
                await self._changed.wait()
                self._changed = anyio.Event()

    def _runs_low(self) -> bool:
        """Return whether the window holds less than half a page."""
        return len(self._window) < PAGE_UNITS / 2 and self._window.size < PAGE_BYTES / 2

    def _take(self) -> list[Unit]:
        """Remove and return the units of the next request; none if it has to wait."""
        if self._in_flight >= self._run.limits.requests or self._bytes_in_flight >= BYTES_IN_FLIGHT:
            return []
        level = self._watermark.level
        first = self._window.take(level)
        if first is None or self._groups is None:
            return [] if first is None else [first]
        return self._groups.gather(first, lambda suits: self._window.take(level, suits))

    async def _send(self, units: Sequence[Unit]) -> None:
        try:
            if self._groups is not None and len(units) > 1:
                taken, others = await self._groups.deliver(units)
                for unit in taken:
                    self._acknowledge(unit)
                self._window.put_back(others)
            else:
                await self._deliver_fitting(units[0])
        finally:
            self._in_flight -= 1
            self._bytes_in_flight -= _size(units)
            self._changed.set()

    async def _deliver_fitting(self, unit: Unit) -> None:
        """Deliver a unit. Split it in halves, repeatedly, while the registry finds it too large."""
        if self._too_large is None or len(unit.body) < self._too_large or unit.items == 1:
            try:
                await self._deliver(unit)
            except NotTaken:
                return
            except Refused as error:
                if error.status != TOO_LARGE:
                    raise
                if unit.items == 1:
                    raise Rejected(
                        f"one item is too large for the registry: {await describe_oversized_item(self._run, unit)}",
                        next_step="have the registry's body limit raised, or make the item smaller",
                    ) from error
                self._too_large = min(self._too_large or len(unit.body), len(unit.body))
            else:
                self._acknowledge(unit)
                return
        self._watermark.split(unit)
        for half in await self._run.journal.units.split(unit, halves(unit)):
            await self._deliver_fitting(half)

    def _acknowledge(self, unit: Unit) -> None:
        self._acks.add((unit.seq, unit.part))
        self._watermark.acknowledged(unit)
        self._changed.set()
        self._run.report(Advanced(unit.kind, unit.items))

    async def _watch_for_stop(self) -> None:
        await self._run.stop.wait()
        self._changed.set()


def _size(units: Iterable[Unit]) -> int:
    return sum(len(unit.body) for unit in units)
