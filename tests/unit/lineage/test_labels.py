"""Labels: the newest version, who changed what, and only of published entities."""

import json
import random
from pathlib import Path
from typing import Any

import pytest

from roar_publisher.lineage.labels import key_origins
from roar_publisher.lineage.plan import build_plan
from roar_publisher.state.units import Kind, Unit
from tests.support.lineage import roarcli
from tests.support.lineage.recorder import Recorder, digest_of
from tests.support.sampling import sample


def labels(recorder: Recorder, target: str | None = None) -> list[dict[str, Any]]:
    units: list[Unit] = []
    build_plan(recorder.project(), target, cwd=Path("/nowhere"), identities=[], sink=units.extend)
    return [item for unit in units if unit.kind is Kind.LABELS for item in json.loads(unit.body)]


@pytest.mark.parametrize("seed", sample("labels", range(60), 20))
def test_key_origins_equal_those_of_roar(seed: int) -> None:
    chance = random.Random(seed)
    history: list[tuple[dict[str, object], str | None]] = [
        (random_label(chance, 2), chance.choice(["user", "system", None, "odd"])) for _ in range(chance.randrange(1, 5))
    ]
    rows = [{"metadata": label, "write_origin": origin} for label, origin in history]
    assert key_origins(history) == roarcli.build_current_key_origins(rows), f"seed {seed}"
    assert list(key_origins(history)) == sorted(key_origins(history))


def test_the_newest_version_is_sent_redacted(tmp_path: Path) -> None:
    with Recorder(tmp_path) as recorder:
        recorder.job(1, (), ("model",))
        for version, label in ((1, {"a": 1, "gone": 2}), (2, {"a": 1, "api_key": "a1b2c3d4e5f6", "nan": float("nan")})):
            recorder.label(
                entity_type="job", job_id=1, version=version, metadata=json.dumps(label), write_origin="user"
            )
    assert labels(recorder) == [
        {
            "entity_type": "job",
            "job_uid": "00000001",
            "metadata": {"a": 1, "api_key": "[REDACTED]", "nan": None},
            "key_origins": {"a": "user", "api_key": "user", "nan": "user"},
        }
    ]


def test_a_secret_in_a_key_is_named_the_same_in_the_origins(tmp_path: Path) -> None:
    secret = "hf" + "_" + 12 * "aB3"
    with Recorder(tmp_path) as recorder:
        recorder.job(1, (), ("model",))
        for version, label in ((1, {secret: {"x": 1}}), (2, {secret: {"x": 2}, "y": 1})):
            recorder.label(
                entity_type="job", job_id=1, version=version, metadata=json.dumps(label), write_origin="user"
            )
    [item] = labels(recorder)
    assert item["metadata"] == {"[HF_TOKEN_REDACTED]": {"x": 2}, "y": 1}
    assert item["key_origins"] == {"[HF_TOKEN_REDACTED].x": "user", "y": "user"}


def test_labels_of_unpublished_entities_are_not_sent(tmp_path: Path) -> None:
    with Recorder(tmp_path) as recorder:
        recorder.job(1, (), ("model",))
        recorder.job(2, (), ("other",))
        for artifact in ("model", "other"):
            recorder.label(entity_type="artifact", artifact_id=artifact, metadata=json.dumps({"name": artifact}))
        for job in (1, 2):
            recorder.label(entity_type="job", job_id=job, metadata=json.dumps({"job": job}))
    published = labels(recorder, "00000001")
    assert [(item["entity_type"], item.get("artifact_hash")) for item in published] == [
        ("job", None),
        ("artifact", digest_of("model")),
    ]


@pytest.mark.parametrize("broken", ["{", "[1]", "null", "7", "[" * 100_000])
def test_a_label_that_is_not_an_object_is_skipped(tmp_path: Path, broken: str) -> None:
    with Recorder(tmp_path) as recorder:
        recorder.job(1)
        recorder.label(entity_type="job", job_id=1, metadata=broken)
        recorder.label(entity_type="dag", session_id=1, metadata=json.dumps({"kept": 1}))
    assert [item["entity_type"] for item in labels(recorder)] == ["dag"]


def random_label(chance: random.Random, depth: int) -> dict[str, object]:
    label: dict[str, object] = {}
    for key in chance.sample(["dataset", "a", "b.c", "b", "é"], chance.randrange(4)):
        deeper = depth and chance.random() < 0.4
        label[key] = random_label(chance, depth - 1) if deeper else chance.choice([1, 1.0, True, None, "x", [1], []])
    return label
