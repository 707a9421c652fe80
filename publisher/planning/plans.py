"""What the user asks to publish, and the plan that is drafted from it."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from msgspec import Struct
from msgspec.structs import asdict

from roar_publisher.auth.choice import Flag
from roar_publisher.auth.scope import RepoScope
from roar_publisher.lineage.batches import Sink
from roar_publisher.lineage.plan import PlanSummary, build_plan
from roar_publisher.lineage.project import Project
from roar_publisher.state.objects import ObjectRow
from roar_publisher.state.record import NAMED_BY, NamedBy


class PublishRequest(Struct, frozen=True):
    """What the user asks to publish, and how.

    target: as typed; None means the whole active session.
    cwd: the folder that a path target is relative to.
    named_by: where the registry's address comes from.
    """

    project: Project
    target: str | None
    cwd: Path
    registry: str
    flag: Flag
    named_by: NamedBy

    @property
    def scope(self) -> RepoScope:
        """The scope that the repository publishes to. Raises LocalProblem if the configuration is invalid."""
        return RepoScope.from_config(self.project.config.table)

    @property
    def intent(self) -> dict[str, Any]:
        """What decides about visibility and credential, frozen with the plan."""
        config = self.project.config
        return {
            "flag": self.flag.value,
            "scope": asdict(self.scope),
            "ssh_key": config.glaas_key or "",
            NAMED_BY: self.named_by.value,
        }


class PutPlan(Struct, frozen=True):
    """What a put stores before its lineage is published, and what it records afterwards.

    destination: the URL of the store.
    objects: what must be in the store before finalize; keys are unique.
    tags: git tags, as (name, commit, remote, address).
    record: the `PutRecord` for roar.db, as JSON text.
    recorded_at: the time of its job and labels, in Unix seconds, before anything else was read from roar.db.
    """

    destination: str
    objects: tuple[ObjectRow, ...]
    tags: tuple[tuple[str, ...], ...]
    record: str
    recorded_at: float


class Draft(Struct, frozen=True):
    """The result of planning.

    fingerprint: identifies the request, so that an interrupted publish of the same lineage can be found again.
    put: None if no files are stored.
    """

    summary: PlanSummary
    fingerprint: str
    put: PutPlan | None = None


Planner = Callable[[Sequence[str], Sink], Draft]
"""Plans for the given identities, and passes the units to the sink."""


def lineage_planner(request: PublishRequest) -> Planner:
    """Return a planner of the lineage of the request's target."""

    def plan(identities: Sequence[str], sink: Sink) -> Draft:
        summary = build_plan(request.project, request.target, cwd=request.cwd, identities=tuple(identities), sink=sink)
        return Draft(summary, summary.digest)

    return plan
