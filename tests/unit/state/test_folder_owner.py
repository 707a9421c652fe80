"""A state folder that another user may write to, and files in it that another user prepared."""

import os
import socket
from collections.abc import Callable
from contextlib import nullcontext, suppress
from pathlib import Path

import pytest

from roar_publisher.auth.bearer_store import BearerStore
from roar_publisher.auth.key_files import read_key_files
from roar_publisher.auth.login import read_token_file
from roar_publisher.auth.private_file import replacing
from roar_publisher.auth.secret import Secret
from roar_publisher.daemon.log import last_lines, open_log
from roar_publisher.state.errors import LocalProblem, NeedsUser
from roar_publisher.state.folder_owner import check_state_folder
from roar_publisher.state.journal import Journal
from roar_publisher.state.lock import Lock, exclusively, owner
from roar_publisher.state.machine import Event
from roar_publisher.state.paths import StateFolder
from roar_publisher.state.portable import pack, unpacked
from roar_publisher.state.private import read_private, write_private
from roar_publisher.state.safe_open import read_bounded
from tests.support.lineages import chain, cut, frozen

VICTIM = b"ssh-ed25519 AAAA user\n"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "state" / "roar"
    (root / "publishes").mkdir(mode=0o700, parents=True)
    root.chmod(0o700)
    return root


@pytest.fixture
def victim(tmp_path: Path) -> Path:
    """A file of this user's outside of the state folder."""
    victim = tmp_path / "authorized_keys"
    victim.write_bytes(VICTIM)
    return victim


@pytest.mark.parametrize("mode", [0o770, 0o707, 0o720, 0o1777], ids=oct)
@pytest.mark.parametrize("name", [".", "publishes"])
def test_a_folder_that_others_may_write_is_refused_with_the_remedy(root: Path, name: str, mode: int) -> None:
    (root / name).chmod(mode)
    with pytest.raises(LocalProblem, match="other users can write to") as caught:
        StateFolder.from_environment({"ROAR_STATE_DIR": str(root)})
    assert caught.value.reason == "state directory"
    assert caught.value.next_step.startswith("chmod go-w ")
    assert "ROAR_STATE_DIR" in caught.value.next_step
    (root / name).chmod(0o755)
    assert StateFolder.from_environment({"ROAR_STATE_DIR": str(root)}).root == root


@pytest.mark.parametrize("name", [".", "publishes"])
def test_a_folder_that_another_user_makes_after_the_check_is_not_used(tmp_path: Path, name: str) -> None:
    """In a place where all users may make folders, such as /tmp."""
    folder = StateFolder.from_environment({"ROAR_STATE_DIR": str(tmp_path / "state")})
    (folder.publishes).mkdir(parents=True)
    (folder.root / name).chmod(0o777)
    for use in (folder.new_planning, folder.user_key):
        with pytest.raises(LocalProblem, match="other users can write to"):
            use()
    assert list(folder.publishes.iterdir()) == []


def test_every_file_of_a_publish_is_this_users_alone(tmp_path: Path) -> None:
    """Independently of the umask and of who may read the folder."""
    folder = StateFolder(tmp_path / "state")
    before = os.umask(0)
    try:
        with frozen(folder, cut(chain(1))) as owned:
            owned.journal.checkpoint(Event.PROBED)
            owned.paths.write_session_token("token")
            pack(owned.paths, owned.journal, None, tmp_path / "bundle")
        with unpacked(tmp_path / "bundle", StateFolder(tmp_path / "there")):
            pass
    finally:
        os.umask(before)
    files = [path for name in ("state", "there") for path in (tmp_path / name).rglob("*") if path.is_file()]
    assert {path.name for path in files} >= {"journal.db", "journal.db-journal", "session-token", "lock"}
    assert [path for path in files if path.stat().st_mode & 0o077] == []


@pytest.mark.parametrize(
    ("owner_id", "user", "remedy"),
    [(1000, 0, "without sudo"), (0, 1000, "sudo chown -R 1000"), (1000, 54321, "set ROAR_STATE_DIR")],
    ids=["sudo", "after sudo", "another user"],
)
def test_a_folder_of_another_owner_is_refused(
    root: Path, monkeypatch: pytest.MonkeyPatch, owner_id: int, user: int, remedy: str
) -> None:
    real = Path.stat

    def owned(path: Path, *, follow_symlinks: bool = True) -> os.stat_result:
        found = list(real(path, follow_symlinks=follow_symlinks))
        found[4] = owner_id
        return os.stat_result(found)

    monkeypatch.setattr(Path, "stat", owned)
    with pytest.raises(LocalProblem, match=f"uid {owner_id}.*uid {user}") as caught:
        check_state_folder(root, user=user)
    assert remedy in caught.value.next_step
    check_state_folder(root, user=owner_id)


@pytest.mark.parametrize("linked", [False, True], ids=["on the path", "behind a link"])
def test_a_folder_above_that_all_users_may_write_needs_the_sticky_bit(tmp_path: Path, root: Path, linked: bool) -> None:
    if linked:
        (tmp_path / "home").mkdir()
        (tmp_path / "home" / "roar").symlink_to(root)
    reached = tmp_path / "home" / "roar" if linked else root
    root.parent.chmod(0o777)
    with pytest.raises(LocalProblem, match="any user can replace") as caught:
        check_state_folder(reached)
    assert caught.value.next_step.startswith("chmod +t ")
    root.parent.chmod(0o1777)
    check_state_folder(reached)


def test_a_folder_that_is_yet_to_be_made_is_judged_by_what_is_above(tmp_path: Path) -> None:
    check_state_folder(tmp_path / "a" / "b" / "c")
    tmp_path.chmod(0o777)
    with pytest.raises(LocalProblem, match="no sticky bit"):
        check_state_folder(tmp_path / "a" / "b" / "c")


def claim(path: Path) -> None:
    with Lock(path):
        pass


def claim_for_a_moment(path: Path) -> None:
    with exclusively(path):
        pass


def log(path: Path) -> None:
    logger = open_log(path)
    logger.info("something")
    for handler in tuple(logger.handlers):
        handler.close()


def replace(path: Path) -> None:
    """As a refreshed sign-in is kept; what is linked is its draft."""
    with replacing(path.with_suffix(""), 10) as give:
        give(Secret("{}"))


WRITERS: dict[str, tuple[str, Callable[[Path], object]]] = {
    "a lock": ("daemon.lock", claim),
    "the plan's lock": ("plan.lock", claim_for_a_moment),
    "the log": ("daemon.log", log),
    "a journal": ("journal.db", Journal),
    "the draft of a sign-in": ("auth.json.new", replace),
}


@pytest.mark.parametrize("kind", ["link", "hard link", "dangling link", "FIFO", "folder", "socket"])
@pytest.mark.parametrize(("name", "write"), WRITERS.values(), ids=list(WRITERS))
def test_nothing_is_written_through_a_planted_file(
    root: Path, victim: Path, name: str, write: Callable[[Path], object], kind: str
) -> None:
    if (name, kind) == ("journal.db", "hard link"):
        return  # SQLite warns of it; backups make such links
    put_in_place(root / name, victim, kind)
    with nullcontext() if name == "daemon.log" else pytest.raises(LocalProblem):  # a log raises no error
        write(root / name)
    assert victim.read_bytes() == VICTIM
    assert not (root.parent / "made").exists()
    assert owner(root / name) is None


def put_in_place(path: Path, victim: Path, kind: str) -> None:
    match kind:
        case "link":
            path.symlink_to(victim)
        case "hard link":
            path.hardlink_to(victim)
        case "dangling link":
            path.symlink_to(path.parent.parent / "made")
        case "FIFO":
            os.mkfifo(path)
        case "folder":
            path.mkdir()
        case "socket":
            before = Path.cwd()
            os.chdir(path.parent)
            try:
                with socket.socket(socket.AF_UNIX) as listener:
                    listener.bind(path.name)
            finally:
                os.chdir(before)


def test_a_draft_that_is_a_link_is_replaced_and_not_followed(root: Path, victim: Path) -> None:
    (root / "key.new").symlink_to(victim)
    write_private(root / "key", b"k" * 32)
    assert (victim.read_bytes(), read_private(root / "key")) == (VICTIM, b"k" * 32)
    assert not (root / "key").is_symlink()


@pytest.mark.parametrize("kind", ["link", "FIFO", "socket"])
def test_a_private_file_is_read_from_its_own_place_alone(root: Path, victim: Path, kind: str) -> None:
    put_in_place(root / "key", victim, kind)
    with pytest.raises(LocalProblem, match="state folder") as caught:
        StateFolder(root).user_key()
    assert caught.value.next_step.startswith(("remove the link", "move that away", "fix its permissions"))


@pytest.mark.parametrize("kind", ["link", "FIFO"])
def test_a_log_is_read_from_its_own_place_alone(root: Path, victim: Path, kind: str) -> None:
    put_in_place(root / "daemon.log", victim, kind)
    with pytest.raises(OSError, match=r"links|exists"):
        last_lines(root / "daemon.log", 5)


# ---------------------------------------------------------------- configuration


def sign_in(path: Path) -> object:
    return BearerStore(path).current()


READERS: dict[str, Callable[[Path], object]] = {
    "auth.json": sign_in,
    "a key": read_key_files,
    "a token file": read_token_file,
}


@pytest.mark.parametrize("target", ["FIFO", "/dev/zero", "a gigabyte", "deep nesting", "a folder"])
@pytest.mark.parametrize("read", READERS.values(), ids=list(READERS))
def test_reading_a_credential_ends(tmp_path: Path, read: Callable[[Path], object], target: str) -> None:
    path = tmp_path / "credential"
    match target:
        case "FIFO":
            os.mkfifo(path)
        case "/dev/zero":
            path.symlink_to("/dev/zero")
        case "a gigabyte":
            with path.open("wb") as file:
                file.truncate(2**30)
        case "deep nesting":
            path.write_text("[" * 100_000)
        case _:
            path.mkdir()
    with suppress(LocalProblem, NeedsUser):  # what is not a regular file is no key, and no error
        read(path)


def test_a_sign_in_that_others_may_read_becomes_private(tmp_path: Path) -> None:
    path = tmp_path / "auth.json"
    path.write_text('{"access_token": "a-token"}')
    path.chmod(0o644)
    assert BearerStore(path).current() is not None
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_configuration_file_may_be_a_link(tmp_path: Path) -> None:
    (tmp_path / "kept.toml").write_text("x")
    (tmp_path / "config.toml").symlink_to("kept.toml")
    assert read_bounded(tmp_path / "config.toml", 10) == b"x"
