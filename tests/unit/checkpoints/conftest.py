"""What the tests of checkpoints share: a project with a capture, and publishers of it."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from roar_publisher import CheckpointPublisher
from tests.support.checkpoints import Make
from tests.support.lineage.captured import captured_project


@pytest.fixture(scope="module")
def captured(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return captured_project("linear", tmp_path_factory.mktemp("captured"))


@pytest.fixture
def make(captured: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Make]:
    """Makes publishers of one series, without a daemon. Their threads end before the next test begins."""
    monkeypatch.setenv("ROAR_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(captured)

    def publisher(destination: str = str(tmp_path / "store"), **options: object) -> CheckpointPublisher:
        values: dict[str, Any] = {"visibility": "public", "start_daemon": False} | options
        made.append(CheckpointPublisher(destination, **values))
        return made[-1]

    made: list[CheckpointPublisher] = []
    yield publisher
    for each in made:
        each.close()


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "model.pt"
    path.write_bytes(b"weights")
    return path
