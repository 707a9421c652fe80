"""Mark in roar.db what was published (`protocol.md §7`).

What is to be marked is read from the journal, which takes most of the time, while the registry finalizes the lineage.
"""

import json
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Self

import anyio

from roar_publisher.engine.run import Run
from roar_publisher.lineage.canonical import remote_job_uid
from roar_publisher.lineage.database_errors import size_of
from roar_publisher.lineage.publication import PublicationMarks
from roar_publisher.state.errors import LocalProblem
from roar_publisher.state.journal import Journal
from roar_publisher.state.record import ALLOWED_FOLDERS, Plan
from roar_publisher.state.units import Kind


class Marks:
    """The marks of one publish on its jobs and artifacts. An asynchronous context.

    provisional_hash: of the identity that publishes, as in the plan.
    staged: whether jobs have the remote uids that follow from it; otherwise they have their local ones.
    """

    def __init__(self, run: Run, provisional_hash: str, *, staged: bool) -> None:
        self._run = run
        self._provisional_hash = provisional_hash
        self._staged = staged
        self._collected: PublicationMarks | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._collected is not None:
            with anyio.CancelScope(shield=True):
                await self._run.resources.run_blocking(self._collected.close)

    async def collect_early(self) -> None:
        """Collect what `write` will mark. If that fails, `write` tries again."""
        with suppress(LocalProblem):
            await self._collect()

    async def write(self, lineage_hash: str) -> None:
        """Mark what was published under this hash of the registry. Safe to repeat. Raises LocalProblem."""
        marks = await self._collect()
        await self._run.resources.run_blocking(
            marks.mark_published,
            session_id=self._run.plan.local_session,
            session_hash=lineage_hash,
            provisional_hash=self._provisional_hash,
            now=self._run.clock(),
        )

    async def _collect(self) -> PublicationMarks:
        if self._collected is None:
            prefix = self._provisional_hash if self._staged else None
            self._collected = await self._run.journal.call(_collected, self._run.plan, prefix)
        return self._collected


async def mark_labels(run: Run) -> None:
    """Mark in roar.db the labels of the plan. Safe to repeat. Raises LocalProblem."""
    await run.journal.call(_mark_labels, run.plan, now=run.clock())


def _collected(journal: Journal, plan: Plan, provisional_hash: str | None) -> PublicationMarks:
    """Collect the jobs and artifacts of the plan. provisional_hash: remote uids follow from it, if any. Blocking."""
    _check_imported(plan)
    uids = _job_uids(journal)
    digests = (
        item["digest"]
        for kind in (Kind.ARTIFACTS, Kind.COMPOSITE)
        for body in journal.units.bodies(kind)
        for artifact in json.loads(body)
        for item in artifact["hashes"]
    )
    jobs = ((uid, uid if provisional_hash is None else remote_job_uid(provisional_hash, uid)) for uid in uids)
    return PublicationMarks(Path(plan.roar_db), jobs, digests)


def _mark_labels(journal: Journal, plan: Plan, *, now: float) -> None:
    """Mark in roar.db the labels of the plan. Blocking."""
    if size_of(Path(plan.roar_db)) is None:
        return  # this was reported when the jobs were to be marked
    _check_imported(plan)
    jobs, digests = (_labelled(journal, *entity) for entity in (("job", "job_uid"), ("artifact", "artifact_hash")))
    with closing(PublicationMarks(Path(plan.roar_db), ((uid, uid) for uid in jobs), digests)) as marks:
        published = _job_uids(journal)
        marks.mark_labels(session_id=plan.local_session, published=published, as_of=plan.created_at, now=now)


def _job_uids(journal: Journal) -> Iterator[str]:
    for body in journal.units.bodies(Kind.JOBS):
        yield from (job["job_uid"] for job in json.loads(body))


def _labelled(journal: Journal, entity: str, key: str) -> Iterator[str]:
    """Yield what the labels of one type of entity belong to. A lineage may have as many labels as jobs."""
    for body in journal.units.bodies(Kind.LABELS):
        yield from (label[key] for label in json.loads(body) if label["entity_type"] == entity)


def _check_imported(plan: Plan) -> None:
    if ALLOWED_FOLDERS in plan.intent:  # only where a publish was imported
        from roar_publisher.planning.bundles.allowed_folders import check_database

        check_database(plan)
