"""What the thread beside the training does: it wakes the daemon, or starts one, and says once what prevents it."""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from roar_publisher.checkpoints import background
from roar_publisher.checkpoints.background import Background
from roar_publisher.checkpoints.opening import Settings
from roar_publisher.checkpoints.record import Record
from roar_publisher.checkpoints.series import Series
from roar_publisher.daemon.background import TRACED
from roar_publisher.state.errors import LocalProblem
from roar_publisher.state.paths import StateFolder
from roar_publisher.state.record import NamedBy

NEXT = "free some room"


@pytest.fixture
def record(tmp_path: Path) -> Record:
    """A checkpoint without files."""
    settings = Settings(
        root=tmp_path,
        roar_dir=tmp_path / ".roar",
        destination=str(tmp_path / "store"),
        commit="",
        visibility="public",
        registry="https://registry.example",
        named_by=NamedBy.OPTION,
        message="checkpoint",
        keep=0,
        yes=False,
    )
    return settings.record(1, {}, (), tmp_path / "snapshot", pinned=False)


@contextmanager
def thread(tmp_path: Path, *, start_daemon: bool) -> Iterator[Background]:
    made = Background(StateFolder(tmp_path / "state"), Series(tmp_path / "series"), start_daemon=start_daemon)
    try:
        yield made
    finally:
        made.finish()


def counted(calls: list[str], name: str, answer: bool | Exception) -> Callable[[StateFolder], bool]:
    def function(_: StateFolder) -> bool:
        calls.append(name)
        if isinstance(answer, Exception):
            raise answer
        return answer

    return function


@pytest.mark.parametrize(
    ("runs", "start_daemon", "traced", "called"),
    [
        (True, True, "", ["wake"]),
        (False, True, "", ["wake", "start"]),
        (False, False, "", ["wake"]),
        (False, True, "1", ["wake"]),
    ],
)
@pytest.mark.parametrize("task", ["wake", "clone"])
def test_a_daemon_that_runs_is_woken_and_otherwise_one_is_started(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    record: Record,
    task: str,
    runs: bool,
    start_daemon: bool,
    traced: str,
    called: list[str],
) -> None:
    calls: list[str] = []
    monkeypatch.setenv(TRACED, traced)
    monkeypatch.setattr(background, "wake", counted(calls, "wake", runs))
    monkeypatch.setattr(background, "start", counted(calls, "start", True))
    with thread(tmp_path, start_daemon=start_daemon) as made:
        if task == "wake":
            made.wake()
        else:
            made.submitted(record, copy=False)
    assert calls == called


@pytest.mark.parametrize(("setting", "called"), [("false", ["wake"]), ("true", ["wake", "start"])])
def test_no_daemon_is_started_where_the_user_starts_it_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, setting: str, called: list[str]
) -> None:
    """As on the nodes of a cluster (docs/clusters.md), whose daemon would end with its job."""
    calls: list[str] = []
    monkeypatch.delenv(TRACED, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    config = tmp_path / ".config" / "roar" / "config.toml"
    config.parent.mkdir(parents=True)
    config.write_text(f"[publisher]\nstart_daemon = {setting}\n")
    monkeypatch.setattr(background, "wake", counted(calls, "wake", False))
    monkeypatch.setattr(background, "start", counted(calls, "start", True))
    with thread(tmp_path, start_daemon=True) as made:
        made.wake()
    assert calls == called


@pytest.mark.parametrize(
    ("woken", "said"),
    [
        (False, "no daemon runs here that publishes checkpoints; they are kept; next: roar daemon start"),
        (LocalProblem("the lock cannot be read", next_step=NEXT), "the lock cannot be read; they are kept; next"),
        (OSError(24, "Too many open files"), "cannot be woken: Too many open files; they are kept; next: roar"),
    ],
)
def test_what_prevents_it_is_said_once(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    record: Record,
    woken: bool | Exception,
    said: str,
) -> None:
    calls: list[str] = []
    monkeypatch.setattr(background, "wake", counted(calls, "wake", woken))
    with thread(tmp_path, start_daemon=False) as made:
        made.wake()
        made.submitted(record, copy=False)
    assert calls == ["wake", "wake"]
    [warning] = [each for each in caplog.records if each.levelno == logging.WARNING]
    assert said in warning.getMessage()


def test_a_daemon_that_cannot_be_started_is_said_with_its_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.delenv(TRACED, raising=False)
    monkeypatch.setattr(background, "wake", lambda _: False)
    monkeypatch.setattr(background, "start", counted([], "start", LocalProblem("no processes", next_step=NEXT)))
    with thread(tmp_path, start_daemon=True) as made:
        made.wake()
    assert f"no processes; they are kept; next: {NEXT}" in caplog.text
    assert "Traceback" not in caplog.text


def test_a_defect_in_one_task_does_not_keep_the_next_from_being_carried_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, record: Record
) -> None:
    record.snapshot.mkdir()
    monkeypatch.setattr(background, "wake", counted([], "wake", ZeroDivisionError()))
    with thread(tmp_path, start_daemon=False) as made:
        made.wake()
        made.remove(record)
    assert "a task for checkpoints failed" in caplog.text
    assert not record.snapshot.exists()
