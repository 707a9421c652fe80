"""A database holds many runs beside the one that is published; those are not read."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from roar_publisher.lineage.composites import composite_items
from roar_publisher.lineage.database import RoarDatabase, open_database
from roar_publisher.lineage.labels import label_items
from roar_publisher.lineage.plan import build_plan
from roar_publisher.lineage.redaction.redactor import Redactor
from roar_publisher.lineage.redaction.settings import OmitConfig
from roar_publisher.lineage.selection import ordered_jobs
from roar_publisher.state.units import Unit
from tests.support.lineage.recorder import Recorder


def composites(database: RoarDatabase) -> int:
    return len(list(composite_items(database, Redactor(OmitConfig()))))


def labels(database: RoarDatabase) -> int:
    return len(list(label_items(database, 1, ordered_jobs(database), lambda row: "ab" * 32, Redactor(OmitConfig()))))


def cost(folder: Path, others: int, read: Callable[[RoarDatabase], int]) -> int:
    """Return how many instructions SQLite runs to read one job's part of a database with so many other artifacts."""
    with Recorder(folder) as recorder:
        recorder.job(1, (), ("model",))
        for name in ("model", *(f"other {number}" for number in range(others))):
            recorder.artifact(name, kind="composite")
            recorder.label(entity_type="artifact", artifact_id=name, metadata=json.dumps({"name": name}))
    steps: list[None] = []
    with open_database(recorder.path) as database:
        database.pick([1])
        database.choose([1])
        database._connection.set_progress_handler(lambda: steps.append(None), 1)
        read(database)
    return len(steps)


@pytest.mark.parametrize("read", [composites, labels])
def test_the_cost_does_not_grow_with_other_runs(tmp_path: Path, read: Callable[[RoarDatabase], int]) -> None:
    assert cost(tmp_path / "few", 1, read) == cost(tmp_path / "many", 300, read)


def test_a_label_of_another_run_may_be_longer_than_any_registry_takes(tmp_path: Path) -> None:
    with Recorder(tmp_path) as recorder:
        recorder.job(1, (), ("model",))
        recorder.job(2, (), ("other",))
        recorder.label(entity_type="artifact", artifact_id="other", metadata=json.dumps({"note": 5_000_000 * "x"}))
    units: list[Unit] = []
    build_plan(recorder.project(), "00000001", cwd=Path("/nowhere"), identities=[], sink=units.extend)
    assert units
