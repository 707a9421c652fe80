"""Ownership: one process at a time, dropped by the kernel, undisturbed by onlookers."""

import fcntl
import os
from pathlib import Path

import pytest

from roar_publisher.state.errors import ExitCode, LocalProblem, Owned
from roar_publisher.state.lock import Lock, owner
from tests.processes import line_of, running

WRITER = str(Path(__file__).with_name("writer.py"))


def test_a_second_process_is_refused_and_told_who_owns_it(tmp_path: Path) -> None:
    with running(WRITER, "lock", str(tmp_path)) as holder:
        assert line_of(holder) == "locked"
        with pytest.raises(Owned, match=f"pid {holder.pid}") as caught:
            Lock(tmp_path / "lock").acquire()
        assert caught.value.exit_code is ExitCode.OWNED
        assert owner(tmp_path / "lock") == holder.pid


def test_the_kernel_drops_the_lock_of_a_killed_process(tmp_path: Path) -> None:
    with running(WRITER, "lock", str(tmp_path)) as holder:
        assert line_of(holder) == "locked"
        holder.kill()
        holder.wait()
        assert owner(tmp_path / "lock") is None
        with Lock(tmp_path / "lock"):
            assert owner(tmp_path / "lock") == os.getpid()


def test_a_second_claim_in_the_same_process_is_refused(tmp_path: Path) -> None:
    with Lock(tmp_path / "lock"), pytest.raises(Owned):
        Lock(tmp_path / "lock").acquire()


def test_released_it_can_be_taken_again(tmp_path: Path) -> None:
    lock = Lock(tmp_path / "lock").acquire()
    lock.release()
    lock.release()
    with Lock(tmp_path / "lock"):
        pass


def test_onlookers_neither_own_nor_disturb(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    assert owner(path) is None
    assert not path.exists()
    with Lock(path):
        for _ in range(100):
            assert owner(path) == os.getpid()
        with pytest.raises(Owned):
            Lock(path).acquire()
    assert owner(path) is None


def test_an_onlooker_in_the_middle_of_its_glance_does_not_stop_an_owner(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "lock"
    path.touch()
    glance = os.open(path, os.O_RDONLY)
    fcntl.flock(glance, fcntl.LOCK_SH | fcntl.LOCK_NB)
    monkeypatch.setattr(
        "roar_publisher.state.lock.time.sleep", lambda seconds: os.close(glance)
    )  # the onlooker looks away
    with Lock(path):
        assert owner(path) == os.getpid()


def test_a_longer_pid_of_an_earlier_owner_leaves_no_digits_behind(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    path.write_text("4194304999")
    with Lock(path):
        assert owner(path) == os.getpid()


def test_a_lock_that_cannot_be_opened_is_a_local_problem(tmp_path: Path) -> None:
    with pytest.raises(LocalProblem, match="can't be opened") as caught:
        Lock(tmp_path / "missing" / "lock").acquire()
    assert caught.value.exit_code is ExitCode.INTERRUPTED, "the publish is whole"


def test_the_lock_file_is_private(tmp_path: Path) -> None:
    with Lock(tmp_path / "lock"):
        assert (tmp_path / "lock").stat().st_mode & 0o777 == 0o600
