"""Datasets are sent as roar-cli sends them."""

import json
import logging
import random
from pathlib import Path
from typing import Any

import pytest

from roar_publisher.lineage.batches import MAX_UNIT_BYTES
from roar_publisher.lineage.plan import build_plan
from roar_publisher.state.errors import LocalProblem
from roar_publisher.state.units import Kind, Unit
from tests.support.lineage import roarcli
from tests.support.lineage.recorder import Recorder, digest_of
from tests.support.sampling import sample

BLOOM = {"bloom_filter_base64": "AAAA", "bloom_bits": 24, "bloom_hashes": 3, "bloom_version": 1}


def add_dataset(
    recorder: Recorder,
    name: str,
    sizes: list[int],
    *,
    algorithm: str = "blake3",
    total: int | None = None,
    **index: Any,
) -> None:
    """Write a dataset of that many files, with paths of the lengths `sizes`."""
    recorder.artifact(
        name,
        hashes={f"composite-{algorithm}": digest_of(name)},
        kind="composite",
        component_count=total or len(sizes),
        source_type="hf" if algorithm == "sha256" else None,
        metadata=json.dumps({"hf": {"repo": name, "token": "a1b2c3d4e5f6"}}) if algorithm == "sha256" else None,
    )
    for number, size in enumerate(sizes):
        recorder.insert(
            "composite_artifact_components",
            composite_artifact_id=name,
            ordinal=number,
            relative_path=f"{number:06d}".ljust(size, "x"),
            leaf_kind="file",
            component_algorithm=algorithm,
            component_digest=digest_of(f"{name}/{number}"),
            component_size=number,
            component_type="text/csv",
        )
    if index:
        recorder.insert(
            "composite_membership_indexes",
            composite_artifact_id=name,
            total_components=total or len(sizes),
            stored_components=len(sizes),
            **index,
        )


def sent(recorder: Recorder) -> list[Unit]:
    units: list[Unit] = []
    build_plan(recorder.project(), None, cwd=Path("/nowhere"), identities=[], sink=units.extend)
    return units


def composites(units: list[Unit]) -> list[dict[str, Any]]:
    return [item for unit in units if unit.kind is Kind.COMPOSITE for item in json.loads(unit.body)]


def roars(recorder: Recorder) -> list[dict[str, Any]]:
    """Return what roar-cli would send, without the session's hash, which its client removes."""
    roar_dir = recorder.root / ".roar"
    lineage = roarcli.LineageCollector().collect_session(1, roar_dir)
    with roarcli.create_database_context(roar_dir) as context:
        candidates = roarcli.lineage_composites.build_lineage_composite_payloads(
            db_ctx=context,
            lineage_artifacts=lineage.artifacts,
            session_hash="0" * 64,
            composite_builder=roarcli.composite_builder.CompositeArtifactBuilder(),
            logger=logging.getLogger("roar"),
        )
    payloads = [{key: value for key, value in item.payload.items() if key != "session_hash"} for item in candidates]
    return sorted(payloads, key=lambda payload: str(payload["hash"]))


@pytest.mark.parametrize("seed", sample("datasets", range(12), 4))
def test_datasets_are_sent_as_roar_sends_them(seed: int, tmp_path: Path) -> None:
    chance = random.Random(seed)
    with Recorder(tmp_path) as recorder:
        for number in range(3):
            sizes = [chance.randrange(6, 200) for _ in range(chance.choice([1, 40, 1200, 400]))]
            algorithm = chance.choice(["blake3", "sha256"])
            more = len(sizes) + 5 if chance.random() < 0.3 else None
            add_dataset(recorder, f"set{number}", sizes, algorithm=algorithm, total=more, **BLOOM)
        recorder.job(1, ("set0", "plain"), ("set1", "set2"))
    expected = roars(recorder)
    for payload in expected:
        if "metadata" in payload:
            payload["metadata"] = (
                payload["metadata"].replace(": ", ":").replace(", ", ",").replace("a1b2c3d4e5f6", "[REDACTED]")
            )
    ours = sorted(composites(sent(recorder)), key=lambda payload: str(payload["hash"]))
    assert ours == expected, f"seed {seed}"


def test_a_component_is_sent_under_its_known_blake3_digest(tmp_path: Path) -> None:
    with Recorder(tmp_path) as recorder:
        recorder.artifact("shard", hashes={"sha256": digest_of("set/0"), "blake3": digest_of("shard")})
        add_dataset(recorder, "set", [10], algorithm="sha256")
        recorder.connection.execute("UPDATE composite_artifact_components SET artifact_id = 'shard'")
        recorder.job(1, (), ("set",))
    (item,) = composites(sent(recorder))
    assert [(part["component_algorithm"], part["component_digest"]) for part in item["components"]] == [
        ("blake3", digest_of("shard"))
    ]
    assert [item | {"metadata": None}] == [payload | {"metadata": None} for payload in roars(recorder)]


def test_datasets_are_sent_first_and_not_as_plain_artifacts(tmp_path: Path) -> None:
    with Recorder(tmp_path) as recorder:
        add_dataset(recorder, "set", [10])
        add_dataset(recorder, "unused", [10])
        recorder.job(1, ("plain",), ("set",))
    units = sent(recorder)
    assert [unit.kind for unit in units] == [Kind.COMPOSITE, Kind.JOBS, Kind.ARTIFACTS, Kind.INPUTS, Kind.OUTPUTS]
    (artifacts,) = (json.loads(unit.body) for unit in units if unit.kind is Kind.ARTIFACTS)
    assert [artifact["hashes"][0]["digest"] for artifact in artifacts] == [digest_of("plain")]
    (output,) = (json.loads(unit.body) for unit in units if unit.kind is Kind.OUTPUTS)
    assert output == [{"hash": digest_of("set"), "path": "/data/set"}]


def test_a_big_dataset_stays_within_a_request(tmp_path: Path) -> None:
    with Recorder(tmp_path) as recorder:
        add_dataset(recorder, "set", [400] * 900)
        recorder.job(1, (), ("set",))
    units = sent(recorder)
    assert len(units[0].body) <= MAX_UNIT_BYTES
    (item,) = composites(units)
    assert item["component_count_total"] == item["membership_index"]["total_components"] == 900
    assert item["membership_index"]["stored_components"] == len(item["components"]) < 900


def test_a_dataset_without_its_index_is_reported(tmp_path: Path) -> None:
    with Recorder(tmp_path) as recorder:
        add_dataset(recorder, "set", [10], total=3)
        recorder.job(1, (), ("set",))
    with pytest.raises(LocalProblem, match="1 of its 3 components"):
        sent(recorder)
