"""Only its owner can read a registry's data, regardless of the umask and of how the folder was created."""

import os
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from roar_publisher.registry import data
from roar_publisher.registry.data import Store
from roar_publisher.registry.store import private_data
from roar_publisher.registry.store.graphs import new_graph
from roar_publisher.registry.store.private_data import LINEAGES_NAME, MAIN_FILES, SECRET_NAME, UnsafeData
from roar_publisher.registry.store.users import Accounts, add_user, new_id
from tests.support.checkout import CHECKOUT, DATA


@pytest.fixture(params=[0o000, 0o022, 0o077], ids=oct)
def umask(request: pytest.FixtureRequest) -> Iterator[None]:
    before = os.umask(request.param)
    yield
    os.umask(before)


def modes(folder: Path) -> dict[str, int]:
    """The mode of a folder and of everything in it, by its path below."""
    paths = [folder, *sorted(folder.rglob("*"))]
    return {str(path.relative_to(folder)): stat.S_IMODE(path.stat().st_mode) for path in paths}


def private(folder: Path) -> dict[str, int]:
    return {name: 0o700 if (folder / name).is_dir() else 0o600 for name in modes(folder)}


def used(data: Path) -> None:
    """A store with the files that SQLite creates while it is written."""
    store = Store.open(data)
    store.write(new_graph)
    store.accounts.write(add_user, new_id())
    assert (data / f"{LINEAGES_NAME}-wal").exists()
    assert modes(data) == private(data)
    store.close()


@pytest.mark.usefixtures("umask")
def test_files_of_the_registry_are_private(tmp_path: Path) -> None:
    data = tmp_path / "deep" / "registry"
    used(data)
    assert modes(tmp_path / "deep") == private(tmp_path / "deep")


def test_registries_that_start_at_once_in_one_folder_have_one_secret(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two that share a database may share the folder, too. The other one makes the secret just before this one does."""
    others: list[bytes] = []

    def after_another(path: Path) -> AbstractContextManager[None]:
        monkeypatch.undo()
        others.append(data._secret(path))
        return private_data.locked(path)

    monkeypatch.setattr(data, "locked", after_another)
    assert [data._secret(tmp_path / SECRET_NAME)] == others
    assert modes(tmp_path) == {**private(tmp_path), ".": stat.S_IMODE(tmp_path.stat().st_mode)}


@pytest.mark.usefixtures("umask")
def test_a_folder_that_was_made_before_is_made_private_with_everything_in_it(tmp_path: Path) -> None:
    """Earlier releases left `registry.db` readable to all users. So may a copy of the folder."""
    data = tmp_path / "registry"
    used(data)
    (data / "backup").mkdir()
    for name in ("registry.log", "backup/registry.db", "registry.db-wal", "registry.db-shm", "registry.db.old"):
        (data / name).touch()
    for path in data.rglob("*"):
        path.chmod(0o777 if path.is_dir() else 0o666)
    data.chmod(0o755)
    used(data)
    assert modes(data) == private(data)


def test_commands_make_it_private_too(tmp_path: Path) -> None:
    Accounts.open(tmp_path).close()
    (tmp_path / "accounts.db").chmod(0o644)
    tmp_path.chmod(0o755)
    Accounts.open(tmp_path).close()
    assert modes(tmp_path) == private(tmp_path)


def test_a_command_does_not_release_the_locks_of_a_running_registry(tmp_path: Path) -> None:
    store = Store.open(tmp_path)
    Accounts.open(tmp_path).close()
    second = subprocess.run(
        [
            sys.executable,
            "-c",
            f"import sqlite3; sqlite3.connect({str(tmp_path / LINEAGES_NAME)!r}).execute('SELECT * FROM graphs')",
        ],
        capture_output=True,
        text=True,
        cwd=CHECKOUT,
        timeout=120,
    )
    assert "database is locked" in second.stderr
    store.close()


@pytest.mark.parametrize("mode", [0o777, 0o770, 0o707, 0o720, 0o1777], ids=oct)
def test_a_folder_that_others_may_write_to_is_refused(tmp_path: Path, mode: int) -> None:
    data = tmp_path / "registry"
    data.mkdir()
    data.chmod(mode)
    for opened in (Store.open, Accounts.open):
        with pytest.raises(UnsafeData, match="other users can write") as refusal:
            opened(data)
        assert "chmod" in refusal.value.remedy
    assert list(data.iterdir()) == []


@pytest.mark.parametrize("name", [".", LINEAGES_NAME, "secret", "backup/registry.db"])
def test_data_of_another_user_is_refused(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    Store.open(tmp_path).close()
    (tmp_path / "backup").mkdir()
    (tmp_path / "backup" / "registry.db").touch()
    foreign = (tmp_path / name).stat().st_ino
    real = Path.stat

    def owned_by_another(path: Path, *, follow_symlinks: bool = True) -> os.stat_result:
        found = real(path, follow_symlinks=follow_symlinks)
        fields = list(found)
        if found.st_ino == foreign:
            fields[4] = os.geteuid() + 1
        return os.stat_result(fields)

    monkeypatch.setattr(Path, "stat", owned_by_another)
    with pytest.raises(UnsafeData, match="another user"):
        private_data.secure_folder(tmp_path)


@pytest.mark.parametrize("below", ["", "home", "home/me", "home/me/docs/.."])
def test_a_home_is_not_taken_for_the_folder_of_a_registry(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, below: str
) -> None:
    """`--data ~`: everything in it would become private."""
    home = tmp_path / "home" / "me"
    home.mkdir(parents=True)
    monkeypatch.setenv("HOME", str(home))
    (home / "docs").mkdir()
    (home / "public.html").touch(mode=0o644)
    before = modes(tmp_path)
    with pytest.raises(UnsafeData, match="holds more than a registry"):
        Store.open(tmp_path / below)
    assert modes(tmp_path) == before


@pytest.mark.parametrize("left", [set(), set(MAIN_FILES), {SECRET_NAME}], ids=lambda names: "+".join(sorted(names)))
def test_the_home_of_a_system_user_may_be_the_folder_of_its_registry(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, left: set[str]
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    used(tmp_path)
    for path in list(tmp_path.iterdir()):
        if path.name not in left and path.is_file():
            path.unlink()
    if left:
        (tmp_path / "server.log").touch()
        used(tmp_path)
        assert modes(tmp_path) == private(tmp_path)


def test_the_target_of_a_symlink_is_not_changed(tmp_path: Path) -> None:
    data, outside = tmp_path / "registry", tmp_path / "outside"
    data.mkdir()
    outside.mkdir()
    (outside / "file").touch()
    for path, mode in ((outside / "file", 0o644), (outside, 0o755)):
        path.chmod(mode)
    (data / "folder").symlink_to(outside)
    (data / "file").symlink_to(outside / "file")
    Store.open(data).close()
    assert modes(outside) == {".": 0o755, "file": 0o644}


def test_the_database_of_an_earlier_release_is_still_read(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / LINEAGES_NAME) as connection:
        connection.executescript((DATA / "registry-earlier-release.sql").read_text())
    connection.close()
    (tmp_path / LINEAGES_NAME).chmod(0o644)
    used(tmp_path)
