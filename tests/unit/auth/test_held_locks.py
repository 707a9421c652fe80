"""A lock beside a file of the user's configuration that another process keeps, or that cannot be made."""

import errno
import os
from collections.abc import Callable
from itertools import count
from pathlib import Path

import pytest

from roar_publisher.auth.receipt_keys import KnownReceiptKeys
from roar_publisher.auth.send_policy import SendPolicy
from roar_publisher.auth.signin import Document
from roar_publisher.auth.trust import TrustStore
from roar_publisher.state.errors import Conclusion, LocalProblem
from roar_publisher.state.lock import WAIT_SECONDS, Lock
from tests.support.auth.signed_in import STATE

ORIGIN = "https://registry.example"
CHANGES: dict[str, Callable[[Path], object]] = {
    "registries.json": lambda path: TrustStore(path).accept(ORIGIN, 0.0),
    "receipt-keys": lambda path: KnownReceiptKeys(path).meet(ORIGIN, "ssh-ed25519 A", 0.0),
}


@pytest.fixture(autouse=True)
def _time_flies(monkeypatch: pytest.MonkeyPatch) -> None:
    now = count(0.0, WAIT_SECONDS / 10)
    monkeypatch.setattr("roar_publisher.state.lock.time.sleep", lambda seconds: None)
    monkeypatch.setattr("roar_publisher.state.lock.time.monotonic", lambda: next(now))


@pytest.mark.parametrize("name", CHANGES)
def test_a_lock_that_is_kept_is_not_another_process_on_this_publish(name: str, tmp_path: Path) -> None:
    with Lock(tmp_path / f"{name}.lock"), pytest.raises(LocalProblem) as problem:
        CHANGES[name](tmp_path / name)
    assert f"{name} cannot be written: another process has been changing it for 10 s" in problem.value.what
    assert (problem.value.conclusion, problem.value.kept) == (Conclusion.INTERRUPTED, "The file is as it was.")


@pytest.mark.parametrize("name", CHANGES)
def test_without_locks_the_file_is_named_and_no_state_folder(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(handle: int) -> bool:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr("roar_publisher.state.lock._claim", refuse)
    with pytest.raises(LocalProblem, match=r"cannot be written: .* cannot be locked: No locks available") as problem:
        CHANGES[name](tmp_path / name)
    assert "ROAR_STATE_DIR" not in problem.value.next_step


def test_an_issuer_that_cannot_be_noted_stops_no_publish(tmp_path: Path) -> None:
    trust = TrustStore(tmp_path / "registries.json")
    policy = SendPolicy(ORIGIN, named_by_user=True, configured=ORIGIN, default=ORIGIN, trust=trust)
    with Lock(tmp_path / "registries.json.lock"):
        policy.record_issuer(Document(STATE).sign_in())
    assert trust.read().issuer is None
