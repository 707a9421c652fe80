"""A project that brings records of checkpoints along: files to read, where they go, and the user's consent."""

import logging
import shutil
from pathlib import Path

import pytest
from msgspec.structs import replace

from roar_publisher.checkpoints.feeder import CheckpointFeeder
from roar_publisher.checkpoints.record import HeldSource, Record
from roar_publisher.checkpoints.series import FOLDER, TAKEN, WAITING, Series
from roar_publisher.cli.checkpoints import checkpoints
from roar_publisher.state.paths import StateFolder
from tests.support.checkpoints import Make

ELSEWHERE = "0123456789abcdef0123456789abcdef"


@pytest.mark.parametrize("state", [WAITING, TAKEN])
@pytest.mark.parametrize("below", ["", ELSEWHERE])
def test_they_are_never_taken_for_those_of_the_user(
    make: Make,
    captured: Path,
    model: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    state: str,
    below: str,
) -> None:
    secret = tmp_path / "victim" / "id_ed25519"
    secret.parent.mkdir()
    secret.write_text("a key")
    read: list[str] = []

    def put(_: CheckpointFeeder, record: Record) -> str:
        read.extend(source.typed for source in record.sources)
        return "00000001"

    monkeypatch.setattr(CheckpointFeeder, "_put", put)
    publisher = make()
    (tmp_path / "state" / FOLDER / "earlier-build").symlink_to(captured / ".roar" / FOLDER)
    publisher.submit(model, step=1)
    [record] = publisher._series.records(WAITING)
    brought = Series.of(captured / ".roar" / FOLDER / below, publisher._settings.destination)
    brought.make()
    planted = replace(
        record,
        name="step-00000000",
        sources=(HeldSource(str(secret), {"": (5, 1)}),),
        home=str(secret.parent),
        project=str(captured),
        yes=True,
    )
    brought.update(state, planted)
    try:
        again = make()
        again.submit(model, step=2)
        again.close()
        feeder = CheckpointFeeder(StateFolder(tmp_path / "state"), log=logging.getLogger(__name__))
        while feeder.feed():
            pass
        assert read == [str(model)]
        assert secret.exists()
        assert {one.step for one in again.checkpoints()} == {1, 2}
        checkpoints(["--all", "--json"], standalone_mode=False)
        assert len(capsys.readouterr().out.splitlines()) == 2
    finally:
        shutil.rmtree(captured / ".roar" / FOLDER)
