"""Nothing is written outside of the target folder, whatever names and links there are, nor over what is in it."""

import errno
import fcntl
import os
import stat
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from roar_publisher.fetching import folder
from roar_publisher.fetching.folder import TargetFolder
from roar_publisher.fetching.journal import FetchJournal
from roar_publisher.state.errors import LocalProblem, Owned, PublisherError
from tests.support.forked_child import forked_child
from tests.unit.fetching.conftest import LARGE, Fetching


def test_a_file_that_appears_meanwhile_stays(fetching: Fetching) -> None:
    def appear(number: int) -> None:
        (fetching.target / "x").write_bytes(b"mine")

    fetching.store.before = appear
    assert isinstance(fetching.problem(fetching.files(x=b"theirs")), LocalProblem)
    assert (fetching.target / "x").read_bytes() == b"mine"


@pytest.mark.parametrize("force", [False, True])
@pytest.mark.parametrize("content", [b"small", LARGE])
def test_links_do_not_lead_out(fetching: Fetching, content: bytes, force: bool) -> None:
    fetching.target.mkdir()
    (fetching.target / "out").symlink_to(fetching.bystander)
    assert isinstance(fetching.problem(fetching.named("out/x", content), force=force), LocalProblem)
    precious = fetching.root / "precious"
    precious.write_bytes(b"precious")
    (fetching.target / "link").symlink_to(precious)
    (fetching.target / "hard").hardlink_to(precious)
    fetching.problem(fetching.named("link", content), force=force)
    fetching.problem(fetching.named("hard", content), force=force)
    assert precious.read_bytes() == b"precious"
    assert (fetching.target / "link").is_symlink() is not force


@pytest.mark.parametrize("name", ["../x", "/x", "a/../../x", "a//x", "./x", "x\0y", ""])
def test_names_that_lead_out_are_refused_again_where_files_are_opened(fetching: Fetching, name: str) -> None:
    with pytest.raises(PublisherError):
        fetching.run(fetching.named(name))


def test_a_file_system_without_permissions_is_named(fetching: Fetching, monkeypatch: pytest.MonkeyPatch) -> None:
    """CIFS, drvfs, shared folders of virtual machines."""
    make = os.mkdir

    def make_for_all(path: str, mode: int = 0o777, *, dir_fd: int | None = None) -> None:
        make(path, mode, dir_fd=dir_fd)
        os.chmod(path, 0o777, dir_fd=dir_fd)

    monkeypatch.setattr(os, "mkdir", make_for_all)
    with pytest.raises(LocalProblem, match="does not store owners and permissions"):
        fetching.run(fetching.files(x=b"x"))
    assert not fetching.target.exists()


def test_a_folder_in_the_place_of_a_file_and_a_file_in_the_place_of_a_folder_stay(fetching: Fetching) -> None:
    (fetching.target / "x").mkdir(parents=True)
    (fetching.target / "y").write_bytes(b"mine")
    for name in ("x", "y/z"):
        for force in (False, True):
            assert isinstance(fetching.problem(fetching.named(name), force=force), LocalProblem)
    assert fetching.there() == {"y": b"mine"}


def test_a_planted_work_folder_is_not_used(fetching: Fetching) -> None:
    fetching.target.mkdir()
    fetching.work.symlink_to(fetching.bystander)
    with pytest.raises(LocalProblem):
        fetching.run(fetching.files(x=b"x"))
    fetching.work.unlink()
    fetching.work.mkdir()
    fetching.work.chmod(0o777)
    with pytest.raises(LocalProblem, match="other users can use"):
        fetching.run(fetching.files(x=b"x"))
    fetching.work.chmod(0o700)
    precious = fetching.root / "precious"
    precious.write_bytes(b"precious")
    files = fetching.files(x=LARGE)
    for plant in ((fetching.work / files[0].digest).symlink_to, (fetching.work / files[0].digest).hardlink_to):
        plant(precious)
        assert isinstance(fetching.problem(files), LocalProblem)
        assert precious.read_bytes() == b"precious"
        (fetching.work / files[0].digest).unlink()
    fetching.journal.unlink()
    (fetching.work / "id").unlink()
    (fetching.work / "id").symlink_to(precious)
    (fetching.work / "journal.db").symlink_to(precious)
    assert fetching.problem(files) is None
    assert precious.read_bytes() == b"precious"
    (fetching.work / "id").mkdir(parents=True)
    with pytest.raises(LocalProblem):
        fetching.run(files)
    assert precious.read_bytes() == b"precious"


@pytest.mark.parametrize("fails", [False, True])
def test_a_folder_of_another_file_system_gets_a_copy(
    fetching: Fetching, monkeypatch: pytest.MonkeyPatch, fails: bool
) -> None:
    """Such as a volume below the target, or a folder with a quota of its own."""
    replace, copied = os.replace, list[str]()

    def replace_here(source: str, name: str, *, src_dir_fd: int, dst_dir_fd: int) -> None:
        if os.fstat(src_dir_fd).st_ino == fetching.work.stat().st_ino:
            raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))
        copied.append(name)
        if fails:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        replace(source, name, src_dir_fd=src_dir_fd, dst_dir_fd=dst_dir_fd)

    monkeypatch.setattr(os, "replace", replace_here)
    problem = fetching.problem(fetching.named("volume/x"))
    assert (problem is None, copied) == (not fails, ["x"])
    assert [path.name for path in (fetching.target / "volume").iterdir()] == ([] if fails else ["x"])
    if not fails:
        assert fetching.there() == {"volume/x": LARGE}


def test_a_journal_with_nothing_to_continue_does_not_stay(fetching: Fetching) -> None:
    with TargetFolder.opened(fetching.target) as target:
        journal = FetchJournal(target.journal)
        assert target.journal.exists()
        for _ in range(2):
            journal.close()
    assert not fetching.target.exists()


def test_two_processes_do_not_fetch_into_one_folder(fetching: Fetching) -> None:
    with TargetFolder.opened(fetching.target), pytest.raises(Owned):
        fetching.run(fetching.files(x=b"x"))
    fetching.run(fetching.files(x=b"x"))


def test_nor_where_locks_of_folders_do_not_reach_other_machines(
    fetching: Fetching, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on NFS."""
    really_lock = fcntl.flock

    def lock(descriptor: int, operation: int) -> None:
        if not stat.S_ISDIR(os.fstat(descriptor).st_mode):
            really_lock(descriptor, operation)

    monkeypatch.setattr(fcntl, "flock", lock)
    test_two_processes_do_not_fetch_into_one_folder(fetching)


def test_a_file_system_that_ignores_case_is_recognised(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with TargetFolder.opened(tmp_path / "target") as target:
        assert not target.ignores_case()
        monkeypatch.setattr(folder, "WORK_FOLDER", ".ROAR-FETCH")
        (tmp_path / "target" / ".roar-fetch").rename(tmp_path / "target" / ".ROAR-FETCH")
        assert target.ignores_case()


def test_a_work_folder_that_ends_before_it_is_opened_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    really_open, ends = os.open, [".roar-fetch"]

    def open_late(name: Any, *arguments: Any, **options: Any) -> int:
        if name in ends:
            ends.remove(name)
            (tmp_path / name).rmdir()  # by the process before, at its end
        return really_open(name, *arguments, **options)

    monkeypatch.setattr(os, "open", open_late)
    with TargetFolder.opened(tmp_path) as target:
        FetchJournal(target.journal).close()
    assert (ends, list(tmp_path.iterdir())) == ([], [])


@pytest.mark.parametrize("folder_too", [False, True])
def test_a_work_folder_that_another_process_has_made_anew_is_that_process_s(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, folder_too: bool
) -> None:
    really_lock, work, others = fcntl.flock, tmp_path / ".roar-fetch", list[int]()

    def lock_late(descriptor: int, operation: int) -> None:
        if not others:  # the process before ends, and a third one begins
            (work / "lock").unlink()
            if folder_too:
                work.rmdir()
                work.mkdir(0o700)
            others.append(os.open(work / "lock", os.O_RDWR | os.O_CREAT))
            really_lock(others[0], fcntl.LOCK_EX)
        really_lock(descriptor, operation)

    monkeypatch.setattr(fcntl, "flock", lock_late)
    try:
        with pytest.raises(Owned), TargetFolder.opened(tmp_path):
            pass
    finally:
        os.close(others[0])


def test_a_work_folder_that_ends_before_it_is_locked_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    really_open, ends = os.open, ["lock"]

    def open_late(name: Any, *arguments: Any, **options: Any) -> int:
        if name in ends:
            ends.remove(name)
            (tmp_path / ".roar-fetch").rmdir()  # by the process before, at its end
        return really_open(name, *arguments, **options)

    monkeypatch.setattr(os, "open", open_late)
    with TargetFolder.opened(tmp_path) as target:
        FetchJournal(target.journal).close()
    assert (ends, list(tmp_path.iterdir())) == ([], [])


def test_a_forked_child_does_not_keep_the_folder(tmp_path: Path) -> None:
    with ExitStack() as children:
        with TargetFolder.opened(tmp_path) as target:
            target.open_partial("0" * 64)
            children.enter_context(forked_child())
        with TargetFolder.opened(tmp_path):
            pass
