"""Where publishes live: private folders, a key that processes agree on, a token that is stored and removed."""

import errno
import os
import pwd
import stat
from contextlib import ExitStack, nullcontext
from pathlib import Path

import pytest

from roar_publisher.state.errors import LocalProblem, UsageProblem
from roar_publisher.state.paths import KEY_BYTES, StateFolder
from roar_publisher.state.private import write_private
from roar_publisher.state.rebuildable import open_rebuildable
from tests.support.checkout import TESTS
from tests.support.processes import line_of, running
from tests.support.state.folders import new_publish
from tests.support.state.syncing import refuse_to_sync_folders

WRITER = str(TESTS / "support" / "state" / "writer.py")


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


@pytest.fixture(autouse=True)
def _open_umask() -> object:
    """Privacy must not depend on the person's umask."""
    before = os.umask(0)
    yield
    os.umask(before)


@pytest.mark.parametrize(
    ("environ", "root"),
    [
        ({"ROAR_STATE_DIR": "/here", "XDG_STATE_HOME": "/there"}, "/here"),
        ({"XDG_STATE_HOME": "/there"}, "/there/roar"),
        ({"ROAR_STATE_DIR": "", "XDG_STATE_HOME": ""}, f"{Path.home()}/.local/state/roar"),
        ({}, f"{Path.home()}/.local/state/roar"),
    ],
)
def test_the_environment_says_where(environ: dict[str, str], root: str) -> None:
    assert StateFolder.from_environment(environ).root == Path(root)


def test_a_home_folder_of_a_user_that_does_not_exist_is_a_usage_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageProblem, match="ROAR_STATE_DIR=~nosuchuser/x"):
        StateFolder.from_environment({"ROAR_STATE_DIR": "~nosuchuser/x"})
    monkeypatch.delenv("HOME")
    monkeypatch.setattr(pwd, "getpwuid", {}.__getitem__)  # as in a container, for a user that it does not know
    with pytest.raises(UsageProblem, match="this user has no home folder"):
        StateFolder.from_environment({})


def test_folders_are_private_and_publishes_differ(folder: StateFolder) -> None:
    first, second = new_publish(folder), new_publish(folder)
    assert first != second
    assert {mode(path) for path in (folder.root, folder.publishes, first.folder, second.folder)} == {0o700}
    assert set(folder.all_publishes()) == {first, second}


def test_looking_creates_nothing(folder: StateFolder) -> None:
    assert list(folder.all_publishes()) == []
    assert not folder.root.exists()


def test_what_is_no_publish_is_not_listed(folder: StateFolder) -> None:
    kept = new_publish(folder)
    (folder.publishes / "notes").mkdir()
    (folder.publishes / "deadbeef").touch()
    assert list(folder.all_publishes()) == [kept]


def test_a_publish_is_found_by_the_start_of_its_id(folder: StateFolder) -> None:
    paths = new_publish(folder)
    assert folder.find(paths.id[:4]) == paths
    assert folder.find(paths.id) == paths


@pytest.mark.parametrize("prefix", ["", "nothing", "../.."])
def test_an_unknown_id_is_a_usage_problem(folder: StateFolder, prefix: str) -> None:
    new_publish(folder)
    with pytest.raises(UsageProblem):
        folder.find(prefix)


def test_an_ambiguous_id_is_a_usage_problem(folder: StateFolder) -> None:
    for name in ("aaaa0000", "aaaa1111"):
        new_publish(folder).folder.rename(folder.publishes / name)
    with pytest.raises(UsageProblem, match="2 publishes"):
        folder.find("aaaa")


def test_the_token_is_private_atomic_and_forgotten(folder: StateFolder) -> None:
    paths = new_publish(folder)
    assert paths.read_session_token() is None
    paths.write_session_token("first")
    paths.write_session_token("second")
    assert paths.read_session_token() == "second"
    assert mode(paths.session_token) == 0o600
    assert [path.name for path in paths.folder.iterdir()] == ["session-token"]
    paths.forget_session_token()
    paths.forget_session_token()
    assert paths.read_session_token() is None


def test_a_private_file_is_on_the_disk_before_it_replaces_the_old_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    happened: list[str] = []
    fsync, replace = os.fsync, os.replace

    def noted_fsync(descriptor: int) -> None:
        fsync(descriptor)
        happened.append(f"fsync of {os.fstat(descriptor).st_size} bytes")

    def noted_replace(new: Path, old: Path) -> None:
        replace(new, old)
        happened.append("replace")

    monkeypatch.setattr("os.fsync", noted_fsync)
    monkeypatch.setattr("os.replace", noted_replace)
    write_private(tmp_path / "file", b"content")
    assert happened == ["fsync of 7 bytes", "replace"]


@pytest.mark.parametrize(("code", "kept"), [(errno.EINVAL, True), (errno.ENOTSUP, True), (errno.EIO, False)])
def test_a_file_is_replaced_where_folders_cannot_be_synced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, kept: bool
) -> None:
    """CIFS and others answer EINVAL. A disk that fails is reported."""
    refuse_to_sync_folders(monkeypatch, code)
    with nullcontext() if kept else pytest.raises(OSError, match="Input/output"):
        write_private(tmp_path / "file", b"content", durable=True)
    assert (tmp_path / "file").read_bytes() == b"content"


def test_what_a_killed_writer_left_goes_with_the_token(folder: StateFolder) -> None:
    paths = new_publish(folder)
    paths.folder.joinpath("session-token.new").write_text("half a tok")
    assert paths.read_session_token() is None
    paths.write_session_token("token")
    assert [path.name for path in paths.folder.iterdir()] == ["session-token"]
    paths.folder.joinpath("session-token.new").write_text("half a tok")
    paths.forget_session_token()
    assert list(paths.folder.iterdir()) == []


def test_a_token_that_cannot_be_written_is_a_local_problem(folder: StateFolder) -> None:
    paths = new_publish(folder)
    paths.session_token.mkdir()
    with pytest.raises(LocalProblem, match="cannot be used"):
        paths.write_session_token("token")
    assert [path.name for path in paths.folder.iterdir()] == ["session-token"]


@pytest.mark.parametrize("work", ["read_session_token", "forget_session_token"])
def test_a_token_that_cannot_be_handled_is_a_local_problem(folder: StateFolder, work: str) -> None:
    paths = new_publish(folder)
    paths.session_token.mkdir()
    with pytest.raises(LocalProblem, match="cannot be used"):
        getattr(paths, work)()


def test_the_key_is_private_and_permanent(folder: StateFolder) -> None:
    key = folder.user_key()
    assert len(key) == KEY_BYTES
    assert folder.user_key() == key
    assert mode(folder.root / "key") == 0o600


def test_processes_that_make_the_key_at_once_agree(tmp_path: Path) -> None:
    with ExitStack() as stack:
        makers = [stack.enter_context(running(WRITER, "key", str(tmp_path / "state"))) for _ in range(8)]
        assert [line_of(maker) for maker in makers] == ["ready"] * 8
        for maker in makers:
            assert maker.stdin is not None
            maker.stdin.close()
        keys = {line_of(maker) for maker in makers}
    assert keys == {StateFolder(tmp_path / "state").user_key().hex()}


def test_a_damaged_key_is_said(folder: StateFolder) -> None:
    folder.user_key()
    (folder.root / "key").write_bytes(b"short")
    with pytest.raises(LocalProblem, match="damaged"):
        folder.user_key()


def test_a_state_folder_that_cannot_be_made_is_a_local_problem(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    folder = StateFolder(tmp_path / "file" / "state")
    with pytest.raises(LocalProblem, match="cannot be used"):
        new_publish(folder)


@pytest.mark.parametrize("relative", ["state", "./state", "../state"])
def test_a_relative_xdg_state_home_is_ignored(relative: str) -> None:
    """As the XDG Base Directory Specification says."""
    assert StateFolder.from_environment({"XDG_STATE_HOME": relative}) == StateFolder.from_environment({})


def test_folders_above_the_state_folder_are_made_for_this_user_alone(tmp_path: Path) -> None:
    """And so it can be used: a folder that all may write into would let others replace it."""
    folder = StateFolder(tmp_path / ".local" / "state" / "roar")
    folder.make()
    folder.make()
    made = (folder.root, *list(folder.root.parents)[:2])
    assert [stat.S_IMODE(each.stat().st_mode) for each in made] == [0o700] * 3


def test_what_saves_work_in_the_state_folder_is_private(tmp_path: Path) -> None:
    path = tmp_path / "verify.db"
    for before in (None, b"", b"no database"):
        if before is not None:
            path.write_bytes(before)
            path.chmod(0o666)
        open_rebuildable(path, "CREATE TABLE IF NOT EXISTS t (x)").close()
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
