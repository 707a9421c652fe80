"""The plan of a captured project equals what roar-cli 0.4.7 sent for it (tests/data/projects/*/expected)."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from roar_publisher.lineage.canonical import LineageHasher, canonical_job, remote_job_uid, sort_key
from roar_publisher.lineage.plan import PlanSummary, build_plan
from roar_publisher.lineage.project import find_project
from roar_publisher.state.units import NODES, Kind, Unit
from tests.support.lineage.captured import captured_project, recorded, recordings, run_again


class Published:
    """A plan and the recording of the same target."""

    def __init__(self, name: str, recording: str, folder: Path) -> None:
        self.recording = recorded(name, recording)
        root = captured_project(name, folder)
        last = self.recording["command"][-1]
        target = None if last.startswith("-") else last
        if target is not None and not target.startswith("@"):
            run_again(root)
        self.units: list[Unit] = []
        project = find_project(root)
        self.summary: PlanSummary = build_plan(project, target, cwd=root, identities=(), sink=self.units.extend)

    def items(self, *kinds: Kind) -> list[dict[str, Any]]:
        return [item for unit in self.units if unit.kind in kinds for item in json.loads(unit.body)]

    def remote(self, local_uid: str) -> str:
        return remote_job_uid(self.summary.provisional["anonymous"], local_uid)

    def links(self, kind: Kind) -> dict[str, list[dict[str, Any]]]:
        links: dict[str, list[dict[str, Any]]] = {}
        for unit in self.units:
            if unit.kind is kind and unit.job_uid is not None:
                links.setdefault(self.remote(unit.job_uid), []).extend(json.loads(unit.body))
        return links

    def sent(self, suffix: str) -> Iterable[dict[str, Any]]:
        return (request for request in self.recording["requests"] if request["path"].endswith(suffix))

    def sent_links(self, suffix: str) -> dict[str, list[dict[str, Any]]]:
        return {request["path"].split("/")[-2]: request["body"]["artifacts"] for request in self.sent(suffix)}


@pytest.fixture(params=recordings(), ids="-".join)
def published(request: pytest.FixtureRequest, tmp_path: Path) -> Published:
    name, recording = request.param
    return Published(name, recording, tmp_path)


def test_jobs_are_sent_as_recorded_in_the_same_order(published: Published) -> None:
    jobs = published.items(Kind.JOBS)
    for job in jobs:
        job["metadata"] = json.loads(job["metadata"])
        job["job_uid"] = published.remote(job["job_uid"])
    assert jobs == [job for request in published.sent("/jobs/batch") for job in request["body"]["jobs"]]


def test_artifacts_are_sent_as_recorded(published: Published) -> None:
    sent = [item for request in published.sent("/artifacts/batch") for item in request["body"]["artifacts"]]
    assert by_digest(published.items(Kind.ARTIFACTS)) == by_digest(sent)
    assert published.summary.artifacts == len(sent)


@pytest.mark.parametrize("kind", [Kind.INPUTS, Kind.OUTPUTS])
def test_links_are_sent_as_recorded(published: Published, kind: Kind) -> None:
    assert published.links(kind) == published.sent_links(f"/{kind.value}")


def test_labels_are_sent_as_recorded(published: Published) -> None:
    labels = published.items(Kind.LABELS)
    for label in labels:
        label["session_hash"] = published.recording["finalized_hash"]
        if "job_uid" in label:
            label["job_uid"] = published.remote(label["job_uid"])
    assert labels == [label for request in published.sent("/labels/batch") for label in request["body"]["labels"]]
    assert published.summary.labels == len(labels)


def test_finalize_gets_the_recorded_context_and_counts(published: Published) -> None:
    summary = published.summary
    expected = {"jobs": summary.jobs, "inputs": summary.inputs, "outputs": summary.outputs}
    (finalize,) = published.sent("/finalize")
    assert finalize["body"] == {
        "git_repo": summary.git.repo,
        "git_commit": summary.git.commit,
        "git_branch": summary.git.branch,
        "expected": expected,
    }


def test_what_is_staged_hashes_to_the_recorded_lineage(published: Published) -> None:
    jobs = {job["job_uid"]: job for job in published.items(Kind.JOBS)}
    inputs, outputs = published.links(Kind.INPUTS), published.links(Kind.OUTPUTS)
    keys = []
    for uid, job in jobs.items():
        parent = jobs.get(job.get("parent_job_uid", ""))
        text = canonical_job(
            command=job["command"],
            job_type=job["job_type"],
            step_number=job["step_number"],
            parent_step_number=parent["step_number"] if parent else None,
            inputs=[(link["hash"], link["path"]) for link in inputs.get(published.remote(uid), [])],
            outputs=[(link["hash"], link["path"]) for link in outputs.get(published.remote(uid), [])],
            metadata=job["metadata"],
        )
        keys.append(sort_key(job["step_number"], text))
    git = published.summary.git
    hasher = LineageHasher(git.repo, git.commit, git.branch, ["anonymous"])
    for key in sorted(keys):
        hasher.add(key[2])
    assert hasher.digests()["anonymous"] == published.recording["finalized_hash"]
    assert published.summary.published["anonymous"] == published.recording["finalized_hash"]


def test_every_unit_waits_for_the_units_that_it_refers_to(published: Published) -> None:
    assert [unit.seq for unit in published.units] == list(range(1, len(published.units) + 1))
    ranks = [0 if unit.kind in NODES else 2 if unit.kind is Kind.LABELS else 1 for unit in published.units]
    assert ranks == sorted(ranks)
    home: dict[str, int] = {}
    for unit in published.units:
        for item in json.loads(unit.body) if unit.kind in NODES else ():
            home[item["job_uid"] if unit.kind is Kind.JOBS else item["hashes"][0]["digest"]] = unit.seq
    for unit in published.units:
        if unit.job_uid is not None:
            mentioned = [unit.job_uid, *(item["hash"] for item in json.loads(unit.body))]
            assert max(home[name] for name in mentioned) <= unit.after


def test_redactions_are_counted_without_the_secret(published: Published) -> None:
    commands = [job["command"] for job in published.items(Kind.JOBS)]
    redacted = any("[REDACTED]" in command for command in commands)
    assert bool(published.summary.redactions) == redacted
    assert not any(b"sk-abcdefghijklmnopqrs" in unit.body for unit in published.units)


def by_digest(artifacts: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return sorted(artifacts, key=lambda artifact: str(artifact["hashes"]))
