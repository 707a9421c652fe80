"""From a captured project to a frozen plan in a journal: everything that happens before the first request.

Nothing here touches the network.  The plan is written into the journal of a new publish; if the same lineage is already
on its way to the same registry, that publish is taken instead, and the new one is discarded.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from publisher.auth.choice import Flag
from publisher.auth.scope import Scope
from publisher.lineage.canonical import ANONYMOUS
from publisher.lineage.plan import PlanSummary, build_plan
from publisher.lineage.project import Project
from state.machine import LIVE
from state.paths import StateFolder
from state.publish import OwnedPublish
from state.record import Plan
from state.survey import Summary, survey


@dataclass(frozen=True, slots=True)
class Request:
    """What a person asks to be published, and how.

    target: as typed; None is the whole active session.  cwd: what a path target is relative to.
    """

    project: Project
    target: str | None
    cwd: Path
    registry: str
    flag: Flag

    @property
    def intent(self) -> dict[str, Any]:
        """What decides about visibility and credential, frozen with the plan."""
        config = self.project.config
        return {
            "flag": self.flag.value,
            "scope": asdict(Scope.from_config(config.table)),
            "ssh_key": config.glaas_key or "",
        }


@dataclass(frozen=True, slots=True)
class Frozen:
    """An owned publish with a plan.  resumed: it was interrupted earlier; else it is new."""

    publish: OwnedPublish
    plan: Plan
    resumed: bool


def freeze(
    request: Request,
    folder: StateFolder,
    *,
    identities: Iterable[str] = (ANONYMOUS,),
    clock: Callable[[], float],
    consent: Callable[[Mapping[str, int]], None] = lambda redactions: None,
) -> Frozen:
    """Freeze the plan of `request`, or take the interrupted publish of the very same lineage.

    identities: who it may be published as; the lineage hash is computed for each.
    consent: called with what was redacted ({shape: count}), if anything was; raises to stop before anything is kept.
    Raises UsageProblem for an unknown target, LocalProblem for what can't be read or written, Owned if another process
    works on the same lineage.  If interrupted, nothing but an unfinished plan is left, which `prune` removes.
    """
    intent = request.intent
    publish = OwnedPublish.create(folder, clock=clock)
    try:
        summary = build_plan(
            request.project,
            request.target,
            cwd=request.cwd,
            identities=tuple(identities),
            sink=publish.journal.add_units,
        )
        if summary.redactions:
            consent(summary.redactions)
        if earlier := _same_lineage(folder, request, intent, summary):
            resumed = OwnedPublish.open(earlier.paths, clock=clock)
            publish.discard()
            return Frozen(resumed, earlier.plan, resumed=True)
        plan = _plan(publish, request, intent, summary, clock())
        publish.journal.freeze(plan)
    except BaseException:
        publish.discard()
        raise
    return Frozen(publish, plan, resumed=False)


def _plan(publish: OwnedPublish, request: Request, intent: dict[str, Any], summary: PlanSummary, began: float) -> Plan:
    return Plan(
        id=publish.paths.id,
        created_at=began,
        project=str(request.project.root),
        roar_db=str(request.project.database),
        target=request.target,
        registry=request.registry,
        intent=intent,
        digest=summary.digest,
        local_session=summary.session_id,
        git_repo=summary.git.repo,
        git_commit=summary.git.commit,
        git_branch=summary.git.branch,
        jobs=summary.jobs,
        inputs=summary.inputs,
        outputs=summary.outputs,
        artifacts=summary.artifacts,
        labels=summary.labels,
        provisional=summary.provisional,
        redactions=summary.redactions,
    )


def _same_lineage(
    folder: StateFolder, request: Request, intent: dict[str, Any], summary: PlanSummary
) -> Summary | None:
    """The newest unfinished publish of the same bytes to the same registry with the same intent, owned or not."""
    wanted = (request.registry, summary.digest, intent)
    for found in survey(folder):
        if isinstance(found, Summary) and found.progress.state in LIVE:
            plan = found.plan
            if (plan.registry, plan.digest, plan.intent) == wanted:
                return found
    return None
