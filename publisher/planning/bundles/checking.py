"""Check that an imported journal and its record hold only what an export of ours would hold.

`rows` and `bodies` check types and sizes. Here the parts must agree with each other: the history leads to the state,
the state has what it needs, the counts are those of the units, the addresses are those of the destination.
"""

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from msgspec import MsgspecError
from msgspec.json import decode
from pydantic import TypeAdapter

from roar_publisher.auth.choice import Capabilities, Decision, HeldCredentials
from roar_publisher.auth.decide import decide
from roar_publisher.auth.scope import OWNER_TYPES, Mode, RepoScope
from roar_publisher.glaas.protocol import ANONYMOUS_IDENTITY
from roar_publisher.lineage.composites import BLOOM_FIELDS
from roar_publisher.lineage.selection import JOB_TEXT_LIMITS
from roar_publisher.planning.bundles.bodies import items_of
from roar_publisher.planning.bundles.rows import (
    EventRow,
    IntentFields,
    ObjectFields,
    PlanRow,
    ProgressRow,
    QueueRow,
    SafeName,
    UnitRow,
)
from roar_publisher.planning.put.record import Dataset, PutRecord
from roar_publisher.planning.put.tags import tag_of
from roar_publisher.state.journal import Journal
from roar_publisher.state.machine import Event, ImpossibleEvent, State, next_state
from roar_publisher.state.units import Kind
from roar_publisher.storage.addresses import parse_destination
from roar_publisher.storage.parts import part_count

_SELECTED = frozenset({State.OPEN, State.STAGE, State.FINALIZE, State.FALLBACK, State.VERIFY})
"""States in which an identity to publish as has been chosen."""
_OPENED = frozenset({State.STAGE, State.FINALIZE})
_UID: TypeAdapter[str] = TypeAdapter(SafeName)


def check_journal(journal: Journal) -> None:
    """Raise ValueError for anything that an export of ours would not hold. Reads everything once.

    Raises UsageProblem or LocalProblem for a destination or a key that no store accepts.
    """
    plan = PlanRow.model_validate(_only_row(journal, "plan"))
    progress = ProgressRow.model_validate(_only_row(journal, "progress"))
    QueueRow.model_validate(_only_row(journal, "queue"))
    _check_intent(plan.intent)
    _check_history(journal, progress)
    _check_progress(plan, progress)
    _check_units(journal, plan)
    _check_objects(journal, plan)
    for tag in plan.tags:
        _require(tag[0] == tag_of(tag[1]), "the tag of another commit")


def checked_record(journal: Journal, text: str) -> PutRecord:
    """Return the record of a put if it agrees with the journal, which must be checked before.

    Raises ValueError otherwise.
    """
    plan = journal.plan()
    try:
        record = decode(text, type=PutRecord)
    except MsgspecError as error:
        raise ValueError(str(error)) from error
    _require(plan.destination is not None, "a put record without a destination")
    _require(record.session == plan.local_session, "the record of another session")
    _require(0 <= record.step_number < 2**31 and math.isfinite(record.timestamp), "a number out of range")
    _UID.validate_python(record.job_uid)
    texts = {"command": (record.command, record.name or ""), "metadata": (record.sent, record.kept)}
    for name, most in JOB_TEXT_LIMITS.items():
        for value in texts[name]:
            _require(len(value) <= most and "\0" not in value, "a text that is too long or holds NUL")
    stored = {row.url: row for row in journal.objects.all()}
    for file in record.files:
        row = stored.get(file.url)
        _require(row is not None and row.size == file.size and _safe(file.artifact), "a file that is not stored")
    for dataset in record.datasets:
        _check_dataset(dataset)
    for artifact, _ in record.read:
        _require(_safe(artifact), "an invalid artifact id")
    return record


def _safe(name: str) -> bool:
    return 0 < len(name) <= 256 and name.isascii() and name.isprintable()


def _check_dataset(dataset: Dataset) -> None:
    kinds = {"bloom_filter_base64": str, "bloom_bits": int, "bloom_hashes": int, "bloom_version": int}
    _require(dataset.index.keys() == set(BLOOM_FIELDS), "an invalid dataset index")
    _require(all(type(dataset.index[name]) is kind for name, kind in kinds.items()), "an invalid dataset index")
    _require(_safe(dataset.artifact) and _safe(dataset.digest), "an invalid dataset id or digest")
    _require(min(dataset.size, dataset.total, dataset.stored) >= 0, "a negative size or count")


def _check_intent(intent: IntentFields) -> None:
    scope = intent.scope
    bound = scope.mode is Mode.PROJECT
    _require(not bound or bool(scope.owner_id and scope.owner_type in OWNER_TYPES), "a project without an owner")
    _require(bound or not (scope.owner_id or scope.project_id), "an owner without a project")


def _check_history(journal: Journal, progress: ProgressRow) -> None:
    """Check that every step follows from the previous one by the table of `state.machine`, up to the current state."""
    state, recounts, epoch = State.PROBE, 0, 0
    for row in _rows(journal, "events", "id"):
        step = EventRow.model_validate(row)
        _require(step.source is state, "a gap in the history")
        try:
            state = next_state(state, step.event, recounts=recounts, verifies=bool(progress.verify))
        except ImpossibleEvent as error:
            raise ValueError("an event that is not allowed in its state") from error
        _require(step.target is state, "an event that leads elsewhere")
        recounts += step.event is Event.COUNTS_DIFFER
        epoch += step.event is Event.SESSION_LOST
    reached = (progress.state, progress.recounts, progress.epoch)
    _require(reached == (state, recounts, epoch), "a state that the history does not lead to")


def _check_progress(plan: PlanRow, progress: ProgressRow) -> None:
    _require(progress.id == plan.id, "the progress of another publish")
    _require(ANONYMOUS_IDENTITY in plan.provisional, "no hash")
    _require(progress.identity is None or progress.identity in plan.provisional, "an identity without a hash")
    _require(progress.state not in _OPENED or progress.remote_session is not None, "no session")
    if progress.state not in _SELECTED:
        return
    _require(progress.credential is not None and progress.identity is not None, "no credential or identity")
    fields = plan.intent.scope.model_dump()
    wanted = decide(plan.intent.flag, RepoScope(**fields), HeldCredentials(bearer=True), Capabilities(True, True))
    found = progress.scope_request and progress.scope_request.model_dump(exclude_none=True)
    _require(found == wanted.scope_request, "a scope that was not asked for")
    anonymous = progress.credential in (Decision.ANONYMOUS_SESSION, Decision.LEGACY)
    _require(not anonymous or wanted.scope_request is None, "an anonymous publish into a scope")
    _require(anonymous or progress.credential in (Decision.BEARER, Decision.SSH), "no credential")


def _check_units(journal: Journal, plan: PlanRow) -> None:
    items: Counter[Kind] = Counter()
    last = 0
    for row in _rows(journal, "units", "seq, part"):
        unit = UnitRow.model_validate(row)
        _require(unit.seq in (last, last + 1) and unit.after < unit.seq, "units out of order")
        of_job = unit.kind in (Kind.INPUTS, Kind.OUTPUTS)
        _require((unit.job_uid is not None) == of_job, "links without a job")
        _require(len(items_of(unit.kind, unit.body)) == unit.items, "a wrong number of items")
        _require(unit.kind is not Kind.COMPOSITE or unit.items == 1, "several datasets in one unit")
        items[unit.kind] += unit.items
        last = unit.seq
    _require(
        items[Kind.JOBS] == plan.jobs and items[Kind.LABELS] == plan.labels,
        "a wrong number of jobs or labels",
    )
    _require(items[Kind.INPUTS] >= plan.inputs and items[Kind.OUTPUTS] >= plan.outputs, "fewer links than planned")


def _check_objects(journal: Journal, plan: PlanRow) -> None:
    keys = set()
    for row in _rows(journal, "objects", "seq"):
        found = ObjectFields.model_validate(row)
        _require(plan.destination is not None and found.key not in keys, "an object without a place of its own")
        assert plan.destination is not None
        keys.add(found.key)
        _require(found.url in addresses(plan.destination, found.key), "an address outside of the destination")
        content = found.content
        parts = part_count(content.fence.size, content.part_bytes)
        _require(found.size == content.fence.size and len(content.part_blake3s) == parts, "a wrong size")
        _require(parts > 1 or content.part_blake3s[0] == content.blake3, "a wrong digest")
    _require(bool(keys) == (plan.destination is not None), "a put without files")


def addresses(destination: str, key: str) -> Sequence[str]:
    """Return the addresses that an object with this key has below the destination, as stores write them."""
    address = parse_destination(destination)
    if address.is_folder:
        return [f"{Path(address.path).as_uri().rstrip('/')}/{quote(key)}"]
    base = f"{address.scheme}://{address.bucket}"
    return [f"{base}/{address.path}/{key}" if address.path else f"{base}/{key}"]


def _rows(journal: Journal, table: str, order: str) -> Iterator[dict[str, Any]]:
    with journal.translated():
        yield from journal.rows(f"SELECT * FROM {table} ORDER BY {order}")


def _only_row(journal: Journal, table: str) -> dict[str, Any]:
    return next(_rows(journal, table, "rowid"), {})


def _require(valid: bool, fault: str) -> None:
    if not valid:
        raise ValueError(fault)
