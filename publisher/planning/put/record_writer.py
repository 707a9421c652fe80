"""Write a published put into roar.db, as roar-cli does: the job, its links, artifacts, datasets and labels.

Planning a put first writes the same rows into a copy of the database (`database_copy`), so that what is published and
what is recorded come from the same code.
"""

import json
import os
import sqlite3
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path

from msgspec.structs import astuple

from roar_publisher.lineage.composites import BLOOM_FIELDS
from roar_publisher.lineage.connections import begin_writing, open_writable
from roar_publisher.lineage.database_errors import DATABASE_ERRORS, database_problem, not_recorded
from roar_publisher.lineage.labels import SYSTEM, USER
from roar_publisher.planning.put.record import Dataset, PutFile, PutRecord

_SCRIPTS = (".py", ".sh")


def record_put(database: Path, record: PutRecord) -> None:
    """Record the put, in one short transaction.

    Repeating it changes nothing, because the job's uid is there already. Nothing is recorded in a database that was
    made anew after the put was planned: its session of that number is another one. Raises LocalProblem (resumable) if
    it fails; then nothing was changed.
    """
    try:
        with closing(open_writable(database)) as connection:
            begin_writing(connection)
            with connection:
                if _is_due(connection, record):
                    write_record(connection, record)
    except DATABASE_ERRORS as error:
        cause = database_problem(database, error, writing=True)
        raise not_recorded(cause, kept="The publication itself is complete, and so are the uploads.") from error


def _is_due(connection: sqlite3.Connection, record: PutRecord) -> bool:
    """Return whether the put is not recorded yet, and its session is there, which was begun before it."""
    if connection.execute("SELECT 1 FROM jobs WHERE job_uid = ?", (record.job_uid,)).fetchone():
        return False
    session = "SELECT 1 FROM sessions WHERE id = ? AND created_at <= ?"
    return connection.execute(session, (record.session, record.timestamp)).fetchone() is not None


def write_record(connection: sqlite3.Connection, record: PutRecord) -> None:
    """Write the put's rows in the caller's transaction. Raises `sqlite3.Error`."""
    job = _insert_job(connection, record)
    files = {file.artifact: _write_file(connection, record, file) for file in record.files}
    datasets = {dataset.artifact: _write_dataset(connection, record, dataset) for dataset in record.datasets}
    inputs = [(files[file.artifact], file.path) for file in record.files] + [*record.read]
    outputs = [(datasets[dataset.artifact], dataset.root) for dataset in record.datasets]
    for table, links in (("job_inputs", inputs), ("job_outputs", outputs)):
        connection.executemany(
            f"INSERT OR IGNORE INTO {table}(job_id, artifact_id, path) VALUES (?, ?, ?)",
            ((job, artifact, path) for artifact, path in links),
        )
    if record.source_type:
        for file in record.files:
            _record_url(connection, files[file.artifact], file.url, record.timestamp)
    _add_label(connection, "job", job, record.label, SYSTEM, record.timestamp)
    if record.name is not None:
        _add_label(connection, "job", job, record.label | {"name": record.name}, USER, record.timestamp)


def _insert_job(connection: sqlite3.Connection, record: PutRecord) -> int:
    # Like roar-cli, leave git and duration of a put job to its session.
    row = {
        "job_uid": record.job_uid,
        "timestamp": record.timestamp,
        "command": record.command,
        "script": _script_in(record.command.split()),
        "session_id": record.session,
        "step_number": _free_step(connection, record),
        "exit_code": 0,
        "execution_backend": "local",
        "execution_role": "host",
        "job_type": "put",
        "metadata": record.kept,
    }
    return int(_insert(connection, "jobs", row).lastrowid or 0)


def _free_step(connection: sqlite3.Connection, record: PutRecord) -> int:
    """Return the planned step, or the next free one if another job of the session has got it since."""
    of_session = "SELECT coalesce(max(step_number), 0) + 1, total(step_number = ?) FROM jobs WHERE session_id = ?"
    following, taken = connection.execute(of_session, (record.step_number, record.session)).fetchone()
    return int(following) if taken else record.step_number


def _script_in(words: list[str]) -> str | None:
    """Return what roar-cli indexes a command's job by: its first script, or what follows the first `-m`."""
    for place, word in enumerate(words):
        if word.endswith(_SCRIPTS):
            return os.path.basename(word)
        if word == "-m" and place + 1 < len(words):
            return words[place + 1]
    return None


def _write_file(connection: sqlite3.Connection, record: PutRecord, file: PutFile) -> str:
    """Return the id of the file's artifact, which is written unless roar has captured the same content meanwhile.

    An artifact that roar knows by another digest gets that of blake3, too.
    """
    known = _known(connection, "blake3", file.digest)
    if known is not None:
        return known
    if not connection.execute("SELECT 1 FROM artifacts WHERE id = ?", (file.artifact,)).fetchone():
        row = {"id": file.artifact, "size": file.size, "first_seen_at": record.timestamp, "first_seen_path": file.path}
        _insert(connection, "artifacts", row)
    _insert_hash(connection, file.artifact, "blake3", file.digest)
    return file.artifact


def _write_dataset(connection: sqlite3.Connection, record: PutRecord, dataset: Dataset) -> str:
    artifact = _known(connection, "composite-blake3", dataset.digest)
    if artifact is None:
        artifact = dataset.artifact
        row = {
            "id": artifact,
            "size": dataset.size,
            "first_seen_at": record.timestamp,
            "first_seen_path": dataset.root,
            "source_type": record.source_type,
            "metadata": dataset.kept,
        }
        _insert(connection, "artifacts", row)
        _insert_hash(connection, artifact, "composite-blake3", dataset.digest)
    connection.execute(
        "UPDATE artifacts SET kind = 'composite', component_count = ? WHERE id = ?", (dataset.total, artifact)
    )
    _describe(connection, artifact, dataset)
    return artifact


def _describe(connection: sqlite3.Connection, artifact: str, dataset: Dataset) -> None:
    """Replace the members of a dataset and the index over them."""
    for table in ("composite_artifact_components", "composite_membership_indexes"):
        connection.execute(f"DELETE FROM {table} WHERE composite_artifact_id = ?", (artifact,))
    connection.executemany(
        "INSERT INTO composite_artifact_components(composite_artifact_id, ordinal, relative_path, leaf_kind,"
        " component_algorithm, component_digest, component_size, component_type) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        ((artifact, ordinal, *astuple(component)) for ordinal, component in enumerate(dataset.components)),
    )
    counts = {"total_components": dataset.total, "stored_components": len(dataset.components)}
    index = {name: dataset.index[name] for name in BLOOM_FIELDS}  # fixed names: they become part of the statement
    _insert(connection, "composite_membership_indexes", {"composite_artifact_id": artifact} | counts | index)


def _record_url(connection: sqlite3.Connection, artifact: str, url: str, now: float) -> None:
    """Add the address to an artifact's label, unless it is there already."""
    row = connection.execute(
        "SELECT metadata FROM labels WHERE artifact_id = ? ORDER BY version DESC LIMIT 1", (artifact,)
    ).fetchone()
    label = {} if row is None else _label(row[0])
    own = _object(label.get("roar"))
    distribution = _object(own.get("distribution"))
    if distribution.get("url") == url:
        return
    updated = label | {"roar": own | {"distribution": distribution | {"url": url}}}
    _add_label(connection, "artifact", artifact, updated, SYSTEM, now)


def _label(text: str) -> dict[str, object]:
    """Return a label; an empty one if the text is not one, because it is not published either."""
    try:
        return _object(json.loads(text))
    except (ValueError, RecursionError):
        return {}


def _add_label(
    connection: sqlite3.Connection, entity: str, key: int | str, label: dict[str, object], origin: str, now: float
) -> None:
    newest = connection.execute(f"SELECT max(version) FROM labels WHERE {entity}_id = ?", (key,)).fetchone()[0]
    row = {
        "entity_type": entity,
        f"{entity}_id": key,
        "version": (newest or 0) + 1,
        "metadata": json.dumps(label, sort_keys=True, separators=(",", ":")),
        "write_origin": origin,
        "created_at": now,
    }
    _insert(connection, "labels", row)


def _known(connection: sqlite3.Connection, algorithm: str, digest: str) -> str | None:
    row = connection.execute(
        "SELECT artifact_id FROM artifact_hashes WHERE algorithm = ? AND digest = ?", (algorithm, digest)
    ).fetchone()
    return None if row is None else str(row[0])


def _insert_hash(connection: sqlite3.Connection, artifact: str, algorithm: str, digest: str) -> None:
    _insert(connection, "artifact_hashes", {"artifact_id": artifact, "algorithm": algorithm, "digest": digest})


def _insert(connection: sqlite3.Connection, table: str, row: dict[str, object]) -> sqlite3.Cursor:
    columns: Iterable[str] = row
    return connection.execute(
        f"INSERT INTO {table}({', '.join(columns)}) VALUES ({', '.join('?' * len(row))})", tuple(row.values())
    )


def _object(value: object) -> dict[str, object]:
    return value if isinstance(value, dict) else {}
