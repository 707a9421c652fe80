"""A checkpoint that cannot be planned does not hold up those behind it."""

import logging
import os
from collections.abc import Iterable
from pathlib import Path
from types import SimpleNamespace

import pytest

from roar_publisher.checkpoints.feeder import RETRY_SECONDS, CheckpointFeeder
from roar_publisher.checkpoints.publisher import CheckpointPublisher
from roar_publisher.checkpoints.record import Record
from roar_publisher.checkpoints.series import DONE, TAKEN, WAITING
from roar_publisher.state.errors import Interrupted, LocalProblem, NeedsUser, Transient
from roar_publisher.state.machine import State
from roar_publisher.state.paths import StateFolder
from roar_publisher.state.reasons import Reason
from roar_publisher.state.record import Progress
from tests.support.checkpoints import Make


def submitted(
    make: Make, model: Path, tmp_path: Path, *, steps: Iterable[int]
) -> tuple[CheckpointPublisher, CheckpointFeeder, list[float]]:
    """Submit checkpoints. Return their publisher, a feeder, and its clock: a list of one time."""
    now = [0.0]
    with make() as publisher:
        for step in steps:
            publisher.submit(model, step=step, pin=True)
    log = logging.getLogger(__name__)
    return publisher, CheckpointFeeder(StateFolder(tmp_path / "state"), log=log, clock=lambda: now[0]), now


def test_the_others_go_first_and_it_is_tried_again_after_them(
    make: Make, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[int] = []
    refused = {1: NeedsUser("a secret would be redacted", next_step="yes=True"), 2: LocalProblem("no room")}

    def put(_: CheckpointFeeder, record: Record) -> str:
        tried.append(record.step)
        if record.step in refused:
            raise refused[record.step]
        return f"{record.step:08d}"

    found = SimpleNamespace(progress=Progress(state=State.STAGE), queued=SimpleNamespace(parked=False), reason=None)
    monkeypatch.setattr(CheckpointFeeder, "_put", put)
    monkeypatch.setattr(CheckpointFeeder, "_status", lambda *_: found)
    publisher, feeder, now = submitted(make, model, tmp_path, steps=(1, 2, 3))
    series = publisher._series
    feed(feeder)
    assert tried == [1, 2, 3], "at once: a drain does not come back"
    assert [(one.state, one.detail) for one in publisher.checkpoints()] == [
        ("waiting", "a secret would be redacted"),
        ("waiting", "no room"),
        ("publishing", ""),
    ]
    assert series.move("step-00000003", TAKEN, DONE)
    for _ in range(3):
        feed(feeder)
        now[0] += RETRY_SECONDS
    assert tried[3:] == [1, 2, 1], "one a minute, in turn"
    del refused[2]
    feed(feeder)
    assert tried[6:] == [2]
    assert [one.detail for one in publisher.checkpoints()] == ["a secret would be redacted", "", ""]
    assert series.move("step-00000002", TAKEN, DONE)
    del refused[1]
    feed(feeder)
    assert tried[7:] == [1], "at once, because what was wrong may be right"


def test_a_store_that_is_away_is_asked_once_a_minute(
    make: Make, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[int] = []

    def put(_: CheckpointFeeder, record: Record) -> str:
        tried.append(record.step)
        raise Transient("the store is away")

    monkeypatch.setattr(CheckpointFeeder, "_put", put)
    _publisher, feeder, now = submitted(make, model, tmp_path, steps=(1, 2))
    for now[0] in (0.0, RETRY_SECONDS):
        feed(feeder)
    assert tried == [1, 1]


def feed(feeder: CheckpointFeeder) -> None:
    while feeder.feed():
        pass


def test_one_that_a_stopping_daemon_gave_back_is_the_next_again(
    make: Make, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[int] = []

    def put(stopping: CheckpointFeeder, record: Record) -> str:
        tried.append(record.step)
        stopping.stop()
        raise Interrupted("the daemon stops")

    monkeypatch.setattr(CheckpointFeeder, "_put", put)
    publisher, feeder, now = submitted(make, model, tmp_path, steps=(1, 2))
    for _ in range(2):
        feeder.start()
        feeder.feed()
        now[0] += RETRY_SECONDS
    assert tried == [1, 1]
    assert [one.detail for one in publisher._series.records(WAITING)] == ["", ""]


def test_a_file_that_no_store_can_name_is_refused_when_it_is_submitted(make: Make, tmp_path: Path) -> None:
    path = os.path.join(os.fsencode(tmp_path), b"epoch=1-\xe9.ckpt")
    with open(path, "wb") as file:
        file.write(b"weights")
    with make() as publisher:
        with pytest.raises(LocalProblem, match="not valid UTF-8") as raised:
            publisher.submit(os.fsdecode(path), step=1)
        assert raised.value.reason is Reason.FILE_NAME
        assert list(publisher._series.files.iterdir()) == []


def test_a_project_that_was_moved_is_named_once(
    make: Make, model: Path, captured: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with make() as publisher:
        publisher.submit(model, step=1)
    feeder = CheckpointFeeder(StateFolder(tmp_path / "state"), log=logging.getLogger(__name__))
    caplog.clear()
    moved = captured.rename(captured.with_name("moved"))
    try:
        for _ in range(2):
            assert not feeder.feed()
    finally:
        moved.rename(captured)
    [record] = caplog.records
    assert record.getMessage() == f"{captured} is gone; checkpoints that wait there are published once it is back"
