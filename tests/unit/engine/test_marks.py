"""What is marked in roar.db is read from the journal piece by piece."""

import json
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from roar_publisher.engine.steps import marks
from roar_publisher.state.units import Kind
from tests.support.lineage.captured import captured_project

LABELS_IN_BODY = 200
CAPTURED = "3e1aa3ee"
"""A job of the captured project."""


def journal_of(bodies: int) -> Any:
    """A journal whose units hold labels of jobs and artifacts, none of which is in roar.db. One of its jobs is."""

    def read(kind: Kind) -> Iterator[bytes]:
        if kind is Kind.JOBS:
            yield json.dumps([{"job_uid": "unknown"}, {"job_uid": CAPTURED}]).encode()
            return
        for body in range(bodies):
            yield json.dumps([label(f"{body}-{number}") for number in range(LABELS_IN_BODY)]).encode()

    return SimpleNamespace(units=SimpleNamespace(bodies=read))


def label(name: str) -> dict[str, Any]:
    metadata = {"note": "x" * 200}
    if name.endswith("0"):
        return {"entity_type": "artifact", "artifact_hash": name, "metadata": metadata}
    return {"entity_type": "job", "job_uid": name, "metadata": metadata}


def test_memory_does_not_grow_with_the_labels(tmp_path: Path) -> None:
    database = captured_project("diamond", tmp_path) / ".roar" / "roar.db"
    plan: Any = SimpleNamespace(roar_db=str(database), intent={}, local_session=1, created_at=0.0)

    def peak(bodies: int) -> int:
        tracemalloc.start()
        try:
            marks._mark_labels(journal_of(bodies), plan, now=1.0)
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    assert peak(100) < 2 * peak(2)
