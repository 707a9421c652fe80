"""How a lineage is cut into units, what they wait for, and that plans are reproducible."""

import json
import random
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from roar_publisher.lineage import batches, kept_links
from roar_publisher.lineage.batches import MAX_ITEMS, MAX_UNIT_BYTES
from roar_publisher.lineage.database import RoarDatabase
from roar_publisher.lineage.explain import UnitReader
from roar_publisher.lineage.plan import PlanSummary, build_plan
from roar_publisher.lineage.project import Project, find_project
from roar_publisher.lineage.rows import LinkRow
from roar_publisher.state.errors import PublisherError
from roar_publisher.state.units import NODES, Kind, Unit
from tests.support.checkout import CHECKOUT
from tests.support.cli.roar_cli import run_roar_cli
from tests.support.lineage.recorder import Recorder, digest_of
from tests.support.processes import environment
from tests.support.sampling import sample
from tests.support.synthetic import make_project

NOWHERE = Path("/nowhere")


def planned(project: Project, target: str | None = None, cwd: Path = NOWHERE) -> tuple[PlanSummary, list[Unit]]:
    units: list[Unit] = []
    summary = build_plan(project, target, cwd=cwd, identities=["glaas:user:1"], sink=units.extend)
    return summary, units


def items(units: Iterable[Unit], *kinds: Kind) -> list[dict[str, Any]]:
    return [item for unit in units if unit.kind in kinds for item in json.loads(unit.body)]


@pytest.fixture(scope="module")
def synthetic(tmp_path_factory: pytest.TempPathFactory) -> Project:
    return find_project(make_project(tmp_path_factory.mktemp("big") / "project", jobs=700, links_per_job=12, seed=7))


def test_no_unit_exceeds_the_limits(synthetic: Project) -> None:
    _summary, units = planned(synthetic)
    assert max(len(unit.body) for unit in units) <= MAX_UNIT_BYTES
    assert all(0 < unit.items <= MAX_ITEMS[unit.kind] for unit in units)
    assert all(len(json.loads(unit.body)) == unit.items for unit in units)
    assert sum(unit.kind is Kind.JOBS for unit in units) > 5


def test_counts_are_those_of_the_units(synthetic: Project) -> None:
    summary, units = planned(synthetic)
    assert summary.jobs == len(items(units, Kind.JOBS)) == 700
    assert summary.artifacts == len(items(units, Kind.ARTIFACTS))
    assert summary.labels == len(items(units, Kind.LABELS)) == 700
    assert (summary.inputs, summary.outputs) == (len(items(units, Kind.INPUTS)), len(items(units, Kind.OUTPUTS)))
    assert set(summary.provisional) == {"anonymous", "glaas:user:1"}


def test_every_artifact_is_sent_once(synthetic: Project) -> None:
    digests = [artifact["hashes"][0]["digest"] for artifact in items(planned(synthetic)[1], Kind.ARTIFACTS)]
    assert len(digests) == len(set(digests))


def test_links_wait_only_for_the_units_that_they_refer_to(synthetic: Project) -> None:
    _summary, units = planned(synthetic)
    home = homes(units)
    for unit in units:
        if unit.job_uid is not None:
            job_links = [link for other in units if other.job_uid == unit.job_uid for link in json.loads(other.body)]
            assert unit.after == max(home[name] for name in (unit.job_uid, *(link["hash"] for link in job_links)))


def test_links_can_start_long_before_the_last_node(synthetic: Project) -> None:
    _summary, units = planned(synthetic)
    first = next(unit for unit in units if unit.kind is Kind.INPUTS)
    assert first.after < max(unit.seq for unit in units if unit.kind in NODES) / 4


@pytest.mark.parametrize("seed", sample("plans", range(20), 6))
def test_jobs_wait_for_the_unit_that_holds_a_parent(seed: int, tmp_path: Path) -> None:
    chance = random.Random(seed)
    with Recorder(tmp_path) as recorder:
        for number in range(120):
            earlier = chance.randrange(number) if number and chance.random() < 0.5 else None
            parent = f"{earlier + 1:08x}" if earlier is not None else None
            recorder.job(1, command="x" * chance.choice([10, 5000]), parent_job_uid=parent)
    _summary, units = planned(recorder.project())
    home = homes(units)
    for unit in units:
        parents = [home[job["parent_job_uid"]] for job in json.loads(unit.body) if "parent_job_uid" in job]
        assert unit.after == max((parent for parent in parents if parent != unit.seq), default=0), f"seed {seed}"
        assert all(parent <= unit.seq for parent in parents)


def test_an_item_over_the_limit_is_sent_alone(tmp_path: Path) -> None:
    with Recorder(tmp_path) as recorder:
        recorder.job(1)
        recorder.job(2, command="x" * (MAX_UNIT_BYTES + 1))
        recorder.job(3)
    _summary, units = planned(recorder.project())
    assert [unit.items for unit in units] == [1, 1, 1]
    assert [len(unit.body) > MAX_UNIT_BYTES for unit in units] == [False, True, False]


def test_a_job_with_very_many_links_is_cut_by_items_and_bytes(tmp_path: Path) -> None:
    with Recorder(tmp_path) as recorder:
        recorder.job(1, (), tuple(f"file{number}" for number in range(1201)))
    _summary, units = planned(recorder.project())
    outputs = [unit for unit in units if unit.kind is Kind.OUTPUTS]
    assert sum(unit.items for unit in outputs) == 1201
    assert len(outputs) == 3
    assert {unit.after for unit in outputs} == {max(unit.seq for unit in units if unit.kind is Kind.ARTIFACTS)}


def test_two_paths_with_the_same_bytes_count_once_and_are_both_sent(tmp_path: Path) -> None:
    with Recorder(tmp_path) as recorder:
        recorder.job(1, (), ("model",))
        recorder.insert("job_outputs", job_id=1, artifact_id="model", path="/data/a-copy")
    summary, units = planned(recorder.project())
    assert summary.outputs == 1
    assert [link["path"] for link in items(units, Kind.OUTPUTS)] == ["/data/a-copy", "/data/model"]


def test_a_remote_artifact_is_sent_with_its_source(tmp_path: Path) -> None:
    with Recorder(tmp_path) as recorder:
        url = "https://me:hunter2@host/data?X-Amz-Signature=abc"
        recorder.artifact("remote", source_type="HTTPS", source_url=url, metadata='{"etag": "x"}')
        recorder.artifact("odd", source_type="ftp", source_url="ftp://host/x")
        recorder.artifact("both", hashes={"sha256": "22" * 32, "blake3": "11" * 32, "etag": "33"})
        recorder.artifact("plain", hashes={"md5": "44" * 16, "sha256": "55" * 32})
        recorder.job(1, ("remote", "odd", "both", "plain"))
        recorder.connection.execute("UPDATE job_inputs SET byte_ranges = '[[0, 10]]' WHERE artifact_id = 'odd'")
    summary, units = planned(recorder.project())
    by_digest = {artifact["hashes"][0]["digest"]: artifact for artifact in items(units, Kind.ARTIFACTS)}
    digests = (digest_of("remote"), digest_of("odd"), "11" * 32, "44" * 16)
    remote, odd, both, plain = (by_digest[digest] for digest in digests)
    assert remote["source_type"] == "https"
    assert json.loads(remote["metadata"]) == {
        "source_url": "https://me:[REDACTED]@host/data?X-Amz-Signature=[REDACTED]",
        "etag": "x",
    }
    assert odd == {"hashes": [{"algorithm": "blake3", "digest": digest_of("odd")}], "size": 1, "source_type": None}
    assert [entry["algorithm"] for entry in both["hashes"]] == ["blake3", "sha256", "etag"]
    assert [entry["algorithm"] for entry in plain["hashes"]] == ["md5", "sha256"]
    links = {link["path"]: link for link in items(units, Kind.INPUTS)}
    assert links["/data/odd"]["byte_ranges"] == [[0, 10]]
    assert links["/data/both"]["hash"] == "11" * 32
    assert links["/data/plain"]["hash"] == "44" * 16
    assert summary.redactions == {"presigned-url": 1, "url-credentials": 1}


def test_unusual_texts_are_sent_unchanged(tmp_path: Path) -> None:
    odd = 'é\u2028"\\ \U0001f600 \x7f'
    with Recorder(tmp_path) as recorder:
        recorder.job(1, (), ("model",), command=odd, metadata=json.dumps({odd: [odd]}))
        recorder.connection.execute("UPDATE job_outputs SET path = ?", (odd,))
    _summary, units = planned(recorder.project())
    (job,) = items(units, Kind.JOBS)
    assert job["command"] == odd
    assert json.loads(job["metadata"]) == {odd: [odd]}
    assert items(units, Kind.OUTPUTS)[0]["path"] == odd
    assert all(unit.body.isascii() for unit in units)


@pytest.mark.parametrize("metadata", ["{broken", "7", '"text"', "[1]", "null", "[" * 100_000, '{"n": NaN}'])
def test_unusual_metadata_is_published_unchanged(tmp_path: Path, metadata: str) -> None:
    with Recorder(tmp_path) as recorder:
        recorder.job(1, metadata=metadata)
    (job,) = items(planned(recorder.project())[1], Kind.JOBS)
    assert job["metadata"] == metadata.replace(" ", "").replace("NaN", "null")


def test_the_same_lineage_gives_the_same_plan(synthetic: Project) -> None:
    assert planned(synthetic) == planned(synthetic)


def test_links_are_read_once_and_kept_in_memory_or_in_a_file(
    synthetic: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[str] = []

    def counted(side: str, links: Callable[[RoarDatabase], Iterator[LinkRow]]) -> Callable[..., Iterator[LinkRow]]:
        def once(self: RoarDatabase) -> Iterator[LinkRow]:
            read.append(side)
            return links(self)

        return once

    for side in ("inputs", "outputs"):
        monkeypatch.setattr(RoarDatabase, side, counted(side, getattr(RoarDatabase, side)))
    in_memory = planned(synthetic)
    for size in (1, 20_000):
        monkeypatch.setattr(kept_links, "BYTES_IN_MEMORY", size)
        assert planned(synthetic) == in_memory
    assert read == ["inputs", "outputs"] * 3


def test_the_secret_in_a_path_is_counted_once(tmp_path: Path) -> None:
    secret = "ghp_" + "a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R8"
    with Recorder(tmp_path) as recorder:
        recorder.job(1, ("a",), ("b",))
        recorder.insert("job_outputs", job_id=1, artifact_id="b", path=f"/data/{secret}/x")
    summary, units = planned(recorder.project())
    assert sum(summary.redactions.values()) == 1
    assert secret not in json.dumps(items(units, Kind.OUTPUTS))


def test_the_digest_depends_on_what_is_sent(tmp_path: Path) -> None:
    with Recorder(tmp_path) as recorder:
        recorder.job(1, ("raw",), ("model",))
        recorder.label(entity_type="job", job_id=1, metadata="{}")
    seen = {planned(recorder.project())[0].digest}
    for change in (
        "UPDATE jobs SET duration_seconds = 2",
        "UPDATE artifacts SET size = 2",
        "UPDATE job_inputs SET path = '/data/other'",
        """UPDATE labels SET metadata = '{"a":1}'""",
    ):
        with recorder.reopened() as connection, connection:
            connection.execute(change)
        seen.add(planned(recorder.project())[0].digest)
    assert len(seen) == 5


def test_units_come_in_chunks_and_the_error_of_a_sink_propagates(
    synthetic: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batches, "CHUNK_BYTES", 200_000)
    chunks: list[int] = []

    def sink(units: Iterable[Unit]) -> None:
        chunks.append(sum(len(unit.body) for unit in units))
        if len(chunks) == 2:
            raise PublisherError("the journal is full")

    with pytest.raises(PublisherError, match="the journal is full"):
        build_plan(synthetic, None, cwd=NOWHERE, identities=[], sink=sink)
    assert 200_000 <= chunks[0] < 200_000 + MAX_UNIT_BYTES


def test_an_explanation_summarizes_what_the_plan_sends(synthetic: Project) -> None:
    summary, units = planned(synthetic)
    reader = UnitReader()
    explanation = reader.explanation(
        build_plan(synthetic, None, cwd=NOWHERE, identities=["glaas:user:1"], sink=reader.take)
    )
    assert explanation.summary == summary
    assert [job.uid for job in explanation.jobs] == [job["job_uid"] for job in items(units, Kind.JOBS)]
    assert sum(job.inputs + job.outputs for job in explanation.jobs) == len(items(units, Kind.INPUTS, Kind.OUTPUTS))
    assert explanation.composites == 0


def test_memory_does_not_grow_with_the_lineage(tmp_path: Path) -> None:
    root = make_project(tmp_path / "project", jobs=4_000, links_per_job=20, seed=1)
    peaks = [peak_megabytes(root, target) for target in ("@1", None)]
    assert peaks[1] - peaks[0] < 40, f"{peaks} MB for 1 job and for 4,000"


def test_real_roar_previews_a_synthetic_project(tmp_path: Path) -> None:
    root = make_project(tmp_path / "project", jobs=30, links_per_job=4, seed=1)
    env = environment(HOME=str(tmp_path), ROAR_NO_TELEMETRY="1")
    assert "30" in run_roar_cli("register", "--public", "-y", "--dry-run", cwd=root, env=env).output()


def homes(units: Iterable[Unit]) -> dict[str, int]:
    """Return the unit that holds each job uid and digest."""
    home: dict[str, int] = {}
    for unit in units:
        for item in json.loads(unit.body) if unit.kind in NODES else ():
            home[item["job_uid"] if unit.kind is Kind.JOBS else item["hashes"][0]["digest"]] = unit.seq
    return home


def peak_megabytes(root: Path, target: str | None) -> float:
    """Return the peak memory of a process that builds this plan and drops its units."""
    program = (
        "import resource, sys; from pathlib import Path; from roar_publisher.lineage.plan import build_plan;"
        "from roar_publisher.lineage.project import find_project; root = Path(sys.argv[1]);"
        "build_plan(find_project(root), sys.argv[2] or None, cwd=root, identities=[], sink=lambda units: None);"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
    )
    command = [sys.executable, "-c", program, str(root), target or ""]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=CHECKOUT)
    unit = 1024 if sys.platform != "darwin" else 1024 * 1024
    return int(done.stdout) / unit
