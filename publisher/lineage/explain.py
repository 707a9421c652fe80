"""Summarise what a publish would send, for `--dry-run`, read from the actual units."""

import json
from collections.abc import Iterable

from msgspec import Struct

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


class UnitReader:
    """Keeps a summary of each job, and drops the bodies of the units."""

    def __init__(self) -> None:
        self._jobs: list[tuple[str, int, bool, str]] = []
        self._links: dict[str, tuple[int, int]] = {}
        self._composites = 0

    def take(self, units: Iterable[Unit]) -> None:
        """Read units, as the sink of a planner."""
        for unit in units:
            if unit.kind is Kind.JOBS:
                for job in json.loads(unit.body):
                    build = job["job_type"] == "build"
                    self._jobs.append((job["job_uid"], job["step_number"], build, job["command"]))
            elif unit.kind in (Kind.INPUTS, Kind.OUTPUTS) and unit.job_uid is not None:
                inputs, outputs = self._links.get(unit.job_uid, (0, 0))
                more = (unit.items, 0) if unit.kind is Kind.INPUTS else (0, unit.items)
                self._links[unit.job_uid] = inputs + more[0], outputs + more[1]
            elif unit.kind is Kind.COMPOSITE:
                self._composites += unit.items

    def explanation(self, summary: PlanSummary) -> Explanation:
        """Return what to show of the units that were taken. summary: that of their plan."""
        jobs = tuple(JobSummary(*job, *self._links.get(job[0], (0, 0))) for job in self._jobs)
        return Explanation(summary, jobs, self._composites)
