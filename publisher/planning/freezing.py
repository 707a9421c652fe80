"""Freeze the plan of a publish in a journal: everything that happens before the first request.

Nothing here uses the network. The plan is written into the journal of a new publish. If an unfinished publish of the
same lineage to the same registry exists, that one is used instead and the new one is discarded.
"""

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from pathlib import Path
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from roar_publisher.auth.identity import is_key_identity
from roar_publisher.glaas.protocol import ANONYMOUS_IDENTITY
from roar_publisher.lineage.batches import Sink
from roar_publisher.planning.plans import Draft, Planner, PublishRequest, lineage_planner
from roar_publisher.state.errors import Owned
from roar_publisher.state.lock import exclusively
from roar_publisher.state.machine import LIVE, State
from roar_publisher.state.meanings import ELSEWHERE
from roar_publisher.state.paths import StateFolder
from roar_publisher.state.publish import OwnedPublish
from roar_publisher.state.reasons import Reason
from roar_publisher.state.record import LOCAL_SETTINGS, NAMED_BY_USER, NamedBy, Plan, Progress
from roar_publisher.state.status import JournalStatus
from roar_publisher.state.status_reader import Unreadable, read_all, read_with_fingerprint
from roar_publisher.state.sweep import is_of_another

REUSABLE_STATES = (*LIVE, State.DONE)
"""States in which an earlier publish of the same lineage is reused."""


class FrozenPlan(Struct, frozen=True):
    """An owned publish with a plan.

    resumed: whether the publish was begun earlier.
    finished: the progress of an earlier, already published put of the same files and lineage, otherwise None.
    """

    publish: OwnedPublish
    plan: Plan
    resumed: bool
    finished: Progress | None = None


def freeze(
    request: PublishRequest,
    folder: StateFolder,
    *,
    identities: Sequence[str] = (ANONYMOUS_IDENTITY,),
    clock: Callable[[], float],
    consent: Callable[[Mapping[str, int]], None] = lambda redactions: None,
    planner: Planner | None = None,
    agreed: bool = False,
    again: bool = False,
) -> FrozenPlan:
    """Freeze the plan of `request`, or return an earlier publish of the same: an unfinished one, or a finished put.

    identities: the identities it may be published as; the lineage hash is computed for each.
    consent: called with what was redacted ({shape: count}), if anything was; raises to stop before anything is kept.
    planner: what to plan; by default the lineage of the target.
    agreed: whether the user agreed in advance to every question; kept with the plan.
    again: never return an earlier publish.

    Raises UsageProblem for an unknown target, LocalProblem for what cannot be read or written, and Owned if another
    process works on the same publish. If interrupted, it leaves at most an unfinished plan, which `prune` removes.
    """
    intent, began = request.intent, clock()
    publish = OwnedPublish.create(folder, clock=clock)
    try:
        draft = _draft(planner or lineage_planner(request), identities, publish.journal.units.add)
        earlier, seen = None, {publish.paths.id}
        if not again:
            seen |= {paths.id for paths in folder.all_publishes() if is_of_another(paths, draft.fingerprint)}
            earlier = _find_earlier(read_all(folder, skip=frozenset(seen)), request, intent, draft, seen)
        if earlier is None and draft.summary.redactions:  # an earlier publish has the consent already
            consent(draft.summary.redactions)
        if earlier is None and draft.put is not None:  # not under the lock: they may be millions
            publish.journal.objects.add(draft.put.objects)
            publish.paths.write_put_record(draft.put.record)
        with _one_put_at_a_time(folder, draft):
            if earlier is None and not again and draft.put is not None:
                planned_since = read_with_fingerprint(
                    folder, draft.fingerprint, skip=seen
                )  # the same, by another process
                earlier = _find_earlier(planned_since, request, intent, draft, seen)
            if earlier is None:
                plan = _plan(publish, request, intent, draft, began)
                publish.paths.note_fingerprint(plan.fingerprint)
                publish.journal.freeze(plan, agreed=agreed)
                return FrozenPlan(publish, plan, resumed=False)
        reused = _open_earlier(earlier, clock, request.named_by)
    except BaseException:
        publish.discard()
        raise
    publish.discard()
    return FrozenPlan(reused, earlier.plan, resumed=True, finished=None if earlier.live else earlier.progress)


def _one_put_at_a_time(folder: StateFolder, draft: Draft) -> AbstractContextManager[None]:
    """Return a lock for planning a put, or a null context if this is not a put.

    Without it, two processes that plan the same put at once would not see each other and would publish two put jobs.
    Lineage without a put job has one hash, however often it is published.
    """
    return nullcontext() if draft.put is None else _planning_locked(folder)


@contextmanager
def _planning_locked(folder: StateFolder) -> Iterator[None]:
    with ExitStack() as held:
        try:
            held.enter_context(exclusively(folder.root / "plan.lock"))
        except Owned as owned:
            what = "other puts are being planned for this state folder, and this one has waited too long"
            kept, next_step = "Nothing was sent or kept.", "repeat the command"
            raise Owned(what, kept=kept, next_step=next_step, reason=Reason.OWNED) from owned
        yield


def _comparable(intent: Mapping[str, Any]) -> dict[str, Any]:
    """Return an intent without the values in which two publishes of the same may differ."""
    return {name: value for name, value in intent.items() if name not in LOCAL_SETTINGS}


def _draft(planner: Planner, identities: Sequence[str], sink: Sink) -> Draft:
    """Return the planner's draft, with a hash for each of these identities.

    The identity of a key does not name its owner (`auth.identity`), so it gets the hash of the anonymous lineage.
    """
    draft = planner([identity for identity in identities if not is_key_identity(identity)], sink)
    provisional, published = (
        hashes | {identity: hashes[ANONYMOUS_IDENTITY] for identity in identities if is_key_identity(identity)}
        for hashes in (draft.summary.provisional, draft.summary.published)
    )
    return replace(draft, summary=replace(draft.summary, provisional=provisional, published=published))


def _open_earlier(earlier: JournalStatus, clock: Callable[[], float], named_by: NamedBy) -> OwnedPublish:
    try:
        reused = OwnedPublish.open(earlier.paths, clock=clock)
    except Owned as owned:
        owned.publish_id = earlier.paths.id
        raise
    try:
        if named_by in NAMED_BY_USER:
            reused.journal.record_named_by(named_by)
    except BaseException:
        reused.release()
        raise
    return reused


def _plan(publish: OwnedPublish, request: PublishRequest, intent: dict[str, Any], draft: Draft, began: float) -> Plan:
    summary, put = draft.summary, draft.put
    return Plan(
        id=publish.paths.id,
        # The labels of roar.db that are not younger count as sent, and a put's own are among them.
        created_at=began if put is None else put.recorded_at,
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
        destination=put.destination if put else None,
        tags=[list(tag) for tag in put.tags] if put else [],
    )


def _find_earlier(
    publishes: Iterable[JournalStatus | Unreadable],
    request: PublishRequest,
    intent: dict[str, Any],
    draft: Draft,
    seen: set[str],
) -> JournalStatus | None:
    """Return the newest unfinished publish of the same to the same registry with the same intent, owned or not.

    publishes: newest first. seen: gets the ids of those that have a plan.

    If there is none and this is a put, return the newest finished one: each put makes a new job, so repeating a put by
    mistake would publish a different lineage.

    A publish that was planned for fewer identities than may publish it now does not match. Neither does one that was
    moved to another machine. One that was imported is not reused before the user has resumed it by its id, because its
    author may have written another lineage under the same fingerprint. Nor does one of another folder, such as a copy
    of the project or what it was named before, except a put that is published: its marks, files and tags are there.
    """
    finished: JournalStatus | None = None
    destination = draft.put.destination if draft.put else None
    wanted = (request.registry, draft.fingerprint, _comparable(intent), destination)
    for found in publishes:
        if not isinstance(found, JournalStatus):
            continue
        seen.add(found.paths.id)
        if found.progress.state not in REUSABLE_STATES:
            continue
        if found.progress.reason not in ELSEWHERE:
            plan = found.plan
            named = draft.summary.provisional.keys() <= plan.provisional.keys()
            put_before = destination is not None and found.progress.published
            here = put_before or _is_same_file(plan.roar_db, request.project.database)
            if (
                named
                and here
                and (plan.registry, plan.fingerprint, _comparable(plan.intent), plan.destination) == wanted
            ):
                if found.live:
                    return found
                finished = finished or found
    return finished if destination is not None else None


def _is_same_file(path: str, database: Path) -> bool:
    """Return whether a plan's roar.db is this one, perhaps under another path."""
    if path == str(database):
        return True
    try:
        return os.path.samefile(path, database)
    except OSError:
        return False
