"""The queue as a training loop sees it: what is taken, what is skipped, and what a crash leaves."""

import atexit
import errno
import logging
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from msgspec.structs import replace

from roar_publisher import CheckpointPublisher, CheckpointStatus
from roar_publisher.checkpoints import background
from roar_publisher.checkpoints.record import End, Record
from roar_publisher.checkpoints.series import DONE, TAKEN, WAITING, Series
from roar_publisher.daemon.background import TRACED
from roar_publisher.state.errors import LocalProblem, UsageProblem
from tests.support.checkpoints import Make


def states(publisher: CheckpointPublisher) -> dict[int, str]:
    return {one.step: one.state for one in publisher.checkpoints()}


def series_of(publisher: CheckpointPublisher) -> Series:
    return publisher._series


def take(publisher: CheckpointPublisher, name: str) -> None:
    assert series_of(publisher).move(name, WAITING, TAKEN)


def test_a_newer_checkpoint_supersedes_those_that_wait_and_are_not_pinned(make: Make, model: Path) -> None:
    skipped: list[CheckpointStatus] = []
    publisher = make(on_skip=skipped.append)
    for step in range(5):
        publisher.submit(model, step=step, pin=step == 1)
    assert states(publisher) == {0: "superseded", 1: "waiting", 2: "superseded", 3: "superseded", 4: "waiting"}
    assert [(one.step, one.state) for one in skipped] == [(0, "superseded"), (2, "superseded"), (3, "superseded")]
    publisher.close()
    homes = {Path(one.home) for one in series_of(publisher).unfinished()}
    assert homes == set(series_of(publisher).files.iterdir()), "the snapshots of skipped ones are removed"


def test_one_that_the_daemon_has_taken_is_not_skipped(make: Make, model: Path) -> None:
    publisher = make()
    publisher.submit(model, step=0)
    take(publisher, "step-00000000")
    publisher.submit(model, step=1)
    assert states(publisher) == {0: "publishing", 1: "waiting"}
    publisher.close()
    assert all(one.snapshot.exists() for one in series_of(publisher).unfinished())


@pytest.mark.parametrize(("mode", "losses", "left"), [("min", (3, 1, 2, 2), 1), ("max", (1, 2, 3, 0), 2)])
def test_the_best_so_far_is_not_skipped(make: Make, model: Path, mode: str, losses: tuple[int, ...], left: int) -> None:
    publisher = make(best="loss", mode=mode)
    for step, loss in enumerate(losses):
        publisher.submit(model, step=step, metrics={"loss": loss})
    publisher.submit(model, step=9, metrics={"loss": float("nan")})
    assert [step for step, state in states(publisher).items() if state == "waiting"] == [left, 9]


def test_a_better_one_supersedes_the_best_so_far_at_once(make: Make, model: Path) -> None:
    publisher = make(best="loss")
    for step, loss in enumerate((3, 1)):
        publisher.submit(model, step=step, metrics={"loss": loss})
    assert states(publisher) == {0: "superseded", 1: "waiting"}


def test_checkpoints_closer_than_every_are_not_taken_unless_they_are_pinned(make: Make, model: Path) -> None:
    publisher = make(every=10)
    taken = [step for step in (0, 4, 9, 10, 15, 21) if publisher.submit(model, step=step, pin=step == 4)]
    assert taken == [0, 4, 15]
    resumed = make(every=10)
    assert [step for step in (16, 24, 25) if resumed.submit(model, step=step)] == [25], "also across processes"


def test_a_training_that_resumes_continues_the_series(make: Make, model: Path) -> None:
    first = make(best="loss")
    for step in (0, 10, 20):
        first.submit(model, step=step, metrics={"loss": step}, pin=step == 20)
    again = make(best="loss")
    found = again.submit(model, step=10, metrics={"loss": 5})
    assert found is not None
    assert (found.name, found.destination.rpartition("/")[2]) == ("step-00000010.2", "step-00000010.2")
    waiting = [one.name for one in again.checkpoints() if one.state == "waiting"]
    assert waiting == ["step-00000000", "step-00000020", "step-00000010.2"], "the best, the pinned, the newest"


def test_pending_bytes_are_bounded_also_for_pinned_ones(make: Make, model: Path) -> None:
    skipped: list[CheckpointStatus] = []
    publisher = make(max_pending_bytes=2 * model.stat().st_size, on_skip=skipped.append)
    taken = [publisher.submit(model, step=step, pin=step < 4) is not None for step in range(4)]
    assert taken == [True, True, False, False]
    assert [(one.step, one.state) for one in skipped] == [(2, "full"), (3, "full")]
    take(publisher, "step-00000000")
    series = series_of(publisher)
    record = series.records(TAKEN)[0]
    series.finish(replace(record, end=End.PUBLISHED.value))
    assert publisher.submit(model, step=4), "what is published makes room"
    assert publisher.submit(model, step=5), "what it supersedes makes room"
    assert [(one.step, one.state) for one in skipped[2:]] == [(4, "superseded")], "what is published is not skipped"


def test_what_the_daemon_gave_up_is_told_once(make: Make, model: Path, caplog: pytest.LogCaptureFixture) -> None:
    skipped: list[CheckpointStatus] = []
    publisher = make(on_skip=skipped.append)
    publisher.submit(model, step=0, pin=True)
    take(publisher, "step-00000000")
    series = series_of(publisher)
    series.finish(replace(series.records(TAKEN)[0], end=End.FAILED.value, detail="refused"))
    with caplog.at_level(logging.INFO, "roar_publisher"):
        publisher.submit(model, step=1)
    publisher.close()
    make(on_skip=skipped.append).close()
    assert [(one.step, one.state, one.detail) for one in skipped] == [(0, "failed", "refused")]
    assert "checkpoint step-00000000 is not published: refused" in caplog.text


def test_close_waits_until_the_daemon_has_published_what_is_due(
    make: Make, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    publisher = make()
    publisher.submit(model, step=1)
    series, now = series_of(publisher), [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])

    def passes(seconds: float) -> None:
        now[0] += seconds

    monkeypatch.setattr(time, "sleep", passes)
    assert not publisher.close(wait=30.0)
    assert 30.0 <= now[0] < 31.0

    def published(seconds: float) -> None:
        take(publisher, "step-00000001")
        series.finish(replace(series.records(TAKEN)[0], end=End.PUBLISHED.value))

    monkeypatch.setattr(time, "sleep", published)
    assert publisher.close(wait=30.0)
    assert now[0] < 31.0


def test_a_checkpoint_that_cannot_be_journaled_leaves_nothing(
    make: Make, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    publisher = make()
    publisher.submit(model, step=1)
    [first] = series_of(publisher).records(WAITING)

    def full(_: Series, record: Record) -> Record:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patched:
        patched.setattr(Series, "add", full)
        with pytest.raises(LocalProblem, match="cannot be journaled: No space left") as raised:
            publisher.submit(model, step=2)
    assert raised.value.kept == "What was submitted before is kept."
    assert list(series_of(publisher).files.iterdir()) == [first.snapshot]
    assert states(publisher) == {1: "waiting"}
    assert publisher.submit(model, step=2), "as if it had not been submitted"
    assert states(publisher) == {1: "superseded", 2: "waiting"}


def test_a_callback_that_fails_does_not_stop_the_training(
    make: Make, model: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(one: CheckpointStatus) -> None:
        raise RuntimeError("a bug of the user's")

    publisher = make(on_skip=fail)
    for step in range(2):
        assert publisher.submit(model, step=step)
    assert "on_skip failed; the training continues" in caplog.text


def test_a_skip_and_the_daemon_decide_each_checkpoint_once(make: Make, model: Path) -> None:
    publisher = make()
    series = series_of(publisher)
    for step in range(50):
        publisher.submit(model, step=step, pin=True)
    won: list[list[str]] = [[], []]

    def move(number: int, end: str) -> None:
        won[number] = [f"step-{step:08d}" for step in range(50) if series.move(f"step-{step:08d}", WAITING, end)]

    threads = [threading.Thread(target=move, args=each) for each in ((0, TAKEN), (1, DONE))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(won[0] + won[1]) == [f"step-{step:08d}" for step in range(50)]


def test_published_snapshots_stay_as_often_as_asked(make: Make, model: Path) -> None:
    publisher = make(keep=2)
    series = series_of(publisher)
    for step in range(4):
        publisher.submit(model, step=step, pin=True)
        take(publisher, f"step-{step:08d}")
        series.finish(replace(series.records(TAKEN)[0], end=End.PUBLISHED.value))
    assert [one.step for one in series.records(DONE) if one.snapshot.exists()] == [2, 3]
    for path in series.files.iterdir():
        os.utime(path, (0, 0))
    make(keep=2)
    assert [one.step for one in series.records(DONE) if one.snapshot.exists()] == [2, 3], "they are no strays"


def test_what_a_killed_process_left_is_removed_later(make: Make, model: Path) -> None:
    publisher = make()
    for step in (0, 1):
        publisher.submit(model, step=step, pin=True)
    series = series_of(publisher)
    skipped, waiting = (Path(one.home) for one in series.records(WAITING))
    assert series.move("step-00000000", WAITING, DONE), "killed before it removed the snapshot"
    half = series.files / "0123456789abcdef"
    half.mkdir()
    make()
    assert half.exists(), "another process may be making it"
    for path in (half, skipped, waiting):
        os.utime(path, (0, 0))
    make()
    assert set(series.files.iterdir()) == {waiting}


def test_a_record_of_another_release_is_left_alone(make: Make, model: Path) -> None:
    publisher = make()
    publisher.submit(model, step=0)
    (series_of(publisher).folder / WAITING / "step-00000000.json").write_text('{"version": 2}')
    assert publisher.checkpoints() == []
    found = publisher.submit(model, step=0, pin=True)
    assert found is not None
    assert found.name == "step-00000000.2"


def test_a_second_checkpoint_of_a_step_never_waits_under_the_name_of_the_first(
    make: Make, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not even for a moment, in which the daemon would take it, or the training be killed."""
    publisher, link, names = make(), os.link, list[str]()

    def linked(source: str, target: Path) -> None:
        names.append(Path(target).stem)
        link(source, target)

    monkeypatch.setattr(os, "link", linked)
    for state in (WAITING, TAKEN, DONE):
        publisher.submit(model, step=1, pin=True)
        if state != WAITING:
            take(publisher, names[-1])
        if state == DONE:
            assert series_of(publisher).move(names[-1], TAKEN, DONE)
    publisher.submit(model, step=1, pin=True)
    assert names == ["step-00000001", "step-00000001.2", "step-00000001.3", "step-00000001.4"]


def test_two_processes_that_choose_a_name_at_once_get_two(
    make: Make, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    publisher = make()
    path = series_of(publisher).folder / WAITING / "step-00000001.json"
    link = os.link

    def faster(source: str, target: Path) -> None:
        if Path(target) == path:
            path.write_bytes(b"of the other process")
        link(source, target)

    monkeypatch.setattr(os, "link", faster)
    found = publisher.submit(model, step=1)
    assert found is not None
    assert found.name == "step-00000001.2"
    assert path.read_bytes() == b"of the other process"
    assert not list(series_of(publisher).folder.glob(".*.new"))


def test_the_end_of_the_process_closes_the_publisher(make: Make, model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    registered: list[Callable[[], object]] = []
    monkeypatch.setattr(atexit, "register", registered.append)
    skipped: list[CheckpointStatus] = []
    publisher = make(on_skip=skipped.append)
    publisher.submit(model, step=1)
    take(publisher, "step-00000001")
    series = series_of(publisher)
    series.finish(replace(series.records(TAKEN)[0], end=End.FAILED.value, detail="refused"))
    [close] = registered
    assert not skipped
    assert close() is True
    assert [(one.state, one.detail) for one in skipped] == [("failed", "refused")]
    assert not publisher._background._thread.is_alive()


def test_files_that_cannot_be_submitted_leave_nothing(make: Make, model: Path, tmp_path: Path) -> None:
    publisher = make()
    for files in ([], tmp_path / "missing", tmp_path / "missing" / "below", [model, tmp_path / "missing"]):
        with pytest.raises((UsageProblem, LocalProblem)):
            publisher.submit(files, step=0)
    assert list(series_of(publisher).files.iterdir()) == []
    assert publisher.close()


def test_a_forked_process_cannot_submit_and_ends_nothing(make: Make, model: Path) -> None:
    publisher = make()
    publisher.submit(model, step=0)
    child = os.fork()
    if child == 0:
        try:
            publisher.submit(model, step=1)
        except UsageProblem:
            os._exit(0 if publisher.close() else 1)
        os._exit(2)
    assert os.waitpid(child, 0)[1] == 0
    assert publisher.submit(model, step=1)


def test_inside_of_roar_run_no_daemon_is_started(
    make: Make, monkeypatch: pytest.MonkeyPatch, captured: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv(TRACED, "1")
    monkeypatch.setattr(background, "start", lambda folder: pytest.fail("roar run would trace it"))
    with CheckpointPublisher(tmp_path / "traced", visibility="public") as publisher:
        publisher.close()
    [record] = [each for each in caplog.records if each.levelno == logging.WARNING]
    assert "roar daemon start" in record.getMessage()
