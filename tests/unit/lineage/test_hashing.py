"""The hash as captured and the hash as sent, for any redaction and any order of jobs."""

import json
import random
from pathlib import Path

import pytest

from roar_publisher.lineage.canonical import LineageHasher, canonical_job, sort_key
from roar_publisher.lineage.git.context import GitContext
from roar_publisher.lineage.hashing import LineageHashes
from roar_publisher.lineage.plan import build_plan
from roar_publisher.state.units import Kind, Unit
from tests.support.lineage.recorder import Recorder

GIT = GitContext("https://example.org/a.git", "c" * 40, "main")


def key(step: int, command: str) -> tuple[int, int, str]:
    text = canonical_job(
        command=command, job_type="run", step_number=step, parent_step_number=None, inputs=(), outputs=(), metadata=None
    )
    return sort_key(step, text)


def hashed(keys: list[tuple[int, int, str]]) -> str:
    hasher = LineageHasher(GIT.repo, GIT.commit, GIT.branch, ["anonymous"])
    for item in sorted(keys):
        hasher.add(item[2])
    return hasher.digests()["anonymous"]


@pytest.mark.parametrize("seed", range(20))
def test_both_hashes_are_those_of_the_sorted_jobs(seed: int) -> None:
    chance = random.Random(seed)
    jobs = [(chance.randrange(4), f"job {chance.random()}", chance.random() < 0.4) for _ in range(30)]
    with LineageHashes(GIT, ["anonymous"]) as hashes:
        for step, command, secret in jobs:
            hashes.add(key(step, command), key(step, "[REDACTED]" + command[-2:]) if secret else None)
        captured, sent = hashes.digests()
    assert captured["anonymous"] == hashed([key(step, command) for step, command, _secret in jobs])
    redacted = [key(step, "[REDACTED]" + command[-2:] if secret else command) for step, command, secret in jobs]
    assert sent["anonymous"] == hashed(redacted)


def test_secrets_in_paths_and_branches_are_redacted_and_counted_once(tmp_path: Path) -> None:
    signature = "X-Amz-Signature=0123456789abcdef"
    with Recorder(tmp_path) as recorder:
        recorder.artifact("remote")
        recorder.job(1, ("remote",), ("model",))
        recorder.connection.execute("UPDATE job_inputs SET path = ?", (f"https://b/k?{signature}",))
        recorder.connection.execute("UPDATE jobs SET git_branch = ?", ("me/DB_PASS=hunter22",))
    bodies: list[Unit] = []
    summary = build_plan(recorder.project(), None, cwd=tmp_path, identities=(), sink=bodies.extend)
    text = b"".join(unit.body for unit in bodies)
    assert b"0123456789abcdef" not in text
    assert b"hunter22" not in text
    assert summary.redactions == {"named-value": 1, "presigned-url": 1}
    (link,) = [item for unit in bodies if unit.kind is Kind.INPUTS for item in json.loads(unit.body)]
    assert link["path"] == "https://b/k?X-Amz-Signature=[REDACTED]"
    assert summary.published != summary.provisional
