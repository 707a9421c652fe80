"""Sends every unacknowledged unit as soon as it is ready, as many at once as the server accepts.

One task hands out the units, one task per unit delivers it, and one task commits the acknowledgements. The window and
the number of requests in flight bound the memory, whatever the size of the plan.

    journal ──page──▶ window ──ready──▶ deliver (≤ most at once) ──reply──▶ acknowledgements ──group──▶ journal
                        ▲                                            │
                        └──────────────── watermark ◀────────────────┘
"""

from collections.abc import Awaitable, Callable, Iterable

import anyio
from anyio.abc import TaskGroup

from roar_publisher.engine.run import Run
from roar_publisher.engine.staging.acks import Acknowledgements
from roar_publisher.engine.staging.delivery import describe_oversized_item
from roar_publisher.engine.staging.order import Watermark, Window
from roar_publisher.engine.staging.requests import halves
from roar_publisher.glaas.client import Refused
from roar_publisher.report import Advanced
from roar_publisher.state.errors import Interrupted, Rejected
from roar_publisher.state.units import NODES, Kind, Unit
from roar_publisher.tasks import background, task_group

PAGE_UNITS = 256
PAGE_BYTES = 2 * 1024 * 1024
TOO_LARGE = 413

Deliver = Callable[[Unit], Awaitable[None]]


class Pipeline:
    """Sends the units of some kinds. Use one instance per drain.

    deliver: sends one unit and returns when the server has it. It is called again for a unit whose reply was lost.
    """

    def __init__(self, run: Run, kinds: Iterable[Kind], deliver: Deliver) -> None:
        self._run = run
        self._kinds = frozenset(kinds)
        self._deliver = deliver
        self._acks = Acknowledgements[tuple[int, int]](run.journal.units.acknowledge)
        self._window = Window()
        self._in_flight = 0  # written by the event loop's tasks, between awaits
        self._changed = anyio.Event()  # set after an acknowledgement or a stop
        self._drained = False
        self._too_large: int | None = None  # the size of the smallest body that the server found too large

    async def drain(self) -> None:
        """Return when every unit is durably acknowledged.

        Raises the first error of `deliver`. Raises Interrupted when the run is asked to stop: nothing new is sent,
        requests in flight finish, and acknowledgements are committed. Draining again sends only what is missing.
        """
        self._watermark = Watermark(await self._run.journal.units.unacknowledged_nodes(self._kinds & NODES))
        try:
            async with background(self._acks.serve, self._watch_for_stop), task_group() as tasks:
                await self._hand_out(tasks)
        finally:
            await self._acks.flush()
        if not self._drained:
            raise Interrupted

    async def _hand_out(self, tasks: TaskGroup) -> None:
        past = 0
        exhausted = False
        while True:
            stopping = self._run.stop.is_set()
            if not exhausted and not stopping and len(self._window) < PAGE_UNITS // 2:
                page = await self._run.journal.units.pending(
                    self._kinds, past=past, limit=PAGE_UNITS, max_bytes=PAGE_BYTES
                )
                exhausted = not page
                if page:
                    past = page[-1].seq
                    self._window.extend(page)
            unit = None
            if not stopping and self._in_flight < self._run.limits.requests:
                unit = self._window.take(self._watermark.level)
            if unit is not None:
                self._in_flight += 1
                tasks.start_soon(self._send, unit)
            elif self._in_flight == 0 and (stopping or (exhausted and not len(self._window))):
                self._drained = exhausted and not len(self._window)
                return
            else:
                await self._changed.wait()
                self._changed = anyio.Event()

    async def _send(self, unit: Unit) -> None:
        try:
            await self._deliver_fitting(unit)
        finally:
            self._in_flight -= 1
            self._changed.set()

    async def _deliver_fitting(self, unit: Unit) -> None:
        """Deliver a unit. Split it in halves, repeatedly, while the server finds it too large."""
        if self._too_large is None or len(unit.body) < self._too_large or unit.items == 1:
            try:
                await self._deliver(unit)
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
                self._acks.add((unit.seq, unit.part))
                self._watermark.acknowledged(unit)
                self._changed.set()
                self._run.report(Advanced(unit.kind, unit.items, len(unit.body)))
                return
        self._watermark.split(unit)
        for half in await self._run.journal.units.split(unit, halves(unit)):
            await self._deliver_fitting(half)

    async def _watch_for_stop(self) -> None:
        await self._run.stop.wait()
        self._changed.set()
