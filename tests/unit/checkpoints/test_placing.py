"""Where a checkpoint is stored: never in the place of what another clone, machine or training has published."""

import logging
from pathlib import Path

import anyio
import pytest
from msgspec.structs import replace

from roar_publisher.checkpoints.feeder import CheckpointFeeder
from roar_publisher.checkpoints.record import Record
from roar_publisher.checkpoints.series import DONE, TAKEN, WAITING
from roar_publisher.publishing.running import Work
from roar_publisher.publishing.threads import ThreadRunner
from roar_publisher.state.errors import PublisherError, Rejected, Transient
from roar_publisher.state.paths import StateFolder
from roar_publisher.storage.file import FileStore
from tests.support.checkpoints import Make


@pytest.fixture
def feeder(tmp_path: Path) -> CheckpointFeeder:
    return CheckpointFeeder(StateFolder(tmp_path / "state"), log=logging.getLogger(__name__))


@pytest.fixture
def planned(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The destinations of the puts that were planned, below that of their training."""
    found: list[str] = []

    def put(_: CheckpointFeeder, record: Record) -> str:
        found.append(record.destination.rpartition("/")[2])
        return "00000001"

    monkeypatch.setattr(CheckpointFeeder, "_put", put)
    return found


def stored(store: Path, *names: str) -> None:
    """What an earlier training has published from somewhere else."""
    for name in names:
        (store / name).parent.mkdir(parents=True, exist_ok=True)
        (store / name).write_bytes(b"of another training")


@pytest.mark.parametrize(
    ("there", "place"),
    [
        ([], "step-00000005"),
        (["step-00000005/other.pt"], "step-00000005"),
        (["step-00000005/model.pt"], "step-00000005.2"),
        (["step-00000005/shards/1.bin"], "step-00000005"),
        (["step-00000005/1.bin"], "step-00000005.2"),
        (["step-00000005/model.pt", "step-00000005.2/1.bin"], "step-00000005.3"),
    ],
)
def test_what_the_destination_has_already_is_not_replaced(
    make: Make, model: Path, tmp_path: Path, feeder: CheckpointFeeder, planned: list[str], there: list[str], place: str
) -> None:
    shards = tmp_path / "shards"
    shards.mkdir()
    (shards / "1.bin").write_bytes(b"a shard")
    stored(tmp_path / "store", *there)
    with make() as publisher:
        publisher.submit([model, shards], step=5)
    assert feeder.feed()
    assert planned == [place]
    [found] = publisher.checkpoints()
    assert (found.name, found.destination) == ("step-00000005", str(tmp_path / "store" / place))


@pytest.mark.parametrize("state", [WAITING, DONE])
def test_nor_is_the_place_of_another_checkpoint_of_the_series_taken(
    make: Make, model: Path, tmp_path: Path, feeder: CheckpointFeeder, planned: list[str], state: str
) -> None:
    """Its put may have failed, and store its files only once it is permitted another attempt."""
    stored(tmp_path / "store", "step-00000005/model.pt")
    with make() as publisher:
        for _ in range(2):
            publisher.submit(model, step=5, pin=True)
    assert publisher._series.move("step-00000005.2", WAITING, state)
    assert feeder.feed()
    assert planned == ["step-00000005.3"]


def test_a_put_that_is_planned_again_keeps_its_place(
    make: Make, model: Path, tmp_path: Path, feeder: CheckpointFeeder, planned: list[str]
) -> None:
    """What is there then was stored by its own first attempt."""
    with make() as publisher:
        publisher.submit(model, step=5)
    assert feeder.feed()
    stored(tmp_path / "store", "step-00000005/model.pt")
    series = publisher._series
    [record] = series.records(TAKEN)
    series.update(TAKEN, replace(record, publish_id=""))  # as a kill leaves it
    assert feeder.feed()
    assert planned == ["step-00000005"] * 2


def test_a_store_that_does_not_let_one_look_is_written_as_it_is_named(
    make: Make, model: Path, feeder: CheckpointFeeder, planned: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    refusing(monkeypatch, Rejected("these credentials may only write"))
    with make() as publisher:
        publisher.submit(model, step=5)
    assert feeder.feed()
    assert planned == ["step-00000005"]


def test_a_store_that_cannot_be_asked_is_asked_again_later(
    make: Make, model: Path, feeder: CheckpointFeeder, planned: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    refusing(monkeypatch, Transient("the store is away"))
    with make() as publisher:
        publisher.submit(model, step=5)
    assert not feeder.feed()
    assert planned == []
    assert [one.state for one in publisher.checkpoints()] == ["waiting"]
    assert publisher._series.problem is not None
    assert "the store is away" in publisher._series.problem["what"]


def test_a_daemon_that_stops_does_not_wait_for_the_store(
    make: Make, model: Path, feeder: CheckpointFeeder, planned: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    stoppable = ThreadRunner._stoppable

    async def stopped(runner: ThreadRunner, work: Work[bool]) -> bool:
        feeder.stop()
        asked.append("")
        return await stoppable(runner, work)

    async def silent(store: FileStore, key: str) -> None:
        await anyio.sleep_forever()

    monkeypatch.setattr(ThreadRunner, "_stoppable", stopped)
    monkeypatch.setattr(FileStore, "look", silent)
    with make() as publisher:
        publisher.submit(model, step=5)
    assert not feeder.feed()
    assert (asked, planned) == ([""], [])
    assert [one.state for one in publisher.checkpoints()] == ["waiting"]
    assert publisher._series.problem is None


def refusing(monkeypatch: pytest.MonkeyPatch, error: PublisherError) -> None:
    async def look(store: FileStore, key: str) -> None:
        raise error

    monkeypatch.setattr(FileStore, "look", look)


def test_a_destination_is_one_series_in_each_of_its_forms(make: Make, tmp_path: Path) -> None:
    """Otherwise a training that resumes with the other form would begin a second one."""
    plain, url = make(str(tmp_path / "a store")), make((tmp_path / "a store").as_uri())
    assert plain._series.folder == url._series.folder
