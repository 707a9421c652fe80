"""After a publish, roar's own commands see it: synced rows and the note in the session."""

import errno
import json
import os
import random
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from roar_publisher.lineage import guard, publication
from roar_publisher.lineage.connections import open_writable
from roar_publisher.lineage.database import open_database
from roar_publisher.lineage.guard import VALUE_LIMIT
from roar_publisher.lineage.plan import build_plan
from roar_publisher.lineage.project import find_project
from roar_publisher.lineage.publication import PublicationMarks, published_lineage
from roar_publisher.lineage.targets import pick_target
from roar_publisher.state import mounts
from roar_publisher.state.errors import Conclusion, LocalProblem, UsageProblem
from roar_publisher.state.reasons import Reason
from roar_publisher.state.units import Kind, Unit
from tests.support.lineage import roarcli
from tests.support.lineage.captured import captured_project

PROCESS_IO = Path("/proc/self/io")
HASH, PREPARED, NOW = "ab" * 32, "cd" * 32, 1_800_000_000.0


@pytest.fixture
def database(tmp_path: Path) -> Path:
    return captured_project("diamond", tmp_path) / ".roar" / "roar.db"


JOBS = (("3e1aa3ee", "remote1"), ("e4e8c149", "remote2"), ("deleted", "remote3"))
DIGESTS = ("4942a10e54a2c6862e2860869e9a2dfeb6836f395829a8c9ec0ac9efc317c076", "00" * 32)


@pytest.fixture(params=[1, 2, publication.SLICE_ROWS])
def _slices(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """One statement marks one row, some of them, or all."""
    monkeypatch.setattr(publication, "SLICE_ROWS", request.param)


def mark(
    database: Path, jobs: Sequence[tuple[str, str]] = JOBS, digests: Sequence[str] = DIGESTS, **changed: Any
) -> None:
    arguments: dict[str, Any] = {"session_id": 1, "session_hash": HASH, "provisional_hash": PREPARED, "now": NOW}
    with closing(PublicationMarks(database, jobs, digests)) as marks:
        marks.mark_published(**arguments | changed)


def rows(database: Path, sql: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(database)) as connection:
        return connection.execute(sql).fetchall()


@pytest.mark.parametrize("kind", ["nfs4", "ext4"])
def test_a_database_that_another_machine_may_have_open_is_left_alone(
    database: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """Machines that share a folder do not share the memory by which SQLite's WAL is kept consistent."""
    table = database.with_name("mountinfo")
    table.write_text(f"30 1 254:0 / / rw,relatime - {kind} server:/ rw,local_lock=none\n")
    monkeypatch.setattr(mounts, "MOUNT_TABLE", table)
    with closing(sqlite3.connect(database)) as roar:
        assert roar.execute("PRAGMA journal_mode = WAL").fetchone() == ("wal",)
        roar.execute("CREATE TABLE written (n)")
        if kind == "nfs4":
            with pytest.raises(LocalProblem, match="another machine") as refused:
                mark(database)
            assert (refused.value.reason, refused.value.conclusion) == ("busy", Conclusion.INTERRUPTED)
        else:
            mark(database)
    database.with_name(f"{database.name}-wal").touch()  # as a reader leaves it
    mark(database)
    assert rows(database, "SELECT count(*) FROM jobs WHERE synced_at IS NOT NULL") != [(0,)]


def test_a_wal_that_roar_removes_at_this_moment_does_not_matter(
    database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wal = database.with_name(f"{database.name}-wal")
    wal.write_bytes(b"")
    stat, seen = os.stat, []

    def removed_after(path: Any, **options: Any) -> os.stat_result:
        result = stat(path, **options)
        if os.fspath(path) == str(wal) and options.get("follow_symlinks", True):
            seen.append(path)
            wal.unlink()  # roar's last connection was closed
        return result

    monkeypatch.setattr(os, "stat", removed_after)
    mark(database)
    assert len(seen) == 1
    assert rows(database, "SELECT count(*) FROM jobs WHERE synced_at IS NOT NULL") != [(0,)]


@pytest.mark.parametrize("number", [errno.EACCES, errno.ESTALE, errno.EIO])
def test_a_database_that_cannot_be_reached_is_a_problem_of_this_machine(
    database: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    stat = os.stat

    def unreachable(path: Any, **options: Any) -> os.stat_result:
        if os.fspath(path) == str(database) and options.get("follow_symlinks", True):
            raise OSError(number, os.strerror(number), str(path))
        return stat(path, **options)

    monkeypatch.setattr(os, "stat", unreachable)
    with pytest.raises(LocalProblem, match="cannot be reached") as marked:
        mark(database)
    assert marked.value.conclusion is Conclusion.INTERRUPTED
    with pytest.raises(LocalProblem, match="cannot be reached"), open_database(database):
        pass


@pytest.mark.usefixtures("_slices")
def test_only_label_versions_that_were_sent_are_stamped(database: Path) -> None:
    (as_of,) = rows(database, "SELECT max(created_at) FROM labels")[0]
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.execute(
            "INSERT INTO labels (entity_type, session_id, version, metadata, created_at)"
            " VALUES ('dag', 1, 99, '{}', ?)",
            (as_of + 1,),
        )
    digest = "4942a10e54a2c6862e2860869e9a2dfeb6836f395829a8c9ec0ac9efc317c076"
    uids = ["3e1aa3ee", "e4e8c149", "deleted"]
    with closing(PublicationMarks(database, zip(uids, uids, strict=True), [digest])) as marks:
        marks.mark_labels(session_id=1, published=[uid for uid, _ in JOBS], as_of=as_of, now=NOW)
    newest = rows(
        database,
        "SELECT max(version) = (SELECT max(version) FROM labels WHERE session_id = 1 AND version < 99)"
        " FROM labels WHERE session_id = 1 AND synced_at IS NOT NULL",
    )
    assert newest == [(1,)]
    assert rows(database, "SELECT count(*) FROM labels WHERE session_id = 1 AND synced_at IS NOT NULL") == [(1,)]
    stamped = rows(
        database,
        "SELECT DISTINCT j.job_uid FROM labels l JOIN jobs j ON j.id = l.job_id WHERE l.synced_at = 1800000000.0"
        " ORDER BY j.job_uid",
    )
    assert stamped == [("3e1aa3ee",), ("e4e8c149",)]


def test_labels_that_were_not_sent_are_not_stamped(database: Path) -> None:
    mark(database)
    assert rows(database, "SELECT count(*) FROM labels WHERE synced_at IS NOT NULL") == [(0,)]


@pytest.mark.skipif(not PROCESS_IO.exists(), reason="only Linux counts what a process writes")
def test_collecting_writes_each_digest_once_or_twice(database: Path) -> None:
    chance = random.Random(1)
    digests = [f"{chance.getrandbits(256):064x}" for _ in range(60_000)]  # an index of them is twice SQLite's cache
    before = written_bytes()
    with closing(PublicationMarks(database, [], digests)):
        assert written_bytes() - before < 2 * sum(map(len, digests))


def written_bytes() -> int:
    return next(int(line.split()[1]) for line in PROCESS_IO.read_text().splitlines() if line.startswith("wchar:"))


@pytest.mark.usefixtures("_slices")
def test_what_is_collected_twice_is_marked_once(database: Path) -> None:
    mark(database, [*JOBS, *JOBS], [*DIGESTS, *DIGESTS])
    ((text,),) = rows(database, "SELECT metadata FROM sessions")
    assert json.loads(text)["roar"]["remote_publication"]["glaas"]["jobs"] == dict(JOBS)


@pytest.mark.usefixtures("_slices")
def test_session_jobs_and_artifacts_are_stamped(database: Path) -> None:
    mark(database)
    assert rows(database, "SELECT synced_at FROM sessions") == [(NOW,)]
    assert rows(database, "SELECT job_uid FROM jobs WHERE synced_at IS NOT NULL") == [("3e1aa3ee",), ("e4e8c149",)]
    assert rows(database, "SELECT first_seen_path FROM artifacts WHERE synced_at = 1800000000.0") == [
        ("/home/dev/diamond/raw.txt",)
    ]


def test_no_statement_marks_more_than_a_slice(database: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A statement may take a limited time, and a lineage may have a million artifacts on a slow disk."""
    monkeypatch.setattr(publication, "SLICE_ROWS", 2)
    digests = [digest for (digest,) in rows(database, "SELECT DISTINCT digest FROM artifact_hashes")]
    uids = [uid for (uid,) in rows(database, "SELECT job_uid FROM jobs")]
    updates: set[str] = set()  # a trigger repeats the statement that it belongs to

    def watched(path: Path) -> sqlite3.Connection:
        connection = open_writable(path)
        connection.set_trace_callback(lambda text: updates.add(text) if text.startswith("UPDATE") else None)
        return connection

    monkeypatch.setattr(publication, "open_writable", watched)
    mark(database, [(uid, uid) for uid in uids], digests)
    assert [sum(f"UPDATE {table} " in text for text in updates) for table in ("jobs", "artifacts")] == [3, 3]
    assert rows(database, "SELECT count(*) FROM jobs WHERE synced_at IS NULL") == [(0,)]


def test_the_note_is_merged_into_the_session_metadata(database: Path) -> None:
    with closing(sqlite3.connect(database)) as connection, connection:
        old = {"mine": 1, "roar": {"kept": True, "remote_publication": {"other": 2, "glaas": {"session_hash": "old"}}}}
        connection.execute("UPDATE sessions SET metadata = ?", (json.dumps(old),))
    mark(database)
    ((text,),) = rows(database, "SELECT metadata FROM sessions")
    metadata = json.loads(text)
    assert metadata["mine"] == 1
    assert metadata["roar"]["kept"] is True
    assert metadata["roar"]["remote_publication"]["other"] == 2
    assert metadata["roar"]["remote_publication"]["glaas"] == {
        "schema_version": 1,
        "session_hash": HASH,
        "prepared_session_hash": PREPARED,
        "published_at": NOW,
        "jobs": {"3e1aa3ee": "remote1", "e4e8c149": "remote2", "deleted": "remote3"},
    }
    assert published_lineage(text)[0] == [HASH, PREPARED]


def test_a_note_that_is_longer_than_other_texts_may_be_is_written_and_read(database: Path, tmp_path: Path) -> None:
    """That of 90,000 jobs is."""
    for _ in range(2):
        mark(database, [JOBS[0], *((f"{number:08x}", "r" * 60_000) for number in range(80))])
    assert rows(database, f"SELECT length(metadata) > {VALUE_LIMIT} FROM sessions") == [(1,)]
    with open_database(database) as opened:
        assert pick_target(opened, None, tmp_path, ()).id == 1
    for target in (HASH, PREPARED[:8]):  # the note is found, and names jobs that are not there
        with open_database(database) as opened, pytest.raises(UsageProblem, match="no longer has all jobs"):
            pick_target(opened, target, tmp_path, ())


@pytest.mark.parametrize("broken", ["{", "[1]", "7", " ", '{"roar": 3}', '{"roar": {"remote_publication": []}}'])
def test_a_broken_note_is_replaced(database: Path, broken: str) -> None:
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.execute("UPDATE sessions SET metadata = ?", (broken,))
    mark(database)
    assert published_lineage(rows(database, "SELECT metadata FROM sessions")[0][0])[0] == [HASH, PREPARED]


@pytest.mark.usefixtures("_slices")
def test_repetition_changes_nothing(database: Path) -> None:
    mark(database)
    once = dump(database)
    mark(database)
    assert dump(database) == once


def test_the_search_index_still_agrees(database: Path) -> None:
    mark(database)
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.execute("INSERT INTO jobs_fts(jobs_fts) VALUES ('integrity-check')")
        assert len(connection.execute("SELECT rowid FROM jobs_fts WHERE jobs_fts MATCH 'total'").fetchall()) == 3


def test_a_lock_of_roar_is_waited_for_and_then_reported(database: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("roar_publisher.lineage.connections.WRITE_TIMEOUT", 0.05)
    with closing(sqlite3.connect(database, isolation_level=None)) as writer:
        writer.execute("BEGIN IMMEDIATE")
        with pytest.raises(LocalProblem) as caught:
            mark(database)
        assert "locked by another process" in caught.value.what
        assert caught.value.conclusion is Conclusion.INTERRUPTED
        writer.execute("ROLLBACK")
    assert rows(database, "SELECT synced_at FROM sessions") == [(None,)]
    mark(database)


def test_a_missing_or_damaged_database_is_an_error(database: Path) -> None:
    database.write_bytes(b"no database" * 1000)
    with pytest.raises(LocalProblem, match=r"is published, but roar\.db could not be updated"):
        mark(database)
    database.unlink()
    with pytest.raises(LocalProblem, match="there is no"):
        mark(database)
    assert not database.exists()


def test_a_note_that_is_too_long_for_roar_db_is_named(database: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard, "NOTE_LIMIT", 2 * VALUE_LIMIT)
    with pytest.raises(LocalProblem, match="the record of the published jobs") as refused:
        mark(database, [JOBS[0], *((f"{number:08x}", "r" * 120_000) for number in range(80))])
    assert (refused.value.reason, refused.value.kept) == ("too large", "The publication itself is complete.")
    assert rows(database, "SELECT count(*) FROM jobs WHERE synced_at IS NOT NULL") == [(0,)]


def test_roars_label_push_finds_the_published_jobs(tmp_path: Path) -> None:
    root = captured_project("diamond", tmp_path)
    units: list[Unit] = []
    project = find_project(root)
    build_plan(project, None, cwd=root, identities=[], sink=units.extend)
    jobs = [job for unit in units if unit.kind is Kind.JOBS for job in json.loads(unit.body)]
    artifacts = [item for unit in units if unit.kind is Kind.ARTIFACTS for item in json.loads(unit.body)]
    mark(
        project.database,
        jobs=[(job["job_uid"], f"remote-{job['job_uid']}") for job in jobs],
        digests=[artifact["hashes"][0]["digest"] for artifact in artifacts],
    )
    with roarcli.create_database_context(project.roar_dir) as context:
        session_hash, labels, _targets = roarcli.labels_to_push(context, roar_dir=project.roar_dir)
    assert session_hash == HASH
    assert [(label["entity_type"], label.get("job_uid")) for label in labels] == [
        ("dag", None),
        ("job", "remote-e4e8c149"),
        ("artifact", None),
    ]
    for table in ("sessions", "jobs", "artifacts"):
        assert rows(project.database, f"SELECT count(*) FROM {table} WHERE synced_at IS NULL") == [(0,)]


def dump(database: Path) -> list[str]:
    with closing(sqlite3.connect(database)) as connection:
        return [line for line in connection.iterdump() if "jobs_fts" not in line]


def test_a_full_temporary_folder_is_named(database: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """SQLite keeps in memory what is small, so the error comes from a connection that may use few pages."""
    monkeypatch.setenv("SQLITE_TMPDIR", str(tmp_path))
    connect: Callable[..., sqlite3.Connection] = sqlite3.connect

    def limited(name: str, **options: Any) -> sqlite3.Connection:
        connection = connect(name, **options)
        connection.execute("PRAGMA temp.max_page_count = 10")
        return connection

    monkeypatch.setattr(sqlite3, "connect", limited)
    with pytest.raises(LocalProblem, match=f"recording the publication needs the temporary folder {tmp_path}") as full:
        PublicationMarks(database, ((f"{number:0100}", "remote") for number in range(1000)), ())
    assert full.value.reason is Reason.DISK_FULL
    assert full.value.kept == "The publication itself is complete."
    assert "TMPDIR" in full.value.next_step


def test_a_database_that_was_made_anew_is_not_marked(database: Path) -> None:
    """Its session of that number is another one."""
    with closing(sqlite3.connect(database)) as connection:
        before = list(connection.iterdump())
    with pytest.raises(LocalProblem, match="contains none of its jobs") as raised:
        mark(database, jobs=[("another", "remote")])
    with closing(PublicationMarks(database, [], DIGESTS)) as marks:
        marks.mark_labels(session_id=1, published=["another"], as_of=NOW, now=NOW)
    assert raised.value.reason == Reason.NO_DATABASE
    with closing(sqlite3.connect(database)) as connection:
        assert list(connection.iterdump()) == before
