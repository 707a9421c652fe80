"""Snapshots: what a writer does afterwards either does not reach them, or is noticed."""

import errno
import os
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest

from roar_publisher.checkpoints import snapshot
from roar_publisher.checkpoints.snapshot import (
    SMALL_BYTES,
    clone,
    has_clone,
    hold,
    new_snapshot_folder,
    place,
    remove_snapshot_folder,
    rewrites_in_place,
)
from roar_publisher.state.errors import LocalProblem, UsageProblem
from roar_publisher.state.reasons import Reason

LARGE = b"x" * (SMALL_BYTES + 1)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    files = tmp_path / "files"
    files.mkdir()
    return new_snapshot_folder(tmp_path / "model.pt", files)


def written(path: Path, content: bytes) -> Path:
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content)
    return path


def stamp_of(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_size, status.st_mtime_ns


def test_a_large_file_is_linked_and_survives_its_replacement_and_removal(tmp_path: Path, home: Path) -> None:
    model = written(tmp_path / "model.pt", LARGE)
    held = hold(model, home, 0)
    path = place(home, 0, model, cloned=False)
    assert path.samefile(model)
    os.replace(written(tmp_path / "new", b"y" * len(LARGE)), model)
    assert path.read_bytes() == LARGE
    model.unlink()
    assert stamp_of(path) == held.stamps[""]


def test_a_small_file_is_copied_with_its_time_so_that_it_may_be_rewritten_in_place(tmp_path: Path, home: Path) -> None:
    model = written(tmp_path / "model.pt", b"small")
    held = hold(model, home, 0)
    model.write_bytes(b"other")
    path = place(home, 0, model, cloned=False)
    assert (path.read_bytes(), stamp_of(path)) == (b"small", held.stamps[""])


def test_at_most_so_many_bytes_are_copied(tmp_path: Path, home: Path) -> None:
    folder = tmp_path / "shards"
    for number in range(6):
        written(folder / f"{number}.bin", bytes(SMALL_BYTES))
    hold(folder, home, 0)
    held = place(home, 0, folder, cloned=False)
    copied = [path for path in held.iterdir() if path.stat().st_nlink == 1]
    assert len(copied) == snapshot.COPIED_BYTES // SMALL_BYTES == 4


def test_a_rewrite_in_place_is_noticed_and_reaches_no_copy(tmp_path: Path, home: Path) -> None:
    model = written(tmp_path / "model.pt", LARGE)
    held = hold(model, home, 0)
    assert clone(home, 0, model, held.stamps, copy=True)
    with model.open("r+b") as file:
        file.write(b"torn")
    os.utime(model, ns=(1, 1))  # a clock may stand still between two writes of a test
    assert stamp_of(place(home, 0, model, cloned=False)) != held.stamps[""]
    assert not clone(home, 1, model, held.stamps, copy=True), "nor is what is torn copied"
    path = place(home, 0, model, cloned=True)
    assert (path.read_bytes(), stamp_of(path)) == (LARGE, held.stamps[""])
    assert rewrites_in_place(held, hold(model, home, 1))
    assert not rewrites_in_place(None, held)
    assert not rewrites_in_place(held, held), "the same file again was not rewritten"


def test_without_links_the_original_is_read_until_it_is_copied(
    tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "shards"
    written(folder / "a.bin", LARGE)
    written(folder / "b.json", b"{}")

    def refuse(source: str, target: Path) -> None:
        raise OSError(errno.EXDEV, "another file system")

    monkeypatch.setattr(os, "link", refuse)
    held = hold(folder, home, 0)
    assert place(home, 0, folder, cloned=False) == folder
    assert not has_clone(home, 1)
    assert clone(home, 0, folder, held.stamps, copy=False)
    assert has_clone(home, 1)
    copy = place(home, 0, folder, cloned=True)
    assert {path.name: stamp_of(path) for path in copy.iterdir()} == held.stamps


def test_a_file_that_is_written_while_it_is_copied_is_not_held(
    tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, copyfile = written(tmp_path / "model.pt", b"small"), shutil.copyfile

    def beside_a_writer(source: str, target: Path) -> None:
        copyfile(source, target)
        model.write_bytes(b"longer")

    monkeypatch.setattr(shutil, "copyfile", beside_a_writer)
    with pytest.raises(LocalProblem, match="changed while it was being submitted") as raised:
        hold(model, home, 0)
    assert raised.value.reason is Reason.FILE_CHANGED


def test_a_clone_that_failed_can_be_made_again(tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model, copyfile = written(tmp_path / "model.pt", LARGE), shutil.copyfile
    held = hold(model, home, 0)

    def full(source: str, target: Path) -> None:
        copyfile(source, target)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(snapshot, "FICLONE", 0)  # no file system knows it
    with monkeypatch.context() as patched:
        patched.setattr(shutil, "copyfile", full)
        assert not clone(home, 0, model, held.stamps, copy=True)
    assert not has_clone(home, 1)
    assert clone(home, 0, model, held.stamps, copy=True)
    assert has_clone(home, 1)
    assert not has_clone(home, 2), "its other source has none"


def test_what_cannot_be_linked_whole_is_not_held_in_part(
    tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, link, refused = tmp_path / "shards", os.link, list[str]()
    for name in ("a.bin", "b.bin", "c.bin"):
        written(folder / name, LARGE)

    def refuse_first(source: str, target: Path) -> None:
        if not refused:
            refused.append(source)
            raise OSError(errno.EMLINK, "Too many links")
        link(source, target)

    monkeypatch.setattr(os, "link", refuse_first)
    held = hold(folder, home, 0)
    assert place(home, 0, folder, cloned=False) == folder
    assert clone(home, 0, folder, held.stamps, copy=False)
    assert len(list(place(home, 0, folder, cloned=True).iterdir())) == 3


def test_a_link_that_the_disk_refuses_is_an_error(tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(source: str, target: Path) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), source)

    monkeypatch.setattr(os, "link", full)
    with pytest.raises(LocalProblem, match="No space left"):
        hold(written(tmp_path / "model.pt", LARGE), home, 0)


def test_a_file_on_another_file_system_is_held_beside_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files, scratch, stat = tmp_path / "files", tmp_path / "scratch", os.stat
    files.mkdir()
    model = written(scratch / "model.pt", LARGE)

    def other_disk(path: Path) -> SimpleNamespace:
        return SimpleNamespace(st_dev=stat(path).st_dev + (path == scratch))

    with monkeypatch.context() as patched:
        patched.setattr(os, "stat", other_disk)
        home = new_snapshot_folder(model, files)
    assert home.parent == scratch / f"{snapshot.BESIDE}{os.geteuid()}"
    assert (files / home.name).readlink() == home, "where it is found after a kill"
    assert (home.parent / ".gitignore").read_text() == "*\n"
    assert hold(scratch, home, 0).stamps.keys() == {"model.pt"}, "snapshots are no part of a checkpoint"
    remove_snapshot_folder(home, files)
    assert list(home.parent.iterdir()) == [home.parent / ".gitignore"]
    assert list(files.iterdir()) == []
    remove_snapshot_folder(home, files)


def planted(beside: Path, elsewhere: Path, how: str) -> None:
    """What another user has made in a folder that all may write into."""
    if how == "link":
        elsewhere.mkdir()
        beside.symlink_to(elsewhere)
    elif how == "file":
        beside.touch()
    elif how == "writable":
        beside.mkdir()
        beside.chmod(0o770)
    elif how == "theirs":
        beside.mkdir(mode=0o700)
    elif how == "not sticky":
        beside.parent.chmod(0o777)
    else:
        beside.parent.chmod(0o1777)


@pytest.mark.parametrize("how", ["link", "file", "writable", "theirs", "not sticky", "their sticky folder"])
def test_no_snapshot_lies_where_another_user_could_exchange_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    files, scratch, lstat, user = tmp_path / "files", tmp_path / "scratch", os.lstat, os.geteuid()
    files.mkdir()
    model = written(scratch / "model.pt", LARGE)
    beside = scratch / f"{snapshot.BESIDE}{user}"
    planted(beside, tmp_path / "elsewhere", how)
    theirs = {"theirs": beside, "their sticky folder": scratch}.get(how)

    def owned(path: Path) -> os.stat_result:
        found = lstat(path)
        return os.stat_result((*found[:4], user + 1, *found[5:])) if Path(path) == theirs else found

    before = sorted(scratch.rglob("*"))
    with monkeypatch.context() as patched:
        patched.setattr(os, "stat", lambda path: SimpleNamespace(st_dev=lstat(path).st_dev + (path == scratch)))
        patched.setattr(os, "lstat", owned)
        home = new_snapshot_folder(model, files)
    assert home.parent == files
    assert sorted(scratch.rglob("*")) == before


def test_a_folder_that_may_not_be_written_holds_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files, stat, mkdir = tmp_path / "files", os.stat, Path.mkdir
    files.mkdir()

    def refuse(path: Path, mode: int) -> None:
        if path.name.startswith(snapshot.BESIDE):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        mkdir(path, mode)

    with monkeypatch.context() as patched:
        patched.setattr(os, "stat", lambda path: SimpleNamespace(st_dev=stat(path).st_dev + (path == tmp_path)))
        patched.setattr(Path, "mkdir", refuse)
        home = new_snapshot_folder(tmp_path / "model.pt", files)
    assert home.parent == files


def test_a_file_system_without_symbolic_links_holds_it_beside_the_file_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(link: Path, target: Path) -> None:
        raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))

    files, stat = tmp_path / "files", os.stat
    files.mkdir()
    with monkeypatch.context() as patched:
        patched.setattr(os, "stat", lambda path: SimpleNamespace(st_dev=stat(path).st_dev + (path == tmp_path)))
        patched.setattr(Path, "symlink_to", refuse)
        home = new_snapshot_folder(tmp_path / "model.pt", files)
    assert home.is_dir()


def test_links_to_files_are_held_as_the_files_and_roars_folders_are_not(tmp_path: Path, home: Path) -> None:
    folder = tmp_path / "shards"
    (folder / "link").parent.mkdir()
    (folder / "link").symlink_to(written(tmp_path / "elsewhere", LARGE))
    written(folder / ".git" / "config", b"")
    (folder / "library").mkdir()
    written(folder / "library" / ".git", b"")
    (folder / "dangling").symlink_to("nothing")
    assert hold(folder, home, 0).stamps.keys() == {"link"}
    assert place(home, 0, folder, cloned=False).joinpath("link").read_bytes() == LARGE


def test_what_cannot_be_held_is_an_error_that_says_what_to_do(tmp_path: Path, home: Path) -> None:
    with pytest.raises(LocalProblem, match="missing can be made: No such file") as missing:
        hold(tmp_path / "missing", home, 0)
    assert missing.value.next_step
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageProblem, match="has no files"):
        hold(tmp_path / "empty", home, 1)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(UsageProblem, match="neither a file nor a folder"):
        hold(tmp_path / "pipe", home, 2)
