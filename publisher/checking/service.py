"""Verifying one published lineage: what the registry serves, and the objects that its put jobs stored."""

import secrets
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import anyio
from msgspec import Struct, field

from roar_publisher.blocking import in_thread
from roar_publisher.checking.local_files import LocalFiles
from roar_publisher.checking.locating import LocatedObjects
from roar_publisher.checking.permitted import PermittedPlaces
from roar_publisher.checking.repair import Repair, Repaired
from roar_publisher.exit_codes import ExitCode
from roar_publisher.fetching.asking import PATIENCE_SECONDS, lineage_reader
from roar_publisher.fetching.published import NAME_REGISTRY
from roar_publisher.inspection.findings import Finding, Inspection
from roar_publisher.inspection.inspector import Inspector
from roar_publisher.inspection.record import InspectionRecord
from roar_publisher.inspection.subjects import sample
from roar_publisher.net.budget import UploadBudget
from roar_publisher.net.pace import Pace
from roar_publisher.state.errors import LocalProblem
from roar_publisher.state.limits import TransferLimits
from roar_publisher.state.paths import StateFolder
from roar_publisher.storage.addresses import Destination
from roar_publisher.storage.destinations import open_readable
from roar_publisher.tasks import until_stopped
from roar_publisher.verification.check import Verification, uncheckable, verify_lineage
from roar_publisher.verification.errors import CannotCheck
from roar_publisher.verification.planned import PlannedLineage


class ObjectOrder(Struct, frozen=True):
    """How objects are inspected.

    full: every byte is read. percent: only so many of the objects, drawn by `seed` (a new one for None), and read.
    resume: what an interrupted inspection has read is not read again. repair: what is missing or differs is put again,
    from where its put or roar saw it, or from a file below `source`. allowed: where a repair may write what this
    machine did not put there. database: roar.db, if there is one.
    """

    full: bool = False
    percent: float | None = None
    seed: int | None = None
    resume: bool = False
    repair: bool = False
    source: Path | None = None
    allowed: tuple[Destination, ...] = ()
    database: Path | None = None
    limits: TransferLimits = field(default_factory=TransferLimits)


class VerifyOrder(Struct, frozen=True):
    """What to verify: a lineage by its whole hash, at a registry, as the credentials that `intent` chooses see it.

    planned: its publish, if this machine has it. objects: None to leave them alone. guessed: whether nobody has named
    the registry.
    """

    hash: str
    registry: str
    intent: dict[str, Any]
    planned: PlannedLineage | None = None
    objects: ObjectOrder | None = None
    guessed: bool = False


class Verified(Struct, frozen=True):
    """What was found.

    inspection: None if no objects were looked for. seed: of the sample, if one was drawn. repairs: of what was not
    proven, if that was asked for.
    """

    lineage: Verification
    inspection: Inspection | None = None
    seed: int | None = None
    repairs: Sequence[Repaired] | None = None

    @property
    def exit_code(self) -> ExitCode:
        """Return PUBLISHED for proven, FAILED for a difference, UNCHECKED if something could not be read."""
        wrong = 0 if self.inspection is None else self.inspection.wrong
        if self.repairs is not None:
            wrong -= sum(not each.why for each in self.repairs)
        if not self.lineage.proven or wrong:
            return ExitCode.FAILED
        unread = self.inspection is not None and self.inspection.counts[Finding.UNREADABLE]
        return ExitCode.UNCHECKED if unread else ExitCode.PUBLISHED


Watch = Callable[[Inspection, int], None]
"""Receives the findings, which go on growing, and the number of objects, when their inspection begins."""


async def verify(
    order: VerifyOrder, folder: StateFolder, stop: anyio.Event, *, watch: Watch = lambda inspection, objects: None
) -> Verified:
    """Verify a lineage and its objects. Safe to repeat and to cancel.

    Changes nothing but the record of what was read, and with `repair` the objects that are wrong.

    stop: ends it, with Interrupted; what was read is recorded. watch: for a display.
    Raises CannotCheck, LocalProblem, NeedsUser.
    """
    try:
        return await until_stopped(stop, partial(_verify, order, folder, watch))
    except CannotCheck as problem:
        if order.guessed:
            first = f"{problem.next_step}; or " if problem.next_step else ""
            problem.next_step = f"{first}{NAME_REGISTRY}"
        raise


async def _verify(order: VerifyOrder, folder: StateFolder, watch: Watch) -> Verified:
    async with lineage_reader(order.registry, order.intent) as reader:
        located = LocatedObjects()
        lineage = await verify_lineage(reader.client, order.hash, reader.credential, order.planned, located.add)
        if order.objects is None:
            return Verified(lineage)
        journal = order.planned.journal if order.planned else None
        with uncheckable():
            subjects, nowhere = await located.subjects(reader, order.hash, journal)
    drawn = order.objects.percent is not None
    seed = (secrets.randbelow(10**9) if order.objects.seed is None else order.objects.seed) if drawn else None
    if order.objects.percent is not None and seed is not None:
        subjects = sample(subjects, order.objects.percent, seed)
    if not subjects and not nowhere:
        return Verified(lineage, None, seed)
    limits = order.objects.limits
    budget = UploadBudget.of(limits.uploads, limits.limit_rate)
    open_store = partial(open_readable, connections=limits.uploads, budget=budget, patience=PATIENCE_SECONDS)
    record = await in_thread(_record, folder, order.hash, resume=order.objects.resume)
    # Not that of the budget: stores wait at it for the same bytes, as they arrive over the network.
    pace = Pace(limits.limit_rate) if limits.limit_rate else None
    with record or nullcontext():
        inspector = Inspector(open_store, order.objects.full or drawn, pace, record)
        for each in nowhere:
            inspector.result.add(each, by_reading=False)
        watch(inspector.result, len(subjects) + len(nowhere))
        inspection = await inspector.run(subjects)
        if record is not None:
            await in_thread(record.forget)
    if not order.objects.repair:
        return Verified(lineage, inspection, seed)
    database = Path(order.planned.plan.roar_db) if order.planned else order.objects.database
    places = PermittedPlaces.of(
        order.objects.allowed, order.planned.plan if order.planned else None, proven=lineage.proven
    )
    repair = Repair(folder, LocalFiles(database, order.objects.source), places, limits, PATIENCE_SECONDS)
    return Verified(lineage, inspection, seed, await repair.run(inspection.problems))


def _record(folder: StateFolder, lineage_hash: str, *, resume: bool) -> InspectionRecord | None:
    """Return the record of what was read; None where none can be kept, as on a read-only file system.

    It only saves work. Blocking.
    """
    try:
        folder.make()
        return InspectionRecord(folder.inspections, lineage_hash, resume=resume)
    except (OSError, LocalProblem):
        return None
