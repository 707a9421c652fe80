"""Ownership: one process at a time, dropped by the kernel, undisturbed by readers."""

import errno
import fcntl
import os
from contextlib import ExitStack
from itertools import count
from pathlib import Path

import pytest

from roar_publisher.cli.daemon.views import show_status
from roar_publisher.state.errors import Conclusion, LocalProblem, Owned
from roar_publisher.state.lock import WAIT_SECONDS, Lock, is_held, owner, try_lock
from roar_publisher.state.paths import StateFolder
from tests.support.checkout import TESTS
from tests.support.forked_child import forked_child
from tests.support.processes import line_of, running

WRITER = str(TESTS / "support" / "state" / "writer.py")


def test_a_second_process_is_refused_and_told_who_owns_it(tmp_path: Path) -> None:
    with running(WRITER, "lock", str(tmp_path)) as holder:
        assert line_of(holder) == "locked"
        with pytest.raises(Owned, match=f"pid {holder.pid}") as caught:
            Lock(tmp_path / "lock").acquire()
        assert caught.value.conclusion is Conclusion.OWNED
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


def test_readers_neither_own_nor_disturb(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    assert owner(path) is None
    assert not path.exists()
    with Lock(path):
        for _ in range(100):
            assert owner(path) == os.getpid()
        with pytest.raises(Owned):
            Lock(path).acquire()
    assert owner(path) is None


@pytest.mark.parametrize("locks", ["flock", "locks of open file descriptions"])
def test_a_reader_in_the_middle_of_a_check_does_not_stop_an_owner(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, locks: str
) -> None:
    """However long it waits for a processor before it ends its check."""
    path = tmp_path / "lock"
    path.touch()
    if locks != "flock":
        without_flock(monkeypatch, errno.ENOSYS)
    check = os.open(path, os.O_RDONLY)
    assert try_lock(check, fcntl.LOCK_SH)
    waits: list[float] = []

    def wait(seconds: float) -> None:
        waits.append(seconds)
        if len(waits) == 100:
            os.close(check)

    monkeypatch.setattr("roar_publisher.state.lock.time.sleep", wait)
    with Lock(path):
        assert owner(path) == os.getpid()
        with pytest.raises(Owned):
            Lock(path).acquire()
    assert len(waits) == 100, "an owner is not waited for"


def test_a_reader_that_stays_is_not_waited_for_for_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As one that was stopped."""
    path = tmp_path / "lock"
    path.touch()
    check, now = os.open(path, os.O_RDONLY), count(0.0, WAIT_SECONDS / 10)
    fcntl.flock(check, fcntl.LOCK_SH)
    monkeypatch.setattr("roar_publisher.state.lock.time.sleep", lambda seconds: None)
    monkeypatch.setattr("roar_publisher.state.lock.time.monotonic", lambda: next(now))
    with pytest.raises(Owned):
        Lock(path).acquire()
    os.close(check)


def forking_once(children: ExitStack, patched: pytest.MonkeyPatch) -> None:
    """Let a child be forked once a lock has been taken. It lives until `children` is closed."""
    flock, forked = fcntl.flock, list[int]()

    def flock_and_fork(handle: int, kind: int) -> None:
        flock(handle, kind)
        if not forked:
            forked.append(handle)
            children.enter_context(forked_child())

    patched.setattr("roar_publisher.state.lock.fcntl.flock", flock_and_fork)


def test_a_child_that_is_forked_during_a_check_does_not_keep_the_lock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As another thread may fork the workers of a training."""
    path = tmp_path / "lock"
    path.touch()
    with ExitStack() as children:
        with monkeypatch.context() as during:
            forking_once(children, during)
            assert owner(path) is None
        with open(path) as another:
            assert try_lock(another.fileno())


def test_a_child_that_is_forked_while_the_lock_is_taken_does_not_keep_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "lock"
    with ExitStack() as children:
        with monkeypatch.context() as during:
            forking_once(children, during)
            lock = Lock(path).acquire()
        lock.release()
        with Lock(path):
            pass


def test_a_child_does_not_drop_the_lock_of_its_parent(tmp_path: Path) -> None:
    lock = Lock(tmp_path / "lock").acquire()
    with forked_child(lock.release):
        assert is_held(tmp_path / "lock")
    lock.release()


def test_a_longer_pid_of_an_earlier_owner_leaves_no_digits_behind(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    path.write_text("4194304999")
    with Lock(path):
        assert owner(path) == os.getpid()


def test_a_lock_that_cannot_be_opened_is_a_local_problem(tmp_path: Path) -> None:
    with pytest.raises(LocalProblem, match="cannot be opened") as caught:
        Lock(tmp_path / "missing" / "lock").acquire()
    assert caught.value.conclusion is Conclusion.INTERRUPTED, "the publish is whole"


def test_the_lock_file_is_private(tmp_path: Path) -> None:
    with Lock(tmp_path / "lock"):
        assert (tmp_path / "lock").stat().st_mode & 0o777 == 0o600


def without_flock(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    """Let this error say that the file system has no `flock`."""

    def refuse(handle: int, kind: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr("roar_publisher.state.lock.fcntl.flock", refuse)


@pytest.fixture(params=[errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOLCK])
def no_flock(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file system without `flock`."""
    without_flock(monkeypatch, request.param)


@pytest.mark.usefixtures("no_flock")
def test_without_flock_another_lock_owns_a_publish_as_well(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with Lock(path):
        assert owner(path) == os.getpid(), "and looking did not drop it"
        assert owner(path) == os.getpid()
        with pytest.raises(Owned, match=f"pid {os.getpid()}"):
            Lock(path).acquire()
    assert owner(path) is None
    with Lock(path):
        pass


@pytest.mark.usefixtures("no_flock")
def test_without_any_locks_nothing_is_begun_and_what_is_safe_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(handle: int, command: int, argument: bytes) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr("roar_publisher.state.lock.fcntl.fcntl", refuse)
    path = tmp_path / "lock"
    path.write_text(str(os.getpid()))
    with pytest.raises(LocalProblem, match="two processes could then work on the same publish") as caught:
        Lock(path).acquire()
    assert "a folder on a local disk" in caught.value.next_step
    assert owner(path) is None


def test_a_lock_goes_with_a_folder_that_is_renamed(tmp_path: Path) -> None:
    (tmp_path / "before").mkdir()
    lock = Lock(tmp_path / "before" / "lock").acquire()
    (tmp_path / "before").rename(tmp_path / "after")
    lock.moved(tmp_path / "after" / "lock")
    assert lock.in_place
    assert owner(tmp_path / "after" / "lock") == os.getpid()
    lock.release()


@pytest.mark.parametrize(
    ("number", "reason"), [(errno.ENOSPC, "disk full"), (errno.EDQUOT, "disk full"), (errno.EMFILE, "too many files")]
)
def test_why_a_lock_can_not_be_opened_has_its_own_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, reason: str
) -> None:
    def refuse(*_: object) -> int:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr("roar_publisher.state.lock.os.open", refuse)
    with pytest.raises(LocalProblem) as caught:
        Lock(tmp_path / "lock").acquire()
    assert (caught.value.reason, caught.value.conclusion) == (reason, Conclusion.INTERRUPTED)


def test_an_owner_on_another_machine_is_named_with_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Several machines may share a folder over NFS."""
    path = tmp_path / "lock"
    with monkeypatch.context() as there:
        there.setattr("roar_publisher.state.lock._host", lambda: "node-7")
        lock = Lock(path).acquire()
    with pytest.raises(Owned, match=rf"\(pid {os.getpid()} on node-7\)"):
        Lock(path).acquire()
    assert owner(path) == os.getpid()
    lock.release()


def test_a_daemon_on_another_machine_is_named_with_it(
    folder: StateFolder, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder.make()
    with monkeypatch.context() as there:
        there.setattr("roar_publisher.state.lock._host", lambda: "login-1")
        lock = Lock(folder.daemon_lock).acquire()
    assert show_status(folder, as_json=False)
    assert f"The daemon is running (pid {os.getpid()} on login-1).\n" in capsys.readouterr().out
    lock.release()


def test_a_lock_whose_text_cannot_be_read_is_held_by_an_unknown_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A scan of a daemon survives a network file system that is away for a moment."""

    def away(*_: object) -> bytes:
        raise OSError(errno.ESTALE, os.strerror(errno.ESTALE))

    with Lock(tmp_path / "lock"):
        monkeypatch.setattr(os, "pread", away)
        assert owner(tmp_path / "lock") is None
        assert is_held(tmp_path / "lock")
    assert not is_held(tmp_path / "lock")


def test_a_lock_is_in_place_until_its_file_is_known_to_be_gone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A daemon whose folder is on a network file system that is away for a moment does not exit for good."""

    def away(*_: object, **__: object) -> os.stat_result:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    folder = tmp_path / "folder"
    folder.mkdir()
    found = []
    with Lock(folder / "lock") as lock:
        found.append(lock.in_place)
        with monkeypatch.context() as network:
            network.setattr(Path, "stat", away)
            found.append(lock.in_place)
        folder.rename(tmp_path / "elsewhere")
        found.append(lock.in_place)
        folder.touch()
        found.append(lock.in_place)
    found.append(lock.in_place)
    assert found == [True, True, False, False, False]
