"""A checkpoint whose put failed: it may be the only copy of its files, and `roar journal retry` needs it."""

import logging
import math
from pathlib import Path
from types import SimpleNamespace

import pytest

from roar_publisher import CheckpointPublisher, CheckpointStatus
from roar_publisher.checkpoints.feeder import CheckpointFeeder
from roar_publisher.checkpoints.record import Record
from roar_publisher.checkpoints.series import DONE, TAKEN
from roar_publisher.state.errors import LocalProblem
from roar_publisher.state.machine import State
from roar_publisher.state.paths import StateFolder
from roar_publisher.state.record import Progress
from tests.support.checkpoints import Make

Puts = dict[str, State | LocalProblem | None]
"""The state of the put of each checkpoint by its name; None if it was removed."""


@pytest.fixture
def puts(monkeypatch: pytest.MonkeyPatch) -> Puts:
    """Puts that the feeder plans, whose states the test sets."""
    states: Puts = {}

    def put(_: CheckpointFeeder, record: Record) -> str:
        states[record.name] = State.STAGE
        return record.name

    def status(_: CheckpointFeeder, publish_id: str) -> SimpleNamespace | None:
        state = states[publish_id]
        if isinstance(state, LocalProblem):
            raise state
        if state is None:
            return None
        return SimpleNamespace(progress=Progress(state=state), queued=SimpleNamespace(parked=False), reason=None)

    monkeypatch.setattr(CheckpointFeeder, "_put", put)
    monkeypatch.setattr(CheckpointFeeder, "_status", status)
    return states


@pytest.fixture
def feeder(tmp_path: Path) -> CheckpointFeeder:
    return CheckpointFeeder(StateFolder(tmp_path / "state"), log=logging.getLogger(__name__))


def feed(feeder: CheckpointFeeder) -> None:
    while feeder.feed():
        pass


def submitted(publisher: CheckpointPublisher, model: Path, step: int, *, pin: bool = False, loss: float = 0.0) -> str:
    found = publisher.submit(model, step=step, pin=pin, metrics={"loss": loss})
    assert found is not None
    return found.name


def held(publisher: CheckpointPublisher) -> set[int]:
    """The steps whose snapshots are there."""
    series = publisher._series
    return {one.step for state in (TAKEN, DONE) for one in series.records(state) if one.snapshot.exists()}


def states(publisher: CheckpointPublisher) -> list[str]:
    return [one.state for one in publisher.checkpoints()]


def test_its_snapshot_stays_and_the_next_one_is_published_meanwhile(
    make: Make, model: Path, feeder: CheckpointFeeder, puts: Puts
) -> None:
    publisher = make()
    for step in (1, 2):
        submitted(publisher, model, step, pin=True)
    feed(feeder)
    puts["step-00000001"] = State.FAILED
    feed(feeder)
    assert states(publisher) == ["failed", "publishing"]
    puts["step-00000002"] = State.DONE
    feed(feeder)
    assert states(publisher) == ["failed", "published"]
    assert held(publisher) == {1}
    assert publisher.close(), "nothing is waited for"


@pytest.mark.parametrize(
    ("then", "state", "kept"),
    [
        (State.DONE, "published", False),
        (State.STAGE, "publishing", True),
        (State.CANCELLED, "failed", False),
        (None, "failed", False),
        (State.FAILED, "failed", True),
        (LocalProblem("damaged"), "failed", True),
    ],
)
def test_it_becomes_what_its_put_becomes(
    make: Make,
    model: Path,
    feeder: CheckpointFeeder,
    puts: Puts,
    then: State | LocalProblem | None,
    state: str,
    kept: bool,
) -> None:
    with make() as publisher:
        name = submitted(publisher, model, 1)
    feed(feeder)
    puts[name] = State.FAILED
    feed(feeder)
    puts[name] = then
    feed(feeder)
    assert states(publisher) == [state]
    assert held(publisher) == ({1} if kept else set())
    if then is State.STAGE:
        puts[name] = State.DONE
        feed(feeder)
        assert states(publisher) == ["published"]
        assert publisher.checkpoints()[0].detail == ""


@pytest.mark.parametrize("newer", [State.DONE, State.FAILED])
@pytest.mark.parametrize(
    ("pin", "losses", "kept"),
    [
        (False, (1.0, 1.0), True),
        (False, (1.0, 2.0), True),
        (False, (1.0, math.nan), True),
        (False, (2.0, 1.0), False),
        (False, (math.nan, 1.0), False),
        (True, (2.0, 1.0), True),
    ],
)
def test_a_newer_one_supersedes_it_unless_it_is_pinned_or_the_best(
    make: Make,
    model: Path,
    feeder: CheckpointFeeder,
    puts: Puts,
    newer: State,
    pin: bool,
    losses: tuple[float, float],
    kept: bool,
) -> None:
    """Otherwise a registry that refuses everything would fill the disk."""
    with make(best="loss") as publisher:
        for step, loss in enumerate(losses, 1):
            name = submitted(publisher, model, step, pin=pin and step == 1, loss=loss)
            feed(feeder)
            assert held(publisher) >= {1}, "it stays until the newer one has ended"
            puts[name] = State.FAILED if step == 1 else newer
            feed(feeder)
    assert held(publisher) == ({1} if kept else set()) | ({2} if newer is State.FAILED else set())
    assert states(publisher) == ["failed", str(newer) if newer is State.FAILED else "published"]


def test_one_that_is_not_the_best_makes_way(make: Make, model: Path, feeder: CheckpointFeeder, puts: Puts) -> None:
    with make(best="loss") as publisher:
        for step, loss in enumerate((1.0, 3.0, 2.0), 1):
            name = submitted(publisher, model, step, loss=loss)
            feed(feeder)
            puts[name] = State.FAILED if step == 2 else State.DONE
            feed(feeder)
    assert held(publisher) == set()


def test_without_a_metric_the_newest_is_kept(make: Make, model: Path, feeder: CheckpointFeeder, puts: Puts) -> None:
    with make() as publisher:
        for step in (1, 2, 3):
            name = submitted(publisher, model, step)
            feed(feeder)
            puts[name] = State.FAILED
            feed(feeder)
    assert held(publisher) == {3}


def test_it_is_told_once_and_counts_as_pending(
    make: Make, model: Path, feeder: CheckpointFeeder, puts: Puts, caplog: pytest.LogCaptureFixture
) -> None:
    skipped: list[CheckpointStatus] = []
    options = {"on_skip": skipped.append, "max_pending_bytes": 2 * model.stat().st_size}
    publisher = make(**options)
    for step in (1, 2):
        submitted(publisher, model, step, pin=True)
    feed(feeder)
    puts["step-00000001"] = State.FAILED
    feed(feeder)
    publisher.close()
    again = make(**options)
    assert [(one.step, one.state) for one in skipped] == [(1, "failed")]
    for each in (publisher, again):
        assert each.submit(model, step=3, pin=True) is None
    puts["step-00000001"] = State.CANCELLED
    feed(feeder)
    for each in (publisher, again):
        each.close()
    assert [(one.step, one.state) for one in skipped] == [(1, "failed"), (3, "full"), (3, "full")]


def test_its_snapshot_is_no_stray(make: Make, model: Path, feeder: CheckpointFeeder, puts: Puts) -> None:
    with make() as publisher:
        name = submitted(publisher, model, 1)
    feed(feeder)
    puts[name] = State.FAILED
    feed(feeder)
    publisher._series.remove_strays(2.0**40)
    assert held(publisher) == {1}
