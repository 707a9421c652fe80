"""The canonical form equals that of roar-cli for generated lineages."""

import json
import random
from typing import Any

import pytest

from roar_publisher.lineage.canonical import (
    LineageHasher,
    canonical_job,
    canonical_metadata,
    remote_job_uid,
    sort_key,
)
from tests.support.lineage import roarcli

ODD_TEXTS = ("", " ", "a", "é", "\u2028", "\ud83d\ude00", "\ud800", "\x00", '"\\', "10", "9", "A", "_", "\x7f", "null")
ODD_NUMBERS = (
    0,
    -0.0,
    1.0,
    0.1 + 0.2,
    1e308,
    5e-324,
    1e16,
    4503599627370495.5,
    -1.5,
    2**70,
    True,
    1 / 3,
    1e22,
    123456789.125,
)


@pytest.mark.parametrize("seed", range(60))
def test_the_lineage_hash_equals_that_of_roar(seed: int) -> None:
    chance = random.Random(seed)
    jobs = [random_job(chance, number) for number in range(chance.randrange(1, 8))]
    git = roarcli.GitContext(*(chance.choice([None, "", " x ", "é"]) for _ in range(3)))
    identity = chance.choice(["anonymous", " glaas:user:7 ", "", "treqs:user:é"])
    assert our_hash(jobs, git, identity) == roarcli.lineage_hash(jobs, git, identity), f"seed {seed}"


@pytest.mark.parametrize("seed", range(20))
def test_the_remote_uid_equals_that_of_roar(seed: int) -> None:
    chance = random.Random(seed)
    lineage_hash, uid = f" {chance.getrandbits(256):064X} ", f" {chance.getrandbits(32):08x}"
    assert remote_job_uid(lineage_hash, uid) == roarcli.remote_job_uid(lineage_hash, uid)


@pytest.mark.parametrize(
    "metadata",
    [None, "", "null", "[1]", "{", '{"a": 1', "7", '"text"', [1], 7, "[" * 100_000, '{"a":' * 100_000],
    ids=lambda value: repr(value)[:12],
)
def test_metadata_that_is_not_an_object_counts_as_empty(metadata: object) -> None:
    assert canonical_metadata(metadata) == {}


def test_metadata_may_be_an_object_or_its_text() -> None:
    value = {"b": 2.0, "a": {"d": [1.5, float("inf")], "c": None}}
    assert (
        canonical_metadata(json.dumps(value))
        == canonical_metadata(value)
        == {"a": {"c": None, "d": [1.5, None]}, "b": 2}
    )


def test_one_digest_under_several_paths_counts_once_under_the_smallest() -> None:
    text = canonical_text(inputs=[("d1", "/b"), ("d1", "/a"), ("d0", "/z")])
    assert json.loads(text)["inputs"] == [{"hash": "d0", "path": "/z"}, {"hash": "d1", "path": "/a"}]


def test_digests_can_be_read_between_jobs() -> None:
    hasher = LineageHasher(None, None, None, ["anonymous", "glaas:user:1"])
    empty = hasher.digests()
    hasher.add(canonical_text())
    assert hasher.digests() == hasher.digests()
    assert set(hasher.digests().values()).isdisjoint(empty.values())


def test_jobs_without_a_step_come_first() -> None:
    keys = [sort_key(2, "a"), sort_key(None, "z"), sort_key(1, "b"), sort_key(1, "a")]
    assert sorted(keys) == [sort_key(None, "z"), sort_key(1, "a"), sort_key(1, "b"), sort_key(2, "a")]


def random_job(chance: random.Random, number: int) -> dict[str, Any]:
    links = [
        {"hash": f"{chance.randrange(3):064x}", "path": chance.choice(ODD_TEXTS)} for _ in range(chance.randrange(5))
    ]
    metadata: Any = random_value(chance, 3)
    return {
        "job_uid": f"uid{number}",
        "parent_job_uid": chance.choice([None, "uid0", "gone"]),
        "command": chance.choice(ODD_TEXTS),
        "job_type": chance.choice([None, "", "run", "build"]),
        "step_number": chance.randrange(3),
        "metadata": chance.choice([metadata, json.dumps(metadata), None, "{broken"]),
        "_inputs": links[:2],
        "_outputs": links[2:],
    }


def random_value(chance: random.Random, depth: int) -> Any:
    kind = chance.randrange(6 if depth else 4)
    if kind < 2:
        return chance.choice(ODD_NUMBERS)
    if kind == 2:
        return chance.choice(ODD_TEXTS)
    if kind == 3:
        return chance.choice([None, True, float("inf"), float("nan")])
    if kind == 4:
        return [random_value(chance, depth - 1) for _ in range(chance.randrange(4))]
    return {key: random_value(chance, depth - 1) for key in chance.sample(ODD_TEXTS, 4)}


def our_hash(jobs: list[dict[str, Any]], git: Any, identity: str) -> str:
    steps = {job["job_uid"]: job["step_number"] for job in jobs}
    keys = []
    for job in jobs:
        text = canonical_job(
            command=job["command"],
            job_type=job["job_type"],
            step_number=job["step_number"],
            parent_step_number=steps.get(job["parent_job_uid"]),
            inputs=[(link["hash"], link["path"]) for link in job["_inputs"]],
            outputs=[(link["hash"], link["path"]) for link in job["_outputs"]],
            metadata=job["metadata"],
        )
        keys.append(sort_key(job["step_number"], text))
    hasher = LineageHasher(git.repo, git.commit, git.branch, [identity])
    for key in sorted(keys):
        hasher.add(key[2])
    return hasher.digests()[identity]


def canonical_text(**changed: Any) -> str:
    job: dict[str, Any] = {
        "command": "run",
        "job_type": None,
        "step_number": 1,
        "parent_step_number": None,
        "inputs": [],
        "outputs": [],
        "metadata": None,
    }
    return canonical_job(**job | changed)
