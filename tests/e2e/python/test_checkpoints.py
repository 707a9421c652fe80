"""Checkpoints from a training to the registry: what is published, and under which lineage."""

import logging
import math
import os
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from msgspec.structs import replace

import roar_publisher
from roar_publisher import CheckpointPublisher
from roar_publisher.checkpoints.feeder import CheckpointFeeder
from roar_publisher.checkpoints.snapshot import SMALL_BYTES, clone
from roar_publisher.state.lock import Lock
from roar_publisher.state.paths import StateFolder
from tests.support.checkpoints import drain, in_fork, links_of, outputs_of
from tests.support.cli.program import PATIENCE, Program

SIZE = SMALL_BYTES + 1


@pytest.fixture
def store(tmp_path: Path) -> Path:
    return tmp_path / "store"


@pytest.fixture
def publisher(
    project: Path, registry: str, store: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[CheckpointPublisher]:
    monkeypatch.chdir(project)
    with CheckpointPublisher(store, visibility="public", registry=registry, yes=True, start_daemon=False) as publisher:
        yield publisher


def feed(state: Path) -> None:
    """Plan what is due, as the daemon does, without carrying it out. Call it in a fork."""
    feeder = CheckpointFeeder(StateFolder(state), log=logging.getLogger("daemon under test"))
    while feeder.feed():
        pass


def content(step: int) -> bytes:
    return bytes([step]) * SIZE


def save(path: Path, step: int) -> Path:
    """Replace a file, as a careful training does."""
    new = path.with_suffix(".new")
    new.write_bytes(content(step))
    os.replace(new, path)
    return path


def stored(store: Path) -> dict[str, bytes]:
    return {path.relative_to(store).as_posix(): path.read_bytes() for path in store.rglob("*") if path.is_file()}


def ends(publisher: CheckpointPublisher) -> dict[int, str]:
    return {one.step: one.state for one in publisher.checkpoints()}


def test_the_newest_and_the_pinned_are_published_as_they_were_submitted(
    publisher: CheckpointPublisher, project: Path, program: Program, store: Path
) -> None:
    model = project / "model.bin"
    shards = project / "outputs" / "shards"
    shards.mkdir(parents=True)
    (shards / "a.bin").write_bytes(content(8))
    (shards / "b.json").write_text("{}")
    for step in range(4):
        publisher.submit([save(model, step), shards] if step == 1 else save(model, step), step=step, pin=step == 1)
    model.unlink()
    (shards / "a.bin").unlink()
    commit = publisher._settings.commit
    (project / "edited.py").write_text("# the next experiment")  # while the training goes on

    assert in_fork(partial(drain, program.state))
    assert ends(publisher) == {0: "superseded", 1: "published", 2: "superseded", 3: "published"}
    assert stored(store) == {
        "step-00000001/model.bin": content(1),
        "step-00000001/a.bin": content(8),
        "step-00000001/b.json": b"{}",
        "step-00000003/model.bin": content(3),
    }
    first, second = links_of(project / ".roar" / "roar.db")
    assert first == (commit, [str(model), str(shards / "a.bin"), str(shards / "b.json")])
    assert second == (commit, [str(model)])
    assert all(one.url for one in publisher.checkpoints() if one.state == "published")
    publisher._background.flush()  # it removes what was superseded
    assert not list(publisher._series.files.iterdir()), "what is published needs no snapshot"
    assert publisher.close()


def test_what_is_rewritten_in_place_is_never_published_torn_and_copied_from_then_on(
    publisher: CheckpointPublisher, project: Path, program: Program, store: Path
) -> None:
    model = project / "model.bin"
    for step in range(3):
        with open(model, "r+b" if step else "wb") as file:  # the same inode
            file.write(content(step))
        os.utime(model, ns=(step, step))
        publisher.submit(model, step=step, pin=True)
        publisher._background.flush()
    assert in_fork(partial(drain, program.state))
    assert ends(publisher) == {0: "changed", 1: "published", 2: "published"}
    assert stored(store) == {f"step-0000000{step}/model.bin": content(step) for step in (1, 2)}


def test_a_file_that_is_rewritten_while_it_is_published_is_read_from_its_clone(
    publisher: CheckpointPublisher, project: Path, program: Program, store: Path
) -> None:
    model = save(project / "model.bin", 1)
    publisher.submit(model, step=1)
    with Lock(StateFolder(program.state).daemon_lock):
        assert in_fork(partial(feed, program.state))
    [record] = publisher._series.records("taken")
    assert clone(record.snapshot, 0, model, record.sources[0].files, copy=True)
    with open(model, "r+b") as file:
        file.write(content(2))
    os.utime(model, ns=(2, 2))
    assert in_fork(partial(drain, program.state))
    assert ends(publisher) == {1: "published"}
    assert stored(store) == {"step-00000001/model.bin": content(1)}


def test_one_checkpoint_is_under_way_at_a_time_and_newer_ones_supersede_the_others(
    publisher: CheckpointPublisher, project: Path, program: Program
) -> None:
    with Lock(StateFolder(program.state).daemon_lock):  # the feeder is the daemon's
        for step in range(3):
            publisher.submit(save(project / "model.bin", step), step=step, pin=step == 1)
            assert in_fork(partial(feed, program.state))
        assert ends(publisher) == {0: "publishing", 1: "waiting", 2: "waiting"}
        publisher.submit(save(project / "model.bin", 3), step=3)
        assert ends(publisher) == {0: "publishing", 1: "waiting", 2: "superseded", 3: "waiting"}
    assert len(program.publishes) == 1
    roar_publisher.cancel(program.publishes[0])
    assert in_fork(partial(drain, program.state))
    assert ends(publisher) == {0: "failed", 1: "published", 2: "superseded", 3: "published"}


def test_a_put_that_was_planned_before_a_kill_is_found_again(
    publisher: CheckpointPublisher, project: Path, program: Program
) -> None:
    publisher.submit(save(project / "model.bin", 1), step=1)
    series = publisher._series
    assert in_fork(partial(drain, program.state))
    record = series.records("done")[0]
    # What roar knows of the files may have changed since, and so the put: here its message stands for that.
    series.update("done", replace(record, publish_id="", end="", hash="", url="", message="another"))
    assert series.move(record.name, "done", "taken")
    assert in_fork(partial(drain, program.state))
    assert [one.publish_id for one in publisher.checkpoints()] == [record.publish_id]
    assert program.publishes == [record.publish_id]


def test_a_metric_that_is_no_number_is_null_in_json(
    publisher: CheckpointPublisher, project: Path, program: Program
) -> None:
    publisher.submit(save(project / "model.bin", 1), step=1, metrics={"loss": math.nan, "top": -math.inf, "lr": 0.5})
    listed = program("checkpoints", "--json")
    assert "NaN" not in listed.out
    assert [one["metrics"] for one in listed.events] == [{"loss": None, "top": None, "lr": 0.5}]


def test_what_keeps_checkpoints_back_is_told_and_they_wait(
    publisher: CheckpointPublisher, project: Path, program: Program, store: Path
) -> None:
    publisher.submit(save(project / "model.bin", 1), step=1)
    database = project / ".roar" / "roar.db"
    database.rename(project / ".roar" / "away")
    assert in_fork(partial(drain, program.state))
    assert ends(publisher) == {1: "waiting"}
    problem = publisher._series.problem
    assert problem is not None
    assert "roar.db" in problem["what"]
    shown = program("checkpoints")
    assert [line.split()[:2] for line in shown.out.splitlines()[1:]] == [["step-00000001", "waiting"]]
    assert "The next one is waiting: " in shown.err
    assert "\nNext: " in shown.err
    (project / ".roar" / "away").rename(database)
    assert in_fork(partial(drain, program.state))
    assert ends(publisher) == {1: "published"}
    listed = program("checkpoints", "--json")
    assert (listed.code, listed.err) == (0, "")
    assert [(one["state"], one["url"]) for one in listed.events] == [("published", publisher.checkpoints()[0].url)]
    assert stored(store) == {"step-00000001/model.bin": content(1)}


TRAINING = """\
import os, sys, time
from roar_publisher import CheckpointPublisher
publisher = CheckpointPublisher(sys.argv[1], visibility="public", registry=sys.argv[2], yes=True)
for step in (1, 2):
    with open("model.new", "wb") as file:
        file.write(bytes([step]) * {size})
    os.replace("model.new", "model.bin")
    publisher.submit("model.bin", step=step, pin=True)
print("submitted", flush=True)
sys.stdin.readline()
"""


def test_a_training_inside_of_roar_run_is_published_while_it_runs_and_its_lineage_is_clean(
    project: Path, registry: str, program: Program, store: Path
) -> None:
    (project / "train.py").write_text(TRAINING.format(size=SIZE))
    (project / ".gitignore").write_text(".roar/\nmodel.*\n")
    environ = program.env | {"GLAAS_URL": registry, "DO_NOT_TRACK": "1", "GIT_CONFIG_NOSYSTEM": "1"}
    for arguments in (["git", "add", "-A"], ["git", "-c", "user.name=d", "-c", "user.email=d@e", "commit", "-qm", "t"]):
        subprocess.run(arguments, cwd=project, env=environ, check=True)
    roar = [sys.executable, "-m", "roar"]
    subprocess.run([*roar, "tracer", "use", "ptrace"], cwd=project, env=environ, check=True, capture_output=True)
    subprocess.run(
        [*roar, "config", "set", "filters.ignore_tmp_files", "false"],
        cwd=project,
        env=environ,
        check=True,
        capture_output=True,
    )
    command = [*roar, "run", sys.executable, "train.py", str(store), registry]
    with subprocess.Popen(
        command,
        cwd=project,
        env=environ,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as training:
        assert training.stdout is not None
        assert training.stdout.readline().strip() == "submitted"
        assert in_fork(partial(drain, program.state))
        assert stored(store) == {f"step-0000000{step}/model.bin": content(step) for step in (1, 2)}
        _out, err = training.communicate("\n", timeout=PATIENCE)
    assert training.returncode == 0, err
    assert "roar daemon start" in err, "no daemon ran, and none was started"
    database = project / ".roar" / "roar.db"
    assert outputs_of(database, "train.py") == ["model.bin"]
    assert [paths for _commit, paths in links_of(database)] == [[str(project / "model.bin")]] * 2
    published = program("publish", "--public", "-y", "--json", "--registry", registry)
    assert (published.code, published.events[-1]["event"]) == (0, "published"), published.err
