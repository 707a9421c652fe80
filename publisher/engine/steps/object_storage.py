"""The objects of a put: stored before the lineage is staged, checked again before readers can follow a link."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from roar_publisher.engine.run import Run
from roar_publisher.state.journal import Journal
from roar_publisher.state.record import ALLOWED_FOLDERS, Plan

if TYPE_CHECKING:
    from roar_publisher.engine.staging.uploader import ObjectUploader


async def store_objects(run: Run) -> None:
    """Store the objects that are not stored yet. Raises and repeats as `ObjectUploader.drain`."""
    if run.plan.destination is not None:
        async with _objects(run, run.plan.destination) as objects:
            await objects.drain()


async def recheck_objects(run: Run) -> None:
    """Store the objects again that the store has lost since. Raises and repeats as `ObjectUploader.recheck`."""
    if run.plan.destination is not None:
        async with _objects(run, run.plan.destination) as objects:
            await objects.recheck()


@asynccontextmanager
async def _objects(run: Run, destination: str) -> AsyncIterator["ObjectUploader"]:
    # Imported by puts alone: a publish of lineage should not wait for what stores need.
    from roar_publisher.engine.staging.uploader import ObjectUploader, owner_of
    from roar_publisher.net.pace import Pace
    from roar_publisher.storage.destinations import open_store

    if ALLOWED_FOLDERS in run.plan.intent:  # only where a publish was imported
        await run.journal.call(_check_imported, run.plan)
    store = await open_store(
        destination,
        owner=owner_of(run.plan),
        connections=run.limits.uploads,
        pace=Pace(run.limits.limit_rate) if run.limits.limit_rate else None,
        budget=run.resources.budget,
        report=run.report,
        patience=run.resources.patience,
    )
    async with store:
        yield ObjectUploader(run, store)


def _check_imported(journal: Journal, plan: Plan) -> None:
    """Raise LocalProblem if a file of an imported put is now outside of what it may use. Blocking."""
    from roar_publisher.engine.staging.uploader import content_of
    from roar_publisher.planning.bundles.allowed_folders import check_objects

    check_objects(plan, {row.key: content_of(row).path for row in journal.objects.all()})
