"""A pipeline over a real journal and a server of the test's own making."""

from collections.abc import Awaitable, Callable
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import anyio

from roar_publisher.engine.journal import AsyncJournal
from roar_publisher.engine.run import Run
from roar_publisher.engine.staging.pipeline import Pipeline
from roar_publisher.report import Report, Reporter
from roar_publisher.state.journal import Journal
from roar_publisher.state.limits import TransferLimits
from roar_publisher.state.units import NODES, Kind, Unit
from tests.support.blocking import inline
from tests.support.lineages import Lineage, cut, plan_of

EVERY_KIND = tuple(kind for kind in Kind if kind is not Kind.LABELS)
Deliver = Callable[[Unit], Awaitable[None]]


class Drain:
    """One journal, drained once or several times.  delivered: what the server has, in the order that it came."""

    def __init__(self, path: Path, lineage: Lineage | None = None, *, units: list[Unit] | None = None) -> None:
        self.journal = Journal(path)
        self.journal.db.execute("PRAGMA synchronous = OFF")
        self.units = units if units is not None else (lineage or cut([])).units
        self.journal.units.add(self.units)
        self.journal.freeze(plan_of(lineage or cut([]), "00c0ffee"))
        self.delivered: list[Unit] = []
        self.in_flight = 0
        self.reports: list[Report] = []
        self.report: Reporter = self.reports.append
        self.stop = anyio.Event()
        self.pipeline: Pipeline | None = None

    async def run(self, deliver: Deliver | None = None, *, most_requests: int = 8) -> None:
        """Drain everything but the labels."""
        run = SimpleNamespace(
            journal=AsyncJournal(self.journal, inline),
            report=self.report,
            stop=self.stop,
            limits=TransferLimits(jobs=most_requests),
        )
        self.pipeline = Pipeline(cast(Run, run), EVERY_KIND, self._counted(deliver or self.take))
        await self.pipeline.drain()

    async def take(self, unit: Unit) -> None:
        """Deliver a unit in 50 ms."""
        await anyio.sleep(0.05)
        self.delivered.append(unit)

    @property
    def acknowledged(self) -> set[tuple[int, int]]:
        rows = self.journal.db.execute("SELECT seq, part FROM units WHERE acked = 1")
        return {(seq, part) for seq, part in rows}

    @property
    def missing_nodes(self) -> set[int]:
        """The seq of each node that the server does not have."""
        return {u.seq for u in self.units if u.kind in NODES} - {u.seq for u in self.delivered}

    def _counted(self, deliver: Deliver) -> Deliver:
        async def counted(unit: Unit) -> None:
            self.in_flight += 1
            try:
                await deliver(unit)
            finally:
                self.in_flight -= 1

        return counted
