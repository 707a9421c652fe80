"""Reading while roar writes, and every kind of damage to roar.db."""

import errno
import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from hashlib import sha256
from pathlib import Path

import pytest

from roar_publisher.lineage import database_errors
from roar_publisher.lineage.database import NEWEST_SCHEMA, open_database
from roar_publisher.lineage.database_errors import database_problem
from roar_publisher.lineage.plan import PlanSummary, build_plan
from roar_publisher.lineage.project import find_project
from roar_publisher.state import mounts
from roar_publisher.state.errors import Conclusion, LocalProblem
from roar_publisher.state.temporary import sqlite_folder
from tests.support.lineage.captured import captured_project
from tests.support.lineage.recorder import Recorder
from tests.support.synthetic import make_project

WRITER = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("BEGIN IMMEDIATE")
connection.execute("UPDATE jobs SET command = 'half written'")
print("writing", flush=True)
sys.stdin.readline()
connection.execute("COMMIT")
print("written", flush=True)
sys.stdin.readline()
"""


def plan(root: Path) -> tuple[PlanSummary, bytes]:
    bodies: list[bytes] = []
    project = find_project(root)
    summary = build_plan(
        project, None, cwd=root, identities=[], sink=lambda units: bodies.extend(unit.body for unit in units)
    )
    return summary, b"\n".join(bodies)


def test_an_open_write_transaction_neither_blocks_nor_shows(tmp_path: Path) -> None:
    root = make_project(tmp_path / "project", jobs=50, links_per_job=4, seed=1)
    before = plan(root)
    writer = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(root / ".roar" / "roar.db")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with writer:
        assert writer.stdout is not None
        assert writer.stdin is not None
        assert writer.stdout.readline() == "writing\n"
        assert plan(root) == before
        writer.stdin.write("\n")
        writer.stdin.flush()
        assert writer.stdout.readline() == "written\n"
        assert b"half written" in plan(root)[1]
        writer.stdin.close()


def test_concurrent_writes_are_neither_seen_nor_blocked(tmp_path: Path) -> None:
    root = make_project(tmp_path / "project", jobs=400, links_per_job=4, seed=1)
    before = plan(root)
    database = root / ".roar" / "roar.db"
    written: list[str] = []

    def write_once(*_units: object) -> None:
        # The plan is being read now; roar may write all the same, at once.
        if not written:
            with closing(sqlite3.connect(database, timeout=0)) as connection, connection:
                connection.execute("UPDATE jobs SET command = 'later'")
                connection.execute("DELETE FROM job_inputs")
            written.append("done")

    project = find_project(root)
    during = build_plan(project, None, cwd=root, identities=[], sink=write_once)
    assert written == ["done"]
    assert during == before[0]
    assert plan(root)[0] != before[0]


def test_a_writer_is_not_blocked_by_an_open_snapshot(tmp_path: Path) -> None:
    with Recorder(tmp_path) as recorder:
        recorder.job(1)
    with open_database(recorder.path) as database:
        with closing(sqlite3.connect(recorder.path, timeout=0)) as connection, connection:
            connection.execute("UPDATE jobs SET command = 'later'")
        assert database.one("SELECT command FROM jobs") == ("step 1",)


def test_reading_does_not_change_the_file(tmp_path: Path) -> None:
    root = captured_project("diamond", tmp_path)
    database = root / ".roar" / "roar.db"
    before = sha256(database.read_bytes()).hexdigest(), database.stat().st_mtime_ns
    plan(root)
    assert (sha256(database.read_bytes()).hexdigest(), database.stat().st_mtime_ns) == before


def test_changes_in_the_wal_are_read(tmp_path: Path) -> None:
    root = captured_project("linear", tmp_path)
    with closing(sqlite3.connect(root / ".roar" / "roar.db")) as connection:
        connection.execute("PRAGMA wal_autocheckpoint = 0")
        with connection:
            connection.execute("UPDATE jobs SET command = 'in the wal'")
        assert (root / ".roar" / "roar.db-wal").stat().st_size > 0
        assert b"in the wal" in plan(root)[1]


def _garbage(path: Path) -> None:
    path.write_bytes(b"not a database at all" * 1000)


def _truncated(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 3)


def _empty(path: Path) -> None:
    path.write_bytes(b"")


def _foreign(path: Path) -> None:
    path.unlink()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE other(x)")


def _newer(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(f"PRAGMA user_version = {NEWEST_SCHEMA + 1}")


def _older(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("DROP TABLE composite_membership_indexes")
        connection.execute("ALTER TABLE labels DROP COLUMN write_origin")


def _folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize(
    ("damage", "what"),
    [
        (Path.unlink, "there is no"),
        (_garbage, "damaged, or not an SQLite database"),
        (_truncated, "damaged"),
        (_empty, "is not roar's database"),
        (_foreign, "is not roar's database"),
        (_newer, "written by a newer roar"),
        (_older, "written by an older roar"),
        (_folder, "is not a regular file"),
    ],
)
def test_a_damaged_database_is_one_clear_error(tmp_path: Path, damage: Callable[[Path], None], what: str) -> None:
    root = captured_project("linear", tmp_path)
    damage(root / ".roar" / "roar.db")
    with pytest.raises(LocalProblem) as caught:
        plan(root)
    assert what in caught.value.what
    assert "roar.db" in caught.value.what
    assert caught.value.next_step
    assert caught.value.conclusion is Conclusion.FAILED


def test_a_database_damaged_in_the_middle_is_an_error(tmp_path: Path) -> None:
    root = make_project(tmp_path / "project", jobs=500, links_per_job=4, seed=1)
    database = root / ".roar" / "roar.db"
    with database.open("r+b") as handle:
        handle.seek(200_000)
        handle.write(b"\xff" * 600_000)
    with pytest.raises(LocalProblem, match="damaged"):
        plan(root)


def test_a_database_in_a_read_only_folder_is_read(tmp_path: Path) -> None:
    root = captured_project("linear", tmp_path)
    expected = plan(root)
    with read_only(root / ".roar"):
        assert plan(root) == expected


def test_an_unreadable_wal_is_not_ignored(tmp_path: Path) -> None:
    root = captured_project("linear", tmp_path)
    shutil.copy(root / ".roar" / "roar.db", tmp_path / "copy.db")
    with closing(sqlite3.connect(tmp_path / "copy.db")) as connection:
        connection.execute("PRAGMA wal_autocheckpoint = 0")
        with connection:
            connection.execute("UPDATE jobs SET command = 'in the wal'")
        shutil.copy(tmp_path / "copy.db-wal", root / ".roar" / "roar.db-wal")
    with read_only(root / ".roar"), pytest.raises(LocalProblem, match="changes waiting"):
        plan(root)


def test_a_write_that_was_interrupted_is_not_read(tmp_path: Path) -> None:
    """roar.db has no WAL on file systems without shared memory; this is what a roar leaves that is killed there."""
    root = captured_project("linear", tmp_path)
    database, crashed = root / ".roar" / "roar.db", tmp_path / "crashed.db"
    with closing(sqlite3.connect(database, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode = DELETE")
        connection.execute("PRAGMA cache_spill = 1")
        connection.execute("PRAGMA cache_size = 1")
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("UPDATE jobs SET command = 'interrupted'")
        connection.execute("CREATE TABLE filling AS SELECT zeroblob(1000000) AS content")
        for suffix in ("", "-journal"):
            shutil.copy(f"{database}{suffix}", f"{crashed}{suffix}")
        connection.execute("ROLLBACK")
    assert b"interrupted" in crashed.read_bytes(), "this proves nothing"
    with pytest.raises(LocalProblem, match="a write that was interrupted") as refused, open_database(crashed):
        pass
    assert "roar status" in refused.value.next_step


@contextmanager
def read_only(folder: Path) -> Iterator[None]:
    """Make the folder read-only, without SQLite's companion files; skip if permissions do not bind this user."""
    (folder / "roar.db-shm").unlink(missing_ok=True)
    folder.chmod(0o500)
    try:
        if os.access(folder, os.W_OK):
            pytest.skip("permissions don't bind this user")
        yield
    finally:
        folder.chmod(0o700)


def test_a_path_with_unusual_characters_is_opened(tmp_path: Path) -> None:
    odd = tmp_path / "100% ?mode=rw#é'\""
    odd.mkdir()
    root = captured_project("linear", odd)
    assert plan(root)[0].jobs == 2


def test_a_copied_project_reads_the_same(tmp_path: Path) -> None:
    root = captured_project("linear", tmp_path)
    shutil.copytree(root, tmp_path / "copy")
    assert plan(root) == plan(tmp_path / "copy")


def full() -> sqlite3.Error:
    """Return what SQLite raises if a file cannot grow."""
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.execute("PRAGMA max_page_count = 1")
        with pytest.raises(sqlite3.OperationalError) as caught:
            connection.execute("CREATE TABLE t(x)")
    return caught.value


def test_a_full_disk_while_reading_is_that_of_the_temporary_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = tmp_path / "roar.db"
    monkeypatch.delenv("SQLITE_TMPDIR", raising=False)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    reading, writing = database_problem(database, full()), database_problem(database, full(), writing=True)
    assert reading.reason == writing.reason == "disk full"
    assert f"temporary folder {tmp_path}," in reading.what
    assert "TMPDIR" in reading.next_step
    assert "roar.db" not in reading.what
    assert "roar.db" in writing.what


def test_a_full_disk_is_named_where_sqlite_only_reports_an_io_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when no room is left for the index of a WAL, which readers need."""
    error = sqlite3.OperationalError("disk I/O error")
    error.sqlite_errorcode = sqlite3.SQLITE_IOERR_SHMSIZE
    assert database_problem(tmp_path / "roar.db", error).reason == "database"
    full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    monkeypatch.setattr(database_errors, "probe_write", lambda folder: full)
    problem = database_problem(tmp_path / "roar.db", error)
    assert (problem.reason, problem.what) == ("disk full", f"{tmp_path}/roar.db cannot be used: the disk is full")


def test_a_file_system_that_sqlite_cannot_work_with_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As a mount of rclone without a cache: SQLite cannot open the index of a WAL there."""
    error = sqlite3.OperationalError("disk I/O error")
    error.sqlite_errorcode = sqlite3.SQLITE_IOERR_SHMOPEN
    table = tmp_path / "mountinfo"
    monkeypatch.setattr(mounts, "MOUNT_TABLE", table)
    table.write_text(f"1 0 0:1 / {tmp_path} rw - fuse.rclone remote: rw\n")
    problem = database_problem(tmp_path / "roar.db", error)
    assert problem.what == f"SQLite cannot work with {tmp_path}/roar.db on fuse.rclone: disk I/O error"
    assert "--vfs-cache-mode writes" in problem.next_step
    table.write_text(f"1 0 0:1 / {tmp_path} rw - ext4 /dev/sda1 rw\n")
    assert "permissions" in database_problem(tmp_path / "roar.db", error).next_step


def test_the_temporary_folder_is_the_one_that_sqlite_uses(tmp_path: Path) -> None:
    assert sqlite_folder({"SQLITE_TMPDIR": str(tmp_path), "TMPDIR": "/"}) == str(tmp_path)
    assert sqlite_folder({"SQLITE_TMPDIR": "/nonexistent", "TMPDIR": str(tmp_path)}) == str(tmp_path)
