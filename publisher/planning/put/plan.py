"""Plan a put from digested sources: units for the journal, objects for the store, a record for roar.db.

The lineage of a put is that of its files, re-runs reduced to the latest, and one more job whose inputs they are.
"""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from hashlib import sha256

from msgspec import to_builtins
from msgspec.structs import asdict, astuple, replace

from roar_publisher.lineage.batches import MAX_ITEM_BYTES, Sink
from roar_publisher.lineage.database import RoarDatabase, open_database
from roar_publisher.lineage.jsontext import encode
from roar_publisher.lineage.plan import published_git_context, write_units
from roar_publisher.lineage.put_addresses import PUT
from roar_publisher.lineage.redaction.redactor import Redactor
from roar_publisher.lineage.rows import SessionRow
from roar_publisher.lineage.selection import JOB_TEXT_LIMITS
from roar_publisher.lineage.targets import active_session
from roar_publisher.lineage.upstream import drop_reruns, pick_upstream
from roar_publisher.planning.plans import Draft, PutPlan
from roar_publisher.planning.put.database_copy import copy_with_put
from roar_publisher.planning.put.record import PutFile, PutRecord
from roar_publisher.planning.put.record_builder import build_record, uploaded_files
from roar_publisher.planning.put.request import Digested, PutRequest, Tag
from roar_publisher.planning.put.tags import wanted_tag
from roar_publisher.planning.put.worktree import clean_commit
from roar_publisher.state.errors import UsageProblem
from roar_publisher.state.objects import ObjectRow
from roar_publisher.state.units import Kind, Unit
from roar_publisher.storage.source import shown

FEWER = "name a folder in the place of its files, or put fewer files at once"
"""What helps if the put job itself is too large."""
_SHOWN = 60
"""The most characters of a command that an error shows."""


def plan_put(
    request: PutRequest,
    digested: Sequence[Digested],
    destination: str,
    url: Callable[[str], str],
    *,
    identities: Sequence[str],
    sink: Sink,
    now: float,
) -> Draft:
    """Pass the units of the lineage, including the put job, to `sink`, and return the draft of the plan.

    destination, url: of the `ObjectStore`.
    identities, sink: as in `build_plan`.
    now: the put job's timestamp, in Unix seconds.

    Every call makes a new job with a new uid. Does not use the network. Raises UsageProblem for uncommitted changes,
    and for an item that no registry reads: it would be refused only after everything is stored. Raises LocalProblem for
    any problem of the project. An error of the sink propagates.
    """
    _check_texts(request)
    redactor = Redactor(request.project.config.omit)
    commit = request.commit or clean_commit(request.project.root)
    tag = wanted_tag(request, commit)
    git = replace(published_git_context(request.project, redactor), commit=commit)
    with open_database(request.project.database) as database:
        session = active_session(database)
        files = uploaded_files(database, digested, url)
        _pick_lineage(database, session, files)
        record = build_record(request, database, session, files, digested, commit=commit, tag=tag, now=now)
        _refuse_large_record(record)
        with copy_with_put(database, record) as (copy, job):
            summary = write_units(
                copy, session, git, redactor, identities=identities, sink=_of_readable_items(sink), put_job=job
            )
        put = PutPlan(
            destination=destination,
            objects=_objects(digested, url),
            tags=(astuple(tag),) if tag else (),
            record=record.as_json(),
            recorded_at=now,
        )
        return Draft(summary, _fingerprint(request, database, files, commit, tag, summary.redactions), put)


def _check_texts(request: PutRequest) -> None:
    for text in (request.message, request.destination, request.name or "", *request.sources):
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise UsageProblem(f"{text!r} is not valid UTF-8", next_step="type it again in UTF-8") from error


def _pick_lineage(database: RoarDatabase, session: SessionRow, files: Sequence[PutFile]) -> None:
    """Pick the jobs that the files come from, and choose them in the order in which they ran."""
    database.execute("CREATE TEMP TABLE uploaded(artifact TEXT PRIMARY KEY) WITHOUT ROWID")
    for file in files:
        database.execute("INSERT OR IGNORE INTO uploaded VALUES (?)", file.artifact)
    pick_upstream(database, "SELECT artifact FROM uploaded", (), session)
    drop_reruns(database)
    picked = database.query("SELECT id FROM picked CROSS JOIN jobs ON id = job ORDER BY step_number, timestamp, id")
    database.choose([row[0] for row in picked])


def _fingerprint(
    request: PutRequest,
    database: RoarDatabase,
    files: Sequence[PutFile],
    commit: str,
    tag: Tag | None,
    redactions: Mapping[str, int],
) -> str:
    """Return the identity of a put: what is stored where, the lineage that it comes from, and its description.

    Contents count by digest and address, not by the source as typed. The put job's own uid and time do not count, nor
    does the remote that the tag is pushed to. What was redacted, and by which rules, counts: a put that is repeated to
    redact more must not go on with the plan of the one before.
    """
    jobs = database.query("SELECT job_uid FROM chosen c CROSS JOIN jobs j ON j.id = c.job ORDER BY seq")
    contents = sorted({(file.url, file.digest) for file in files})
    options = [request.message, request.flag.value, request.name, request.dataset]
    identity: list[object] = [options, commit, tag is not None, [row[0] for row in jobs], contents]
    if redactions:
        identity.append([redactions, to_builtins(request.project.config.omit)])
    return sha256(encode(identity).encode()).hexdigest()


def _refuse_large_record(record: PutRecord) -> None:
    command, metadata = len(record.command.encode()), len(record.sent.encode())
    if command > MAX_ITEM_BYTES or metadata > JOB_TEXT_LIMITS["metadata"]:
        raise _too_large("the put job", max(command, metadata), FEWER)


def _of_readable_items(sink: Sink) -> Sink:
    """Return a sink that raises UsageProblem for an item that no registry reads, and passes on the others."""

    def pass_on(units: Iterable[Unit]) -> None:
        kept = list(units)
        for unit in kept:
            # A registry that refuses labels does not undo the publish.
            if unit.items == 1 and len(unit.body) - len("[]") > MAX_ITEM_BYTES and unit.kind is not Kind.LABELS:
                raise _too_large_item(unit)
        sink(kept)

    return pass_on


def _too_large_item(unit: Unit) -> UsageProblem:
    item = json.loads(unit.body)[0]
    if unit.kind is not Kind.JOBS:
        return _too_large(f"one of the {unit.kind.value}", len(unit.body), FEWER)
    command = shown(str(item["command"]))
    step = f"step {item['step_number']} ({command if len(command) <= _SHOWN else f'{command[:_SHOWN]}…'})"
    return _too_large(step, len(unit.body), FEWER if item["job_type"] == PUT else "put files that do not come from it")


def _too_large(what: str, size: int, next_step: str) -> UsageProblem:
    return UsageProblem(
        f"{what} takes {size:,} bytes in the lineage, and a registry accepts only {MAX_ITEM_BYTES:,} per item",
        kept="Nothing was sent or kept.",
        next_step=next_step,
    )


def _objects(digested: Sequence[Digested], url: Callable[[str], str]) -> tuple[ObjectRow, ...]:
    """Return one object per key, in the order of the sources; all files of one key have the same content."""
    contents = {one.source.key: one.content for one in reversed(digested)}
    keys = dict.fromkeys(one.source.key for one in digested)
    return tuple(
        ObjectRow(number, key, url(key), contents[key].size, json.dumps(contents[key], default=asdict))
        for number, key in enumerate(keys, start=1)
    )
