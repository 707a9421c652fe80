"""Summarise what a publish would send, for `--dry-run`, read from the actual units."""

import json
from collections.abc import Callable, Iterable

from msgspec import Struct

from roar_publisher.lineage.batches import Sink
from roar_publisher.lineage.plan import PlanSummary
from roar_publisher.state.units import Kind, Unit


class JobSummary(Struct, frozen=True):
    """A job for display; the command is redacted, the counts are those of the links as sent."""

    uid: str
    step: int
    build: bool
    command: str
    inputs: int
    outputs: int


class Explanation(Struct, frozen=True):
    """The plan's summary and its jobs in publishing order. composites: the number of datasets among the artifacts."""

    summary: PlanSummary
    jobs: tuple[JobSummary, ...]
    composites: int


def explain(build: Callable[[Sink], PlanSummary]) -> Explanation:
    """Run `build` and return what to show of its units. Raises what `build` raises."""
    reader = _UnitReader()
    summary = build(reader.take)
    jobs = tuple(
        JobSummary(uid, step, build, command, *reader.links.get(uid, (0, 0)))
        for uid, step, build, command in reader.jobs
    )
    return Explanation(summary, jobs, reader.composites)


class _UnitReader:
    """A sink that keeps a summary of each job and drops the bodies."""

    def __init__(self) -> None:
        self.jobs: list[tuple[str, int, bool, str]] = []
        self.links: dict[str, tuple[int, int]] = {}
        self.composites = 0

    def take(self, units: Iterable[Unit]) -> None:
        for unit in units:
            if unit.kind is Kind.JOBS:
                for job in json.loads(unit.body):
                    build = job["job_type"] == "build"
                    self.jobs.append((job["job_uid"], job["step_number"], build, job["command"]))
            elif unit.kind in (Kind.INPUTS, Kind.OUTPUTS) and unit.job_uid is not None:
                inputs, outputs = self.links.get(unit.job_uid, (0, 0))
                more = (unit.items, 0) if unit.kind is Kind.INPUTS else (0, unit.items)
                self.links[unit.job_uid] = inputs + more[0], outputs + more[1]
            elif unit.kind is Kind.COMPOSITE:
                self.composites += unit.items
