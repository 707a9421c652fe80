"""Backups: made while the registry serves, checked, and put back."""

import errno
import io
import json
import os
import sqlite3
import stat
import tarfile
import threading
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import httpx2
import pytest
from click.testing import CliRunner, Result

from roar_publisher.cli.registry.command import registry
from roar_publisher.registry import backup
from roar_publisher.registry.accounts.callers import ANONYMOUS_CALLER
from roar_publisher.registry.backup import MEMBERS, restore_backup
from roar_publisher.registry.data import Store
from roar_publisher.registry.lineages.registration import LIFETIME, open_session
from roar_publisher.registry.store.copies import STEP_PAGES, copy_database
from roar_publisher.registry.store.database import Writing
from roar_publisher.registry.store.errors import DataInUse
from roar_publisher.registry.store.private_data import LINEAGES_NAME
from roar_publisher.registry.store.sqlite import SQLiteConnection, connect
from roar_publisher.state.errors import LocalProblem
from tests.support.registry.harness import GIT, Json, job, succeeded
from tests.support.registry.processes import PATIENCE, Process, serving
from tests.support.state.syncing import refuse_to_sync_folders


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(registry, list(map(str, arguments)))


def works(*arguments: str | Path) -> str:
    result = run(*arguments)
    assert result.exit_code == 0, (result.output, result.exception)
    return result.stdout


def problem(*arguments: str | Path) -> str:
    """What a command that fails says: what happened, and what to do next."""
    result = run(*arguments)
    assert isinstance(result.exception, LocalProblem), result.output
    return result.exception.detail


def open_publish(process: Process) -> tuple[str, dict[str, str]]:
    opened = succeeded(
        httpx2.post(f"{process.url}/api/v1/registration-sessions", json={"mode": "anonymous_public"}, timeout=PATIENCE)
    )
    headers = {"Authorization": f"RegistrationSession {opened['registration_session_token']}"}
    return f"{process.url}/api/v1/registration-sessions/{opened['registration_session_id']}", headers


def publish(process: Process, first: int, jobs: int) -> str:
    root, headers = open_publish(process)
    body = {"jobs": [job(number) for number in range(first, first + jobs)]}
    succeeded(httpx2.post(f"{root}/jobs/batch", json=body, headers=headers, timeout=PATIENCE))
    receipt: Json = succeeded(httpx2.post(f"{root}/finalize", json=GIT, headers=headers, timeout=PATIENCE))
    return str(receipt["hash"])


def is_there(process: Process, lineage: str) -> bool:
    return httpx2.get(f"{process.url}/api/v1/sessions/{lineage}", timeout=PATIENCE).status_code == 200


def test_a_backup_made_while_it_serves_has_everything_that_was_acknowledged(tmp_path: Path) -> None:
    data, file, other = tmp_path / "data", tmp_path / "a.tar", tmp_path / "other"
    works("user", "add", "alice", "--data", data)
    with serving(data) as process:
        published = publish(process, 0, 20)
        root, headers = open_publish(process)
        succeeded(httpx2.post(f"{root}/jobs/batch", json={"jobs": [job(90)]}, headers=headers, timeout=PATIENCE))
        works("backup", file, "--data", data)
        later = publish(process, 50, 1)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert {path.name for path in tmp_path.iterdir()} == {"data", "a.tar"}
    works("restore", file, "--data", other)
    assert "alice" in works("user", "list", "--data", other)
    with serving(other) as process:
        assert is_there(process, published)
        assert not is_there(process, later)
        moved = root.replace(root.partition("/api")[0], process.url)  # the secret came along: the token still counts
        succeeded(httpx2.post(f"{moved}/finalize", json=GIT, headers=headers, timeout=PATIENCE))


def test_a_backup_without_a_running_registry(tmp_path: Path) -> None:
    data, file, other = tmp_path / "data", tmp_path / "a.tar", tmp_path / "other"
    with serving(data) as process:
        published = publish(process, 0, 3)
        process.kill()
    works("backup", file, "--data", data)
    works("restore", file, "--data", other)
    with serving(other) as process:
        assert is_there(process, published)


def test_a_copy_is_consistent_while_others_write(tmp_path: Path) -> None:
    """Two counters are always written together; the copy never has one without the other."""
    source = connect(str(tmp_path / "source"), timeout=5)
    source.execute("PRAGMA journal_mode = WAL")
    source.execute("CREATE TABLE pages (id INTEGER PRIMARY KEY, text TEXT)")
    source.execute("CREATE TABLE counters (name TEXT PRIMARY KEY, value INTEGER)")
    source.executemany("INSERT INTO counters VALUES (?, 0)", [("first",), ("last",)])
    source.executemany("INSERT INTO pages (text) VALUES (?)", [("x" * 4000,)] * (4 * STEP_PAGES))
    over, lock = threading.Event(), threading.Lock()

    def write() -> None:
        while not over.is_set():
            with lock:
                source.begin(Writing.ALONE)
                source.execute("UPDATE counters SET value = value + 1 WHERE name = 'first'")
                source.execute("UPDATE pages SET text = text || 'y' WHERE id = 1")
                source.execute("UPDATE counters SET value = value + 1 WHERE name = 'last'")
                source.commit()

    writer = threading.Thread(target=write)
    writer.start()
    try:
        copy_database(source, tmp_path / "copy")
    finally:
        over.set()
        writer.join()
        source.close()
    copy = sqlite3.connect(tmp_path / "copy")
    (first,), (last,) = copy.execute("SELECT value FROM counters ORDER BY name").fetchall()
    assert first == last
    assert copy.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    copy.close()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    Store.open(tmp_path / "data").close()
    works("backup", tmp_path / "a.tar", "--data", tmp_path / "data")
    return tmp_path / "a.tar"


def test_a_registry_is_replaced_by_force_only_and_never_while_it_runs(file: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    assert "--force replaces it" in problem("restore", file, "--data", data)
    with serving(data) as process:
        assert "a registry runs on this data" in problem("restore", file, "--data", data, "--force")
        published = publish(process, 0, 1)
        process.kill()  # its log remains, and must not be applied to the restored file
    works("restore", file, "--data", data, "--force")
    with serving(data) as process:
        assert not is_there(process, published)


@pytest.mark.parametrize("force", [True, False])
def test_a_registry_that_is_started_while_a_backup_is_unpacked_keeps_its_data(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, force: bool
) -> None:
    data, check, started = tmp_path / ("data" if force else "new"), backup._check, ExitStack()

    def start_and_check(folder: Path, name: str) -> None:
        check(folder, name)
        if name == MEMBERS[-1]:
            started.callback(Store.open(data).close)

    monkeypatch.setattr(backup, "_check", start_and_check)
    with started, pytest.raises(DataInUse):
        restore_backup(file, data, force=force)


@pytest.mark.parametrize("force", [True, False])
def test_two_backups_are_not_restored_at_once(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, force: bool
) -> None:
    data, check = tmp_path / ("data" if force else "new"), backup._check

    def check_late(folder: Path, name: str) -> None:
        said = problem("restore", file, "--data", data, *(["--force"] if force else []))
        assert "another backup is being restored" in said
        assert "wait until it has ended" in said
        check(folder, name)

    monkeypatch.setattr(backup, "_check", check_late)
    restore_backup(file, data, force=force)
    assert {*MEMBERS} <= {path.name for path in data.iterdir()}


def test_no_registry_starts_while_its_files_are_replaced(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    replace = Path.replace

    def start_and_replace(path: Path, target: Path) -> Path:
        with pytest.raises(DataInUse):
            Store.open(tmp_path / "data")
        return replace(path, target)

    monkeypatch.setattr("roar_publisher.registry.store.files.LOCK_TIMEOUT", 0.0)
    with monkeypatch.context() as meanwhile:
        meanwhile.setattr(Path, "replace", start_and_replace)
        restore_backup(file, tmp_path / "data", force=True)
    Store.open(tmp_path / "data").close()


class Killed(BaseException):
    """Stands for SIGKILL."""


@pytest.mark.parametrize("before", MEMBERS)
def test_a_restore_that_was_killed_is_repeated_and_leaves_nothing(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, before: str
) -> None:
    data, replace = tmp_path / "restored", Path.replace

    def die(path: Path, target: Path) -> Path:
        if path.name == before:
            raise Killed
        return replace(path, target)

    def leave(folder: TemporaryDirectory[str], *_: object) -> None:
        folder._finalizer.detach()  # type: ignore[attr-defined]

    with monkeypatch.context() as dying:
        dying.setattr(Path, "replace", die)
        dying.setattr(TemporaryDirectory, "__exit__", leave)
        with pytest.raises(Killed):
            restore_backup(file, data, force=False)
    assert list(data.glob(".*/*"))
    restore_backup(file, data, force=before != MEMBERS[0])
    assert {path.name for path in data.iterdir()} == {*MEMBERS}


def test_what_a_killed_backup_left_is_removed_by_the_next_one(tmp_path: Path) -> None:
    """It is a copy of everything, keys included. That of a backup that runs, or has just begun, stays."""
    Store.open(tmp_path / "data").close()
    killed, running, begun = (tmp_path / f".roar-backup-{name}" for name in ("killed", "running", "begun"))
    for folder in (killed, running, begun):
        folder.mkdir()
        (folder / "secret").write_bytes(b"x" * 32)
    for folder in (killed, running):
        os.utime(folder, (1_000_000_000, 1_000_000_000))
    with backup._locked(running):
        works("backup", tmp_path / "a.tar", "--data", tmp_path / "data")
    assert {path.name for path in tmp_path.iterdir()} == {"a.tar", "data", running.name, begun.name}


def test_a_backup_is_made_where_folders_cannot_be_locked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Store.open(tmp_path / "data").close()

    def refuse(*_: object) -> None:
        raise OSError(errno.ENOLCK, "no locks")

    monkeypatch.setattr("roar_publisher.registry.backup.fcntl.flock", refuse)
    works("backup", tmp_path / "a.tar", "--data", tmp_path / "data")
    assert {path.name for path in tmp_path.iterdir()} == {"a.tar", "data"}


def changed(file: Path, name: str, change: Callable[[bytes], bytes | None]) -> None:
    """Change a member of a backup; None leaves it out."""
    with tarfile.open(file) as archive:
        contents = {member: archive.extractfile(member).read() for member in MEMBERS}  # type: ignore[union-attr]
    with tarfile.open(file, "w") as archive:
        for member, content in contents.items():
            content_now = change(content) if member == name else content
            if content_now is not None:
                entry = tarfile.TarInfo(member)
                entry.size = len(content_now)
                archive.addfile(entry, io.BytesIO(content_now))


@pytest.mark.parametrize("name", MEMBERS)
@pytest.mark.parametrize("change", [lambda _: None, lambda _: b"", lambda content: b"a diary" + content[7:4000]])
def test_a_damaged_backup_changes_nothing(
    file: Path, tmp_path: Path, name: str, change: Callable[[bytes], bytes | None]
) -> None:
    if name == "secret" and change(b"x" * 32) == b"a diary" + b"x" * 25:
        pytest.skip("any 32 bytes are a secret")
    changed(file, name, change)
    before = {path.name: path.read_bytes() for path in (tmp_path / "data").iterdir()}
    assert "damaged" in problem("restore", file, "--data", tmp_path / "data", "--force")
    assert {path.name: path.read_bytes() for path in (tmp_path / "data").iterdir()} == before


def test_a_damaged_page_and_a_later_schema_are_found(file: Path, tmp_path: Path) -> None:
    kept = file.read_bytes()
    changed(file, LINEAGES_NAME, lambda content: content[:8192] + b"\xff" * 4096 + content[12288:])
    assert "a.tar is damaged: " in problem("restore", file, "--data", tmp_path / "new")
    file.write_bytes(kept)
    changed(file, LINEAGES_NAME, lambda content: content[:60] + (999).to_bytes(4, "big") + content[64:])
    assert "schema 999" in problem("restore", file, "--data", tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_the_remedy_of_a_restore_fits_its_cause(file: Path, tmp_path: Path) -> None:
    empty, missing = tmp_path / "empty.tar", tmp_path / "missing.tar"
    empty.touch()
    for wrong in (empty, missing):
        assert problem("restore", wrong, "--data", tmp_path / "new").endswith("(next: name another backup)")
    assert "or replace it with --force" in problem("restore", file, "--data", tmp_path / "data")
    assert not (tmp_path / "new").exists()


def test_a_backup_that_fails_leaves_the_earlier_one(file: Path, tmp_path: Path) -> None:
    before = file.read_bytes()
    (tmp_path / "data" / "secret").write_bytes(b"")
    assert "secret is damaged" in problem("backup", file, "--data", tmp_path / "data")
    assert file.read_bytes() == before
    assert {path.name for path in tmp_path.iterdir()} == {"data", "a.tar"}
    assert "there is no registry" in problem("backup", file, "--data", tmp_path / "nowhere")


@pytest.mark.parametrize(("code", "said"), [(errno.EINVAL, ""), (errno.EIO, "Input/output error")])
def test_a_backup_is_made_where_folders_cannot_be_synced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, said: str
) -> None:
    """CIFS and others answer EINVAL. A disk that fails is reported."""
    Store.open(tmp_path / "data").close()
    refuse_to_sync_folders(monkeypatch, code)
    make = problem if said else works
    assert said in make("backup", tmp_path / "backup", "--data", tmp_path / "data")
    if not said:
        works("restore", tmp_path / "backup", "--data", tmp_path / "restored")


def test_a_file_that_cannot_be_examined_is_not_said_to_be_in_use(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full disk, or one that is mounted read-only, is not another registry."""
    begin = sqlite3.Connection.execute

    class Full(SQLiteConnection):
        def execute(self, sql: str, *parameters: Any) -> Any:
            return begin(self, "SELECT" if "EXCLUSIVE" in sql else sql, *parameters)

    def connect_to_full(path: str, *, timeout: float) -> SQLiteConnection:
        return sqlite3.connect(path, isolation_level=None, factory=Full)

    monkeypatch.setattr("roar_publisher.registry.store.copies.connect", connect_to_full)
    said = problem("restore", file, "--data", tmp_path / "data", "--force")
    assert "a registry runs" not in said
    assert "check its permissions and room" in said


def test_pruning_counts_and_removes_what_has_expired(tmp_path: Path) -> None:
    store = Store.open(tmp_path)
    for client, age in (("old", 2 * LIFETIME), ("new", 0)):
        now = 4_000_000_000.0 if client == "new" else 1_000_000_000.0 - age
        store.write(
            open_session,
            ANONYMOUS_CALLER,
            client_session_id=None,
            mode="anonymous_public",
            now=now,
            client="",
            most_open=1,
        )
    store.close()
    expected = {"sessions": 1, "staged": 0, "fragment_sessions": 0}
    for dry_run in ("--dry-run", "--dry-run", "--json"):
        shown = json.loads(works("prune", "--json", dry_run, "--data", tmp_path))
        assert shown == {"dry_run": dry_run == "--dry-run", **expected}
    assert works("prune", "--data", tmp_path) == (
        "removed: 0 expired sessions, 0 abandoned lineages, 0 fragment sessions\n"
    )
    with serving(tmp_path):
        said = problem("prune", "--data", tmp_path)
    assert "another registry runs on this data" in said
    assert "stop the other registry" in said
