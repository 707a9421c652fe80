"""What the daemon does with a series when a put is gone, or cannot be planned."""

import errno
import logging
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
from msgspec.structs import replace

from roar_publisher import CheckpointPublisher
from roar_publisher.checkpoints import feeder as feeder_module
from roar_publisher.checkpoints.feeder import RETRY_SECONDS, CheckpointFeeder
from roar_publisher.checkpoints.record import Record
from roar_publisher.checkpoints.series import FOLDER, TAKEN, WAITING, Series
from roar_publisher.publishing import calls
from roar_publisher.publishing.order import Order
from roar_publisher.state.errors import Interrupted, LocalProblem
from roar_publisher.state.machine import State
from roar_publisher.state.paths import PublishPaths, StateFolder
from roar_publisher.state.reasons import Reason
from roar_publisher.state.record import Progress
from tests.support.lineage.captured import captured_project

PUT = "00000001"
"""The id of the put of a checkpoint."""


def found(progress: Progress, *, parked: Reason | None = None, waits: Reason | None = None) -> SimpleNamespace:
    """What the feeder reads of a put. parked, waits: why it is left to the user, or waits by itself."""
    return SimpleNamespace(progress=progress, queued=SimpleNamespace(parked=parked is not None), reason=parked or waits)


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
        (KeyError("x"), "publishing", {"what": "the program itself is at fault", "next": "roar daemon logs"}),
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


def test_a_project_that_cannot_be_read_hides_no_other_and_is_read_again_later(
    publisher: CheckpointPublisher, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    now, advanced = [0.0], []

    def advance(_: CheckpointFeeder, series: Series) -> bool:
        advanced.append(series.folder)
        return True

    monkeypatch.setattr(CheckpointFeeder, "_advance", advance)
    state, readable = StateFolder(tmp_path / "state"), publisher._series.folder
    unreadable = state.root / FOLDER / "0"  # comes before the other
    unreadable.symlink_to(unreadable)
    caplog.clear()
    feeder = CheckpointFeeder(state, log=logging.getLogger(__name__), clock=lambda: now[0])
    for _ in range(2):
        assert feeder.feed()
    assert advanced == [readable] * 2
    [record] = caplog.records
    assert f"the checkpoints in {unreadable} cannot be read: " in record.getMessage()

    unreadable.unlink()
    unreadable.symlink_to(readable.parent)
    now[0] = RETRY_SECONDS
    assert feeder.feed()
    assert advanced == [readable] * 4


@pytest.mark.parametrize(
    ("put", "ended"),
    [
        (found(Progress(state=State.DONE, hash="ab", url="http://x/ab")), ("published", "", "ab", "http://x/ab")),
        (found(Progress(state=State.DONE)), ("published", "", "", "")),
        (found(Progress(state=State.FAILED, detail="refused")), ("failed", "refused", "", "")),
        (found(Progress(state=State.FAILED)), ("failed", "failed", "", "")),
        (found(Progress(state=State.CANCELLED)), ("failed", "cancelled", "", "")),
        (found(Progress(state=State.STAGE), parked=Reason.FILE_CHANGED), ("changed", "", "", "")),
        (found(Progress(state=State.STAGE), parked=Reason.UNREADABLE), ("changed", "", "", "")),
        (found(Progress(state=State.STAGE), parked=Reason.DISK_FULL), ("publishing", "", "", "")),
        (found(Progress(state=State.STAGE), waits=Reason.FILE_CHANGED), ("publishing", "", "", "")),
    ],
)
def test_a_checkpoint_ends_as_its_put_does(
    publisher: CheckpointPublisher,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    put: SimpleNamespace,
    ended: tuple[str, str, str, str],
) -> None:
    cancelled = follow(publisher, tmp_path, monkeypatch, put)
    [one] = publisher.checkpoints()
    assert (one.state, one.detail, one.hash, one.url) == ended
    assert cancelled == ([PUT] if one.state == "changed" else [])


@pytest.mark.parametrize("cloned", [False, True])
def test_a_file_that_changed_is_read_from_its_clone_once(
    publisher: CheckpointPublisher, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cloned: bool
) -> None:
    planned: list[Record] = []

    def plan(_: CheckpointFeeder, record: Record) -> str:
        planned.append(record)
        return "00000002"

    monkeypatch.setattr(CheckpointFeeder, "_put", plan)
    [record] = publisher._series.records(WAITING)
    (record.snapshot / "clone-0").mkdir()
    put = found(Progress(state=State.STAGE), parked=Reason.FILE_CHANGED)
    assert follow(publisher, tmp_path, monkeypatch, put, cloned=cloned) == [PUT]
    assert [one.cloned for one in planned] == ([] if cloned else [True])
    [one] = publisher.checkpoints()
    assert (one.state, one.publish_id) == (("changed", "") if cloned else ("publishing", "00000002"))


def test_there_may_be_more_to_do_after_one_was_planned(
    publisher: CheckpointPublisher, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(CheckpointFeeder, "_put", lambda *_: PUT)
    feeder = CheckpointFeeder(StateFolder(tmp_path / "state"), log=logging.getLogger(__name__))
    assert feeder.feed()
    assert [one.publish_id for one in publisher.checkpoints()] == [PUT]


class StoppedCall:
    """A call that is asked to stop while it runs."""

    def __init__(self, stop: Callable[[], None]) -> None:
        self._stop = stop
        self.stopped = 0

    def __call__(self, order: Order, on_progress: None) -> "StoppedCall":
        return self

    def run(self) -> None:
        self._stop()
        assert self.stopped
        raise Interrupted("it was asked to stop")

    def stop(self) -> None:
        self.stopped += 1


def test_a_daemon_that_stops_stops_the_put_that_it_plans_and_begins_no_other(
    publisher: CheckpointPublisher, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with CheckpointPublisher(tmp_path / "other", visibility="public", start_daemon=False) as other:
        other.submit(tmp_path / "model.pt", step=1)
    feeder = CheckpointFeeder(StateFolder(tmp_path / "state"), log=logging.getLogger(__name__))
    call = StoppedCall(feeder.stop)
    monkeypatch.setattr(calls, "Call", call)
    assert not feeder.feed()
    assert call.stopped == 1
    assert not feeder.feed()
    assert [one.state for each in (publisher, other) for one in each.checkpoints()] == ["waiting", "waiting"]


def test_a_daemon_that_was_asked_to_stop_while_it_prepared_a_put_does_not_begin_it(
    publisher: CheckpointPublisher, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    feeder = CheckpointFeeder(StateFolder(tmp_path / "state"), log=logging.getLogger(__name__))
    call = StoppedCall(lambda: pytest.fail("the put began"))

    def make(order: Order, on_progress: None) -> StoppedCall:
        feeder.stop()
        return call

    monkeypatch.setattr(calls, "Call", make)
    assert not feeder.feed()
    assert [one.state for one in publisher.checkpoints()] == ["waiting"]


def test_a_put_that_ended_by_a_signal_stops_the_feeder(
    publisher: CheckpointPublisher, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with CheckpointPublisher(tmp_path / "other", visibility="public", start_daemon=False) as other:
        other.submit(tmp_path / "model.pt", step=1)
    begun: list[Order] = []

    def interrupted(order: Order, on_progress: None) -> StoppedCall:
        begun.append(order)
        call = StoppedCall(lambda: None)
        call.stop()
        return call

    monkeypatch.setattr(calls, "Call", interrupted)
    feeder = CheckpointFeeder(StateFolder(tmp_path / "state"), log=logging.getLogger(__name__))
    assert not feeder.feed()
    assert len(begun) == 1
    assert [one.state for each in (publisher, other) for one in each.checkpoints()] == ["waiting", "waiting"]
    assert publisher._series.problem is other._series.problem is None


def test_the_put_of_an_earlier_daemon_is_found_beside_a_journal_that_cannot_be_read(
    publisher: CheckpointPublisher, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    series = publisher._series
    [record] = series.records(WAITING)
    assert series.move(record.name, WAITING, TAKEN)
    series.update(TAKEN, replace(record, placed=True))
    folder = StateFolder(tmp_path / "state")
    for name in ("00000001", "00000002", "00000003", "00000004"):
        (folder.publishes / name).mkdir(parents=True)
    seen = {
        "00000002": (State.CANCELLED, record.destination),
        "00000003": (State.STAGE, record.destination),
    }

    def read(paths: PublishPaths) -> object:
        if paths.id not in seen:
            raise LocalProblem("the journal is damaged", next_step="")
        state, destination = seen[paths.id]
        return SimpleNamespace(plan=SimpleNamespace(destination=destination), progress=Progress(state=state))

    monkeypatch.setattr(feeder_module, "read_status", read)
    feeder = CheckpointFeeder(folder, log=logging.getLogger(__name__))
    assert feeder.feed()
    assert [one.publish_id for one in publisher.checkpoints()] == ["00000003"]


def follow(
    publisher: CheckpointPublisher,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    put: SimpleNamespace,
    *,
    cloned: bool = False,
) -> list[str]:
    """Let the daemon look once at a checkpoint whose put is in a state. Return the puts that it cancelled."""
    series = publisher._series
    [record] = series.records(WAITING)
    assert series.move(record.name, WAITING, TAKEN)
    series.update(TAKEN, replace(record, publish_id=PUT, cloned=cloned))
    cancelled: list[str] = []
    monkeypatch.setattr(CheckpointFeeder, "_status", lambda _, publish_id: put)
    monkeypatch.setattr(CheckpointFeeder, "_planned", lambda *_: None)
    monkeypatch.setattr(calls, "cancel_by_id", cancelled.append)
    feeder = CheckpointFeeder(StateFolder(tmp_path / "state"), log=logging.getLogger(__name__))
    feeder.feed()
    return cancelled


def test_a_feeder_that_was_stopped_works_again_once_it_is_started(
    publisher: CheckpointPublisher, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    advanced: list[Path] = []

    def advance(_: CheckpointFeeder, series: Series) -> bool:
        advanced.append(series.folder)
        return False

    monkeypatch.setattr(CheckpointFeeder, "_advance", advance)
    feeder = CheckpointFeeder(StateFolder(tmp_path / "state"), log=logging.getLogger(__name__))
    feeder.stop()
    feeder.feed()
    assert advanced == []
    feeder.start()
    feeder.feed()
    assert advanced == [publisher._series.folder]
