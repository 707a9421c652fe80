"""From a captured project to a frozen plan in a journal: everything that happens before the first request.

Nothing here touches the network.  The plan is written into the journal of a new publish; if the same lineage is already
on its way to the same registry, that publish is taken instead, and the new one is discarded.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from roar_publisher.auth.choice import Flag
from roar_publisher.auth.identity import is_key
from roar_publisher.auth.scope import Scope
from roar_publisher.lineage.batches import Sink
from roar_publisher.lineage.canonical import ANONYMOUS
from roar_publisher.lineage.plan import PlanSummary, build_plan
from roar_publisher.lineage.project import Project
from roar_publisher.state.errors import Owned
from roar_publisher.state.lock import exclusively
from roar_publisher.state.machine import LIVE, State
from roar_publisher.state.objects import ObjectRow
from roar_publisher.state.paths import StateFolder
from roar_publisher.state.publish import OwnedPublish
from roar_publisher.state.reasons import ELSEWHERE
from roar_publisher.state.record import NAMED_BY, OF_THIS_MACHINE, USERS_OWN_WORD, NamedBy, Plan, Progress
from roar_publisher.state.survey import Summary, survey

MET = (*LIVE, State.DONE)
"""States in which an earlier publish of the same is met."""


@dataclass(frozen=True, slots=True)
class Request:
    """What a person asks to be published, and how.

    target: as typed; None is the whole active session.  cwd: what a path target is relative to.  named_by: what named
    the registry.
    """

    project: Project
    target: str | None
    cwd: Path
    registry: str
    flag: Flag
    named_by: NamedBy

    @property
    def scope(self) -> Scope:
        """Where the repo publishes to.  Raises LocalProblem for a configuration that can't be understood."""
        return Scope.from_config(self.project.config.table)

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


@dataclass(frozen=True, slots=True)
class Storing:
    """What a put stores before its lineage is published, and what it leaves behind afterwards.

    destination: of the store, as a URL.  tags: git tags, as (name, commit, remote, address).  record: for roar.db, as
    JSON text.
    """

    destination: str
    objects: tuple[ObjectRow, ...]
    tags: tuple[tuple[str, ...], ...]
    record: str


@dataclass(frozen=True, slots=True)
class Draft:
    """What planning came to.

    fingerprint: names what is asked for, so that an interrupted publish of the same is found again.
    """

    summary: PlanSummary
    fingerprint: str
    storing: Storing | None = None


Planner = Callable[[Sequence[str], Sink], Draft]
"""Plans for these identities, and hands the units to the sink."""


@dataclass(frozen=True, slots=True)
class Frozen:
    """An owned publish with a plan.  resumed: it was begun earlier; else it is new.

    finished: where an earlier put of the very same stands that is published already; None for anything else.
    """

    publish: OwnedPublish
    plan: Plan
    resumed: bool
    finished: Progress | None = None


def lineage_planner(request: Request) -> Planner:
    """Plans the lineage of the request's target."""

    def plan(identities: Sequence[str], sink: Sink) -> Draft:
        summary = build_plan(request.project, request.target, cwd=request.cwd, identities=tuple(identities), sink=sink)
        return Draft(summary, summary.digest)

    return plan


def freeze(
    request: Request,
    folder: StateFolder,
    *,
    identities: Sequence[str] = (ANONYMOUS,),
    clock: Callable[[], float],
    consent: Callable[[Mapping[str, int]], None] = lambda redactions: None,
    planner: Planner | None = None,
    agreed: bool = False,
    again: bool = False,
) -> Frozen:
    """Freeze the plan of `request`, or take the interrupted publish, or the finished put, of the very same.

    identities: who it may be published as; the lineage hash is computed for each.
    consent: called with what was redacted ({shape: count}), if anything was; raises to stop before anything is kept.
    planner: what to plan; the lineage of the target by default.  agreed: to whatever it asks for, kept with the plan.
    again: take no earlier one, whatever is there.
    Raises UsageProblem for an unknown target, LocalProblem for what can't be read or written, Owned if another process
    works on the same.  If interrupted, nothing but an unfinished plan is left, which `prune` removes.
    """
    intent, began = request.intent, clock()
    publish = OwnedPublish.create(folder, clock=clock)
    try:
        draft = _drafted(planner or lineage_planner(request), identities, publish.journal.add_units)
        earlier = None if again else _same(folder, request, intent, draft)
        if earlier is None and draft.summary.redactions:  # the person agreed to those of an earlier one then
            consent(draft.summary.redactions)
        with _one_put_at_a_time(folder, draft):
            if earlier is None and not again and draft.storing is not None:
                earlier = _same(folder, request, intent, draft)  # what another process planned meanwhile
            if earlier is None:
                plan = _plan(publish, request, intent, draft, began)
                _keep(publish, plan, draft.storing, agreed=agreed)
                return Frozen(publish, plan, resumed=False)
        taken = _take(earlier, clock)
        if request.named_by in USERS_OWN_WORD:
            taken.journal.name_registry(request.named_by)
    except BaseException:
        publish.discard()
        raise
    publish.discard()
    return Frozen(taken, earlier.plan, resumed=True, finished=None if earlier.live else earlier.progress)


def _one_put_at_a_time(folder: StateFolder, draft: Draft) -> AbstractContextManager[None]:
    """Two processes that plan the same put at once would not see each other, and publish two put jobs.

    The same lineage without a put job has one hash, whoever publishes it how often.
    """
    return nullcontext() if draft.storing is None else exclusively(folder.root / "plan.lock")


def _keep(publish: OwnedPublish, plan: Plan, storing: Storing | None, *, agreed: bool) -> None:
    if storing is not None:
        publish.journal.objects.add(storing.objects)
        publish.paths.write_put_record(storing.record)
    publish.journal.freeze(plan, agreed=agreed)


def _decisive(intent: Mapping[str, Any]) -> dict[str, Any]:
    """An intent without what makes no other publish of it."""
    return {name: value for name, value in intent.items() if name not in OF_THIS_MACHINE}


def _drafted(planner: Planner, identities: Sequence[str], sink: Sink) -> Draft:
    """The draft for these identities.  The hash names nobody for a key (`auth.identity`): it gets the anonymous one."""
    draft = planner([identity for identity in identities if not is_key(identity)], sink)
    provisional, published = (
        hashes | {identity: hashes[ANONYMOUS] for identity in identities if is_key(identity)}
        for hashes in (draft.summary.provisional, draft.summary.published)
    )
    return replace(draft, summary=replace(draft.summary, provisional=provisional, published=published))


def _take(earlier: Summary, clock: Callable[[], float]) -> OwnedPublish:
    try:
        return OwnedPublish.open(earlier.paths, clock=clock)
    except Owned as owned:
        owned.publish_id = earlier.paths.id
        raise


def _plan(publish: OwnedPublish, request: Request, intent: dict[str, Any], draft: Draft, began: float) -> Plan:
    summary, storing = draft.summary, draft.storing
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
        published=summary.published,
        redactions=summary.redactions,
        fingerprint=draft.fingerprint,
        destination=storing.destination if storing else None,
        tags=[list(tag) for tag in storing.tags] if storing else [],
    )


def _same(folder: StateFolder, request: Request, intent: dict[str, Any], draft: Draft) -> Summary | None:
    """The newest unfinished publish of the same to the same registry with the same intent, owned or not.

    Where there is none, the newest that is published, if it is a put: every put makes a job, so that to put the same
    again by mistake would not be the same lineage.  One that was planned for fewer people than may publish it now is
    another; one that was moved to another machine is left to that, and one that came from elsewhere is not taken before
    a person has resumed it by its id: whoever made it may have written another lineage under the same fingerprint.
    """
    finished: Summary | None = None
    destination = draft.storing.destination if draft.storing else None
    wanted = (request.registry, draft.fingerprint, _decisive(intent), destination)
    for found in survey(folder):
        if isinstance(found, Summary) and found.progress.state in MET and found.progress.reason not in ELSEWHERE:
            plan = found.plan
            named = draft.summary.provisional.keys() <= plan.provisional.keys()
            if named and (plan.registry, plan.fingerprint, _decisive(plan.intent), plan.destination) == wanted:
                if found.live:
                    return found
                finished = finished or found
    return finished if destination is not None else None
