"""The pinned keys of registries: added once, read by anyone's program, and not believed if others can write them."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from roar_publisher.auth.receipt_keys import KnownKey, KnownReceiptKeys
from roar_publisher.state.errors import LocalProblem
from roar_publisher.state.lock import exclusively
from roar_publisher.state.private import write_private

ORIGIN, OTHER = "https://registry.example", "https://other.example"
KEY, NEWER = "ssh-ed25519 AAAAfirst", "ssh-ed25519 AAAAsecond"


@pytest.fixture
def known(tmp_path: Path) -> KnownReceiptKeys:
    return KnownReceiptKeys.from_environment({"XDG_CONFIG_HOME": str(tmp_path / "config")}, tmp_path)


def test_keys_are_added_once_and_belong_to_their_registry(known: KnownReceiptKeys, tmp_path: Path) -> None:
    assert known.all() == []
    assert [known.add(ORIGIN, KEY, 0.0), known.add(ORIGIN, KEY, 9.0), known.add(ORIGIN, NEWER, 9.0)] == [
        True,
        False,
        True,
    ]
    assert known.add(OTHER, KEY, 9.0)
    assert known.of(ORIGIN) == {KEY, NEWER}
    assert known.all() == [KnownKey(ORIGIN, KEY), KnownKey(ORIGIN, NEWER), KnownKey(OTHER, KEY)]
    path = tmp_path / "config" / "roar" / "receipt-keys"
    assert path.read_text().splitlines()[0] == f"{ORIGIN} {KEY} 1970-01-01T00:00:00Z"
    assert path.stat().st_mode & 0o777 == 0o600


def test_lines_that_are_no_keys_are_ignored_and_kept(known: KnownReceiptKeys) -> None:
    known.add(ORIGIN, KEY, 0.0)
    text = f"\n# mine\n{known.path.read_text()}https://cut ssh-ed25519"
    known.path.write_text(text)
    known.add(ORIGIN, NEWER, 0.0)
    assert known.of(ORIGIN) == {KEY, NEWER}
    assert known.path.read_text().startswith(f"{text}\n")


def test_a_file_that_others_can_change_is_not_believed(known: KnownReceiptKeys) -> None:
    known.add(ORIGIN, KEY, 0.0)
    known.path.chmod(0o666)
    with pytest.raises(LocalProblem, match="another user can change it"):
        known.all()
    with pytest.raises(LocalProblem):
        known.add(ORIGIN, NEWER, 0.0)
    known.path.unlink()
    known.path.mkdir()
    with pytest.raises(LocalProblem, match="not a regular file"):
        known.of(ORIGIN)


def test_programs_that_add_at_once_lose_nothing(known: KnownReceiptKeys) -> None:
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda number: known.add(ORIGIN, f"ssh-ed25519 A{number}", 0.0), range(40)))
    assert known.of(ORIGIN) == {f"ssh-ed25519 A{number}" for number in range(40)}


def test_of_programs_that_meet_a_registry_at_once_one_pins_its_key(
    known: KnownReceiptKeys, monkeypatch: pytest.MonkeyPatch
) -> None:
    @contextmanager
    def after_another(path: Path) -> Iterator[None]:
        """Get the lock after another program has met the registry."""
        with exclusively(path):
            another = f"{ORIGIN} {KEY} 1970-01-01T00:00:00Z\n"
            write_private(known.path, another.encode())
            yield

    monkeypatch.setattr("roar_publisher.auth.private_file.exclusively", after_another)
    assert not known.meet(ORIGIN, NEWER, 0.0)
    assert known.of(ORIGIN) == {KEY}
    known.path.unlink()
    assert known.meet(ORIGIN, KEY, 0.0)
    known.path.unlink()
    assert not known.add(ORIGIN, KEY, 0.0)
    assert known.all() == [KnownKey(ORIGIN, KEY)]


def test_a_linked_file_stays_a_link(known: KnownReceiptKeys, tmp_path: Path) -> None:
    """As of users who keep their configuration in a repository."""
    known.add(ORIGIN, KEY, 0.0)
    real = known.path.rename(tmp_path / "kept")
    known.path.symlink_to(real)
    known.add(ORIGIN, NEWER, 0.0)
    assert known.path.is_symlink()
    assert NEWER in real.read_text()
