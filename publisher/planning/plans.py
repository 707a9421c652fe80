"""Freezes the plan of a publish in a journal: everything that happens before the first request.

Nothing here uses the network. The plan is written into the journal of a new publish. If an unfinished publish of the
same lineage to the same registry exists, that one is taken instead and the new one is discarded.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from roar_publisher.auth.choice import Flag
from roar_publisher.auth.identity import is_key_identity
from roar_publisher.auth.scope import RepoScope
from roar_publisher.lineage.batches import Sink
from roar_publisher.lineage.canonical import ANONYMOUS_IDENTITY
from roar_publisher.lineage.plan import PlanSummary, build_plan
from roar_publisher.lineage.project import Project
from roar_publisher.state.errors import Owned
from roar_publisher.state.lock import exclusively
from roar_publisher.state.machine import LIVE, State
from roar_publisher.state.objects import ObjectRow
from roar_publisher.state.paths import StateFolder
from roar_publisher.state.publish import OwnedPublish
from roar_publisher.state.reasons import ELSEWHERE
from roar_publisher.state.record import NAMED_BY, NAMED_BY_USER, OF_THIS_MACHINE, NamedBy, Plan, Progress
from roar_publisher.state.survey import Summary, survey

MET = (*LIVE, State.DONE)
"""States in which an earlier publish of the same lineage is taken."""


@dataclass(frozen=True, slots=True)
class Request:
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


@dataclass(frozen=True, slots=True)
class Storing:
    """What a put stores before its lineage is published, and what it records afterwards.

    destination: the URL of the store.
    tags: git tags, as (name, commit, remote, address).
    record: what is written to roar.db, as JSON text.
    """

    destination: str
    objects: tuple[ObjectRow, ...]
    tags: tuple[tuple[str, ...], ...]
    record: str


@dataclass(frozen=True, slots=True)
class Draft:
    """The result of planning.

    fingerprint: identifies the request, so that an interrupted publish of the same lineage can be found again.
    """

    summary: PlanSummary
    fingerprint: str
    storing: Storing | None = None


Planner = Callable[[Sequence[str], Sink], Draft]
"""Plans for the given identities, and passes the units to the sink."""


@dataclass(frozen=True, slots=True)
class Frozen:
    """An owned publish with a plan.

    resumed: whether the publish was begun earlier.
    finished: the progress of an earlier, already published put of the same files and lineage, otherwise None.
    """

    publish: OwnedPublish
    plan: Plan
    resumed: bool
    finished: Progress | None = None


def lineage_planner(request: Request) -> Planner:
    """Return a planner of the lineage of the request's target."""

    def plan(identities: Sequence[str], sink: Sink) -> Draft:
        summary = build_plan(request.project, request.target, cwd=request.cwd, identities=tuple(identities), sink=sink)
        return Draft(summary, summary.digest)

    return plan


def freeze(
    request: Request,
    folder: StateFolder,
    *,
    identities: Sequence[str] = (ANONYMOUS_IDENTITY,),
    clock: Callable[[], float],
    consent: Callable[[Mapping[str, int]], None] = lambda redactions: None,
    planner: Planner | None = None,
    agreed: bool = False,
    again: bool = False,
) -> Frozen:
    """Freeze the plan of `request`, or take an earlier publish of the same: an unfinished one, or a finished put.

    identities: the identities it may be published as; the lineage hash is computed for each.
    consent: called with what was redacted ({shape: count}), if anything was; raises to stop before anything is kept.
    planner: what to plan; by default the lineage of the target.
    agreed: whether the user agreed in advance to every question; kept with the plan.
    again: never take an earlier publish.

    Raises UsageProblem for an unknown target, LocalProblem for what cannot be read or written, and Owned if another
    process works on the same publish. If interrupted, it leaves at most an unfinished plan, which `prune` removes.
    """
    intent, began = request.intent, clock()
    publish = OwnedPublish.create(folder, clock=clock)
    try:
        draft = _drafted(planner or lineage_planner(request), identities, publish.journal.add_units)
        earlier = None if again else _same(folder, request, intent, draft)
        if earlier is None and draft.summary.redactions:  # an earlier publish has the consent already
            consent(draft.summary.redactions)
        with _one_put_at_a_time(folder, draft):
            if earlier is None and not again and draft.storing is not None:
                earlier = _same(folder, request, intent, draft)  # another process may have planned it meanwhile
            if earlier is None:
                plan = _plan(publish, request, intent, draft, began)
                _keep(publish, plan, draft.storing, agreed=agreed)
                return Frozen(publish, plan, resumed=False)
        taken = _take(earlier, clock)
        if request.named_by in NAMED_BY_USER:
            taken.journal.name_registry(request.named_by)
    except BaseException:
        publish.discard()
        raise
    publish.discard()
    return Frozen(taken, earlier.plan, resumed=True, finished=None if earlier.live else earlier.progress)


def _one_put_at_a_time(folder: StateFolder, draft: Draft) -> AbstractContextManager[None]:
    """Return a lock for planning a put, or a null context if this is not a put.

    Without it, two processes that plan the same put at once would not see each other and would publish two put jobs.
    Lineage without a put job has one hash, however often it is published.
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
    """Return the draft for these identities.

    The identity of a key does not name its owner (`auth.identity`), so it gets the hash of the anonymous lineage.
    """
    draft = planner([identity for identity in identities if not is_key_identity(identity)], sink)
    provisional, published = (
        hashes | {identity: hashes[ANONYMOUS_IDENTITY] for identity in identities if is_key_identity(identity)}
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
    """Return the newest unfinished publish of the same to the same registry with the same intent, owned or not.

    If there is none and this is a put, return the newest finished one: each put makes a new job, so repeating a put by
    mistake would publish a different lineage.

    A publish that was planned for fewer identities than may publish it now does not match. Neither does one that was
    moved to another machine. One that was imported is not taken before the user has resumed it by its id, because its
    author may have written another lineage under the same fingerprint.
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
