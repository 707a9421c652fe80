"""What a put writes into roar.db, which may have changed since the plan was made."""

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from roar_publisher.lineage.publication import PublicationMarks
from roar_publisher.planning.put.record import PutRecord
from roar_publisher.planning.put.record_writer import record_put
from roar_publisher.state.errors import Conclusion, LocalProblem
from tests.support.put.projects import NOW, plan, put_project, request, write


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = put_project(tmp_path)
    write(root, {"shards/1.parquet": "1", "shards/2.parquet": "2", "notes.txt": "by hand"})
    return root


@pytest.fixture
def record(root: Path) -> PutRecord:
    return plan(root, "shards", "notes.txt", "model.bin", name="release").record


@pytest.fixture
def database(root: Path) -> Path:
    return root / ".roar" / "roar.db"


def rows(database: Path, sql: str, *parameters: object) -> list[Any]:
    with closing(sqlite3.connect(database)) as connection:
        return connection.execute(sql, parameters).fetchall()


def change(database: Path, sql: str, *parameters: object) -> None:
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.execute(sql, parameters)


def dump(database: Path) -> list[str]:
    with closing(sqlite3.connect(database)) as connection:
        return list(connection.iterdump())


def test_the_record_survives_the_journal(record: PutRecord) -> None:
    assert PutRecord.from_json(record.as_json()) == record
    assert record.datasets
    assert record.files


def test_recording_again_changes_nothing(database: Path, record: PutRecord) -> None:
    record_put(database, record)
    before = dump(database)
    record_put(database, record)
    assert dump(database) == before


def test_a_step_that_was_taken_meanwhile_is_not_taken_again(root: Path, database: Path, record: PutRecord) -> None:
    """By another put, and by a command that was run during the upload."""
    another = plan(root, "notes.txt", name="another").record
    assert another.step_number == record.step_number
    run = "INSERT INTO jobs(job_uid, timestamp, command, session_id, step_number, exit_code) VALUES (?, ?, ?, ?, ?, 0)"
    change(database, run, "cafe0001", NOW + 1, "python eval.py", record.session, record.step_number)
    record_put(database, record)
    record_put(database, another)
    steps = "SELECT step_number FROM jobs WHERE job_uid = ?"
    for number, uid in enumerate(("cafe0001", record.job_uid, another.job_uid)):
        assert rows(database, steps, uid) == [(record.step_number + number,)]


def test_content_that_roar_has_captured_meanwhile_is_recorded_once(database: Path, record: PutRecord) -> None:
    (notes,) = [file for file in record.files if file.path.endswith("notes.txt")]
    change(database, "INSERT INTO artifacts(id, size, first_seen_at) VALUES ('theirs', 7, 1)")
    change(database, "INSERT INTO artifact_hashes VALUES ('theirs', 'blake3', ?)", notes.digest)
    record_put(database, record)
    linked = rows(database, "SELECT artifact_id FROM job_inputs WHERE path = ?", notes.path)
    assert linked == [("theirs",)]
    assert rows(database, "SELECT metadata FROM labels WHERE artifact_id = 'theirs'") == [
        (f'{{"roar":{{"distribution":{{"url":"{notes.url}"}}}}}}',)
    ]
    assert not rows(database, "SELECT 1 FROM artifacts WHERE id = ?", notes.artifact)


def test_user_labels_stay_and_a_known_url_makes_no_new_version(database: Path, record: PutRecord) -> None:
    model = next(file for file in record.files if file.path.endswith("model.bin"))
    shard = next(file for file in record.files if file.path.endswith("1.parquet"))
    insert = (
        "INSERT INTO labels(entity_type, artifact_id, version, metadata, created_at) VALUES ('artifact', ?, 4, ?, 1)"
    )
    change(database, insert, model.artifact, '{"quality": "good", "roar": {"tag": 1}}')
    change(database, insert, shard.artifact, json.dumps({"roar": {"distribution": {"url": shard.url}}}))
    record_put(database, record)
    newest = "SELECT version, metadata, write_origin FROM labels WHERE artifact_id = ? ORDER BY version DESC LIMIT 1"
    ((version, label, origin),) = rows(database, newest, model.artifact)
    assert (version, origin) == (5, "system")
    assert json.loads(label) == {"quality": "good", "roar": {"tag": 1, "distribution": {"url": model.url}}}
    assert rows(database, newest, shard.artifact)[0][0] == 4


@pytest.mark.parametrize("metadata", ["", "{", "7", "[" * 100_000])
def test_what_is_no_label_gets_a_version_that_is_one(database: Path, record: PutRecord, metadata: str) -> None:
    model = next(file for file in record.files if file.path.endswith("model.bin"))
    insert = (
        "INSERT INTO labels(entity_type, artifact_id, version, metadata, created_at) VALUES ('artifact', ?, 4, ?, 1)"
    )
    change(database, insert, model.artifact, metadata)
    record_put(database, record)
    newest = "SELECT metadata FROM labels WHERE artifact_id = ? AND version = 5"
    ((label,),) = rows(database, newest, model.artifact)
    assert json.loads(label) == {"roar": {"distribution": {"url": model.url}}}


def test_the_name_is_a_user_label_over_the_system_label(database: Path, record: PutRecord) -> None:
    record_put(database, record)
    found = rows(
        database,
        "SELECT version, write_origin, metadata ->> '$.name', metadata ->> '$.roar.operation.kind' FROM labels"
        " WHERE job_id = (SELECT id FROM jobs WHERE job_uid = ?) ORDER BY version",
        record.job_uid,
    )
    assert found == [(1, "system", None, "put"), (2, "user", "release", "put")]


def test_roars_search_finds_the_put_job(database: Path, record: PutRecord) -> None:
    record_put(database, record)
    assert rows(database, "SELECT count(*) FROM jobs_fts WHERE jobs_fts MATCH 'shards'") == [(1,)]
    change(database, "INSERT INTO jobs_fts(jobs_fts) VALUES ('integrity-check')")


def test_a_put_is_recorded_entirely_or_not_at_all(database: Path, record: PutRecord) -> None:
    change(database, "CREATE UNIQUE INDEX refuse ON labels(created_at) WHERE job_id IS NOT NULL")
    before = dump(database)
    with pytest.raises(LocalProblem, match="UNIQUE constraint") as caught:
        record_put(database, record)
    assert caught.value.conclusion is Conclusion.INTERRUPTED
    assert dump(database) == before


def test_a_lock_of_roar_is_waited_for_and_then_reported(
    database: Path, record: PutRecord, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("roar_publisher.lineage.connections.WRITE_TIMEOUT", 0.05)
    with closing(sqlite3.connect(database, isolation_level=None)) as writer:
        writer.execute("BEGIN IMMEDIATE")
        with pytest.raises(LocalProblem, match="locked by another process"):
            record_put(database, record)
        writer.execute("ROLLBACK")
    record_put(database, record)


def test_a_removed_database_is_not_recreated(database: Path, record: PutRecord) -> None:
    database.rename(database.with_name("moved"))
    with pytest.raises(LocalProblem, match=r"roar\.db could not be updated"):
        record_put(database, record)
    assert not database.exists()


def test_the_publication_is_marked_on_the_put_job_and_its_labels(root: Path, database: Path, record: PutRecord) -> None:
    record_put(database, record)
    published, digests = request(root).project.database, [file.digest for file in record.files]
    with closing(PublicationMarks(published, [(record.job_uid, "remote")], digests)) as marks:
        marks.mark_published(session_id=record.session, session_hash="ab" * 32, provisional_hash="cd" * 32, now=NOW + 5)
        marks.mark_labels(session_id=record.session, published=[record.job_uid], as_of=NOW, now=NOW + 5)
    assert rows(database, "SELECT synced_at FROM jobs WHERE job_uid = ?", record.job_uid) == [(NOW + 5,)]
    stamped = rows(database, "SELECT count(*) FROM labels WHERE synced_at = ? AND created_at = ?", NOW + 5, NOW)
    assert stamped == [(len({file.digest for file in record.files}) + 1,)]


@pytest.mark.parametrize(
    "change_sessions", ["UPDATE sessions SET created_at = 1 + ?", "DELETE FROM sessions WHERE ? > 0"]
)
def test_nothing_is_recorded_in_a_session_that_was_begun_later(
    database: Path, record: PutRecord, change_sessions: str
) -> None:
    """The database was made anew since the put was planned."""
    change(database, change_sessions, record.timestamp)
    before = dump(database)
    record_put(database, record)
    assert dump(database) == before
