"""The jobs of a frozen plan as the lineage hash covers them, read from the journal."""

import json
from typing import Any

from msgspec import Struct

from roar_publisher.blocking import end_if_cancelled
from roar_publisher.state.journal import Journal
from roar_publisher.state.record import Plan, Progress
from roar_publisher.state.units import Kind
from roar_publisher.verification.texts import Link, SortedJobs, links_of


class PlannedLineage(Struct, frozen=True):
    """A finished publish of this machine: its journal, which is open, and what is in it."""

    journal: Journal
    plan: Plan
    progress: Progress

    @property
    def hashes(self) -> frozenset[str]:
        """The hashes that what was sent may have; empty if an older release planned it."""
        return frozenset(self.plan.published.values())


def plan_into(journal: Journal, planned: SortedJobs) -> None:
    """Add the jobs that a plan sends to `planned`, under their local uids, one batch at a time. Blocks."""
    steps = {job["job_uid"]: job["step_number"] for body in journal.units.bodies(Kind.JOBS) for job in json.loads(body)}
    places = journal.units.links_by_job()
    for body in journal.units.bodies(Kind.JOBS):
        for job in json.loads(body):
            end_if_cancelled()
            links: dict[Kind, list[Link]] = {Kind.INPUTS: [], Kind.OUTPUTS: []}
            for seq, part, kind in places.get(job["job_uid"], ()):
                links[kind] += links_of(json.loads(journal.units.body(seq, part)))
            parent: dict[str, Any] = {"parent_step_number": steps.get(job.get("parent_job_uid"))}
            planned.add(job["job_uid"], job | parent, links[Kind.INPUTS], links[Kind.OUTPUTS])
