"""Build the record of a put: everything that roar.db and the requests will say about it."""

import json
import secrets
from collections.abc import Callable, Sequence
from functools import partial

from roar_publisher.lineage.artifacts import remote_source
from roar_publisher.lineage.composites import composite_items
from roar_publisher.lineage.content import OtherDigests
from roar_publisher.lineage.database import RoarDatabase
from roar_publisher.lineage.put_addresses import PutInput, shortened
from roar_publisher.lineage.redaction.redactor import Redactor
from roar_publisher.lineage.redaction.settings import OmitConfig
from roar_publisher.lineage.rows import SessionRow
from roar_publisher.lineage.selection import JOB_TEXT_LIMITS
from roar_publisher.planning.put.dataset_detection import dataset_identifiers
from roar_publisher.planning.put.datasets import datasets_in
from roar_publisher.planning.put.job import destination_type, put_command, put_label, put_metadata
from roar_publisher.planning.put.record import Dataset, PutFile, PutRecord
from roar_publisher.planning.put.request import Digested, PutRequest, Tag

_UID_BYTES = 4
"""The length of a job's uid in bytes, as in roar-cli."""
_ID_BYTES = 16
"""The length of an artifact's id in bytes, as in roar-cli."""


def uploaded_files(
    database: RoarDatabase, digested: Sequence[Digested], url: Callable[[str], str]
) -> tuple[PutFile, ...]:
    """Return the files of a put with the ids of their artifacts: those that roar.db has, otherwise new ones.

    A file is read again if roar.db may know it by another digest than blake3.

    url: returns the address of an object by its key.
    """
    ids: dict[str, str] = {}
    files = []
    others = OtherDigests(database)
    for one in digested:
        digest = one.content.blake3
        if digest not in ids:
            known = _known_artifact(database, "blake3", digest)
            known = known or others.artifact_of(one.source.path, digest)
            ids[digest] = known or secrets.token_hex(_ID_BYTES)
        files.append(PutFile(ids[digest], str(one.source.recorded), digest, one.content.size, url(one.source.key)))
    return tuple(files)


def build_record(
    request: PutRequest,
    database: RoarDatabase,
    session: SessionRow,
    files: tuple[PutFile, ...],
    digested: Sequence[Digested],
    *,
    commit: str,
    tag: Tag | None,
    now: float,
) -> PutRecord:
    """Return the record of a new put job in `session`; the jobs of its lineage are chosen in `database`.

    commit: the commit that the files come from.
    tag: the tag that it gets, if any.
    now: Unix seconds.
    """
    source_type = remote_source(destination_type(request.destination))
    identifiers = dataset_identifiers(request, digested)
    datasets = datasets_in(
        digested,
        identifiers,
        declared=request.dataset,
        source_type=source_type,
        artifact_id=partial(_artifact_id, database, "composite-blake3"),
    )
    read, registrations = _datasets_read(database)
    metadata = put_metadata(
        request,
        urls={file.artifact: file.url for file in files},
        identifiers=identifiers,
        commit=commit,
        tag=tag.name if tag else None,
        now=now,
    )
    # The registration of datasets belongs to roar.db only and is not sent.
    local = {"composites": list(map(_registration, datasets)), "lineage_composites": registrations}
    label = put_label(metadata | local)
    if len(json.dumps({"put": metadata | local})) > JOB_TEXT_LIMITS["metadata"]:  # no later publish could read it
        uploaded = [PutInput(file.digest, file.path, file.url) for file in files]
        used = [PutInput(str(one["hash"]), str(one["root_path"]), None) for one in registrations if one["root_path"]]
        metadata = shortened(metadata, uploaded + used)
    return PutRecord(
        session=session.id,
        job_uid=secrets.token_hex(_UID_BYTES),
        timestamp=now,
        command=put_command(request),
        step_number=_next_step(database, session),
        sent=json.dumps({"put": metadata}),
        kept=json.dumps({"put": metadata | local}),
        label=label,
        name=request.name,
        source_type=source_type,
        files=files,
        datasets=datasets,
        read=read,
    )


def _next_step(database: RoarDatabase, session: SessionRow) -> int:
    row = database.one("SELECT coalesce(max(step_number), 0) + 1 FROM jobs WHERE session_id = ?", session.id)
    return int(row[0]) if row is not None else 1


def _artifact_id(database: RoarDatabase, algorithm: str, digest: str) -> str:
    return _known_artifact(database, algorithm, digest) or secrets.token_hex(_ID_BYTES)


def _known_artifact(database: RoarDatabase, algorithm: str, digest: str) -> str | None:
    row = database.one("SELECT artifact_id FROM artifact_hashes WHERE algorithm = ? AND digest = ?", algorithm, digest)
    return str(row[0]) if row is not None else None


def _datasets_read(database: RoarDatabase) -> tuple[tuple[tuple[str, str], ...], list[dict[str, object]]]:
    """Return the datasets that the lineage used: (artifact, path), and the put job's metadata about them."""
    inputs, registrations = [], []
    for item in composite_items(database, Redactor(OmitConfig(enabled=False))):
        row = database.one(
            "SELECT a.id, a.first_seen_path FROM artifact_hashes h CROSS JOIN artifacts a ON a.id = h.artifact_id"
            " WHERE h.digest = ?",
            item["hash"],
        )
        if row is not None and row[1]:
            inputs.append((str(row[0]), str(row[1])))
        registrations.append(
            {
                "lineage": True,
                "hash": item["hash"],
                "root_path": row[1] or "" if row is not None else "",
                "component_count_total": item["component_count_total"],
                "component_count_stored": _length(item["components"]),
                "registered": True,
            }
        )
    return tuple(inputs), registrations


def _registration(dataset: Dataset) -> dict[str, object]:
    """Return what the put job's metadata in roar.db says about a dataset that the put made."""
    return {
        "root_path": dataset.root,
        "hash": dataset.digest,
        "component_count_total": dataset.total,
        "component_count_stored": dataset.stored,
        "registered": True,
        "local_artifact_id": dataset.artifact,
        "local_persisted": True,
    }


def _length(value: object) -> int:
    assert isinstance(value, list)
    return len(value)
