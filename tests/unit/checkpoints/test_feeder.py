"""What the daemon does with a series when a put is gone, or cannot be planned."""

import errno
import logging
from pathlib import Path

import pytest
from msgspec.structs import replace

from roar_publisher import CheckpointPublisher
from roar_publisher.checkpoints.feeder import RETRY_SECONDS, CheckpointFeeder
from roar_publisher.checkpoints.record import Record
from roar_publisher.checkpoints.series import TAKEN, WAITING
from roar_publisher.state.errors import Interrupted, LocalProblem
from roar_publisher.state.paths import StateFolder
from tests.support.lineage.captured import captured_project


@pytest.fixture
def publisher(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> CheckpointPublisher:
    """A publisher with one checkpoint that waits, and no daemon."""
    monkeypatch.setenv("ROAR_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(captured_project("linear", tmp_path))
    made = CheckpointPublisher(tmp_path / "store", visibility="public", start_daemon=False)
    model = tmp_path / "model.pt"
    model.write_bytes(b"weights")
    made.submit(model, step=1)
    made.close()
    return made


def test_a_checkpoint_whose_publish_was_removed_failed(publisher: CheckpointPublisher, tmp_path: Path) -> None:
    series = publisher._series
    (record,) = series.records(WAITING)
    assert series.move(record.name, WAITING, TAKEN)
    series.update(TAKEN, replace(record, publish_id="00000000"))
    feeder = CheckpointFeeder(StateFolder(tmp_path / "state"), log=logging.getLogger(__name__))
    assert feeder.feed()
    assert [(one.state, one.detail) for one in publisher.checkpoints()] == [("failed", "its publish was removed")]


@pytest.mark.parametrize(
    ("error", "state", "problem"),
    [
        (LocalProblem("no room", next_step="free some"), "waiting", {"what": "no room", "next": "free some"}),
        (OSError(errno.EIO, "Input/output error"), "publishing", {"what": "cannot be used", "next": ""}),
        (ZeroDivisionError(), "publishing", {"what": "the program itself is at fault", "next": "roar daemon logs"}),
    ],
)
def test_what_cannot_be_planned_is_tried_again_later_and_holds_up_no_other_series(
    publisher: CheckpointPublisher,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    error: Exception,
    state: str,
    problem: dict[str, str],
) -> None:
    now, tried = [0.0], list[tuple[float, str]]()
    with CheckpointPublisher(tmp_path / "other", visibility="public", start_daemon=False) as other:
        other.submit(tmp_path / "model.pt", step=1)

    def refuse(_: CheckpointFeeder, record: Record) -> str:
        tried.append((now[0], Path(record.destination).parent.name))
        assert record.snapshot.exists()
        raise error

    monkeypatch.setattr(CheckpointFeeder, "_put", refuse)
    feeder = CheckpointFeeder(StateFolder(tmp_path / "state"), log=logging.getLogger(__name__), clock=lambda: now[0])
    for now[0] in (0.0, RETRY_SECONDS - 1, RETRY_SECONDS):
        assert not (feeder.feed() and feeder.feed())
    assert sorted(tried) == [(moment, name) for moment in (0.0, RETRY_SECONDS) for name in ("other", "store")]
    for each in (publisher, other):
        assert [one.state for one in each.checkpoints()] == [state]
        found = each._series.problem
        assert found is not None
        assert found["next"] == problem["next"]
        assert problem["what"] in found["what"]


def test_a_daemon_that_stops_while_it_plans_reports_no_problem(
    publisher: CheckpointPublisher, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    feeder = CheckpointFeeder(StateFolder(tmp_path / "state"), log=logging.getLogger(__name__))

    def interrupted(_: CheckpointFeeder, record: Record) -> str:
        feeder.stop()
        raise Interrupted("the daemon stops")

    monkeypatch.setattr(CheckpointFeeder, "_put", interrupted)
    caplog.clear()
    assert not feeder.feed()
    assert [one.state for one in publisher.checkpoints()] == ["waiting"]
    assert publisher._series.problem is None
    assert not caplog.records
