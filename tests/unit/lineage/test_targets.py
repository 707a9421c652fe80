"""A target picks the jobs that roar-cli picks, in its order; an unknown one is an error."""

import json
import random
from pathlib import Path
from typing import Any

import pytest

from roar_publisher.lineage.plan import build_plan
from roar_publisher.lineage.project import Project
from roar_publisher.state.errors import LocalProblem, PublisherError, UsageProblem
from roar_publisher.state.units import Kind, Unit
from tests.support.lineage import roarcli
from tests.support.lineage.recorder import STARTED, Recorder, digest_of
from tests.support.sampling import sample

DISTRIBUTED = {"task": "ray_task:work", "noise": "ray_task:poll_status", "submit": "ray job submit -- python x.py"}
Jobs = list[tuple[str, str | None]]


@pytest.mark.parametrize("seed", sample("targets", range(80), 10))
def test_targets_pick_the_same_jobs_as_roar(seed: int, tmp_path: Path) -> None:
    chance = random.Random(seed)
    with Recorder(tmp_path) as recorder:
        random_lineage(recorder, chance)
    project, roar_dir, collector = recorder.project(), tmp_path / ".roar", roarcli.LineageCollector()
    lineages: dict[str | None, Any] = {None: collector.collect_session(1, roar_dir)}
    for artifact in recorder.made:
        lineages[digest_of(artifact)] = collector.collect([digest_of(artifact)], roar_dir)
    for step in (1, 2, 3):
        lineages[f"@{step}"] = collector.collect_step(1, step, roar_dir)
        lineages[f"@B{step}"] = collector.collect_step(1, step, roar_dir, job_type="build")
    for uid in ("00000002", "00000005"):
        lineages[uid] = collector.collect_job(uid, roar_dir)
    for target, lineage in lineages.items():
        expected = roars(lineage)
        if expected:
            assert picked(project, target) == expected, f"seed {seed}, target {target}"


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """Two sessions; the active one is a chain of three steps with a build."""
    with Recorder(tmp_path / "project") as recorder:
        recorder.job(1, (), ("tool",), job_type="build")
        recorder.job(1, ("raw",), ("clean.csv",))
        recorder.job(2, ("clean.csv",), ("model.bin",))
        recorder.job(3, ("model.bin",), ("report.txt",))
        other = recorder.session(hash="f00dcafe" * 8, metadata=json.dumps(publication("beefbeef" * 8)))
        recorder.job(1, (), ("elsewhere",), session_id=other, job_uid="abcdef01")
    return recorder.project()


@pytest.mark.parametrize(
    ("target", "uids"),
    [
        (None, ["00000001", "00000002", "00000003", "00000004"]),
        ("", ["00000001", "00000002", "00000003", "00000004"]),
        ("@2", ["00000001", "00000002", "00000003"]),
        ("@B1", ["00000001"]),
        ("@b1", ["00000001"]),
        ("00000003", ["00000001", "00000002", "00000003"]),
        ("abcd", ["abcdef01"]),
        (digest_of("clean.csv"), ["00000001", "00000002"]),
        (digest_of("clean.csv").upper(), ["00000001", "00000002"]),
        (digest_of("clean.csv")[:12], ["00000001", "00000002"]),
        (digest_of("clean.csv")[:8].upper(), ["00000001", "00000002"]),
        (f"blake3:{digest_of('clean.csv')[:12]}...", ["00000001", "00000002"]),
        (f"{digest_of('clean.csv')[:16]}…", ["00000001", "00000002"]),
        (f"blake3:{digest_of('clean.csv')}", ["00000001", "00000002"]),
        ("f00dcafe", ["abcdef01"]),
        ("f00dcafef00d...", ["abcdef01"]),
        ("f00dcafe" * 8, ["abcdef01"]),
        ("beefbeef", ["abcdef01"]),
        ("/data/model.bin", ["00000001", "00000002", "00000003"]),
        ("../../data/../data/model.bin", ["00000001", "00000002", "00000003"]),
    ],
)
def test_a_target_can_be_named_in_every_form(project: Project, target: str | None, uids: list[str]) -> None:
    cwd = Path("/somewhere/else")
    assert [uid for uid, _parent in picked(project, target, cwd)] == uids


def test_a_session_may_be_named_by_the_hash_that_roar_prints(project: Project) -> None:
    lineage = roarcli.LineageCollector().collect_session(2, project.roar_dir)
    printed = roarcli.lineage_hash(
        roarcli.published_jobs(lineage), roarcli.GitContext(None, None, None), "glaas:user:1"
    )
    assert picked(project, printed[:10], identities=["glaas:user:1"]) == [("abcdef01", None)]


def test_a_file_is_found_by_its_content(project: Project, tmp_path: Path) -> None:
    blake3 = pytest.importorskip("blake3").blake3
    (project.root / "copy").write_bytes(b"content")
    with Recorder(tmp_path / "other") as recorder:
        recorder.artifact("made", hashes={"blake3": blake3(b"content").hexdigest()})
        recorder.job(1, (), ("made",))
    (recorder.root / "moved.bin").write_bytes(b"content")
    assert picked(recorder.project(), "moved.bin", recorder.root) == [("00000001", None)]
    (recorder.root / "moved.bin").write_bytes(b"changed")
    with pytest.raises(UsageProblem, match="has not recorded"):
        picked(recorder.project(), "moved.bin", recorder.root)


def test_a_chain_of_any_depth_is_followed_to_its_start(tmp_path: Path) -> None:
    with Recorder(tmp_path) as recorder:
        for number in range(40):
            recorder.job(number + 1, (f"a{number}",), (f"a{number + 1}",))
    assert len(picked(recorder.project(), digest_of("a40"))) == 40


def test_of_many_reruns_the_latest_counts(tmp_path: Path) -> None:
    with Recorder(tmp_path) as recorder:
        recorder.job(1, ("raw",), ("model",))
        for _run in range(3):
            task = DISTRIBUTED["task"]
            recorder.job(1, ("raw",), ("part",), parent_job_uid="00000001", command=task)
    lineage = roarcli.LineageCollector().collect([digest_of("model")], recorder.project().roar_dir)
    assert picked(recorder.project(), digest_of("model")) == roars(lineage)
    assert [uid for uid, _parent in roars(lineage)] == ["00000001", "00000004"]


def test_jobs_with_cyclic_parents_are_published(tmp_path: Path) -> None:
    with Recorder(tmp_path) as recorder:
        recorder.job(1, parent_job_uid="00000002")
        recorder.job(2, parent_job_uid="00000003")
        recorder.job(3, parent_job_uid="00000001")
        recorder.job(4, parent_job_uid="00000004")
    jobs = picked(recorder.project(), None)
    assert sorted(uid for uid, _parent in jobs) == [f"{number:08x}" for number in (1, 2, 3, 4)]
    places = {uid: place for place, (uid, _parent) in enumerate(jobs)}
    assert all(places[parent] < places[uid] for uid, parent in jobs if parent is not None)


@pytest.mark.parametrize(
    ("target", "what", "hint"),
    [
        ("@9", "no step @9", "@B1, @1, @2, @3"),
        ("@B2", "no step @B2", "@B1"),
        ("0000", "several jobs", "00000001"),
        ("/data/modle.bin", "names no", "/data/model.bin"),
        ("deadbeef", "names no", "nothing"),
        ("x" * 5000, "names no", "nothing"),
        ("a\0b", "names no", "nothing"),
        ("/data", "names no", "nothing"),
        ("/data/nofile.txt", "names no", "nothing"),
        ("reports.txt", "names no", "/data/report.txt"),
        (digest_of("raw"), "no recorded job made", "roar publish"),
        (digest_of("unknown"), "names no", "nothing"),
    ],
)
def test_an_unknown_target_is_refused_with_similar_names(project: Project, target: str, what: str, hint: str) -> None:
    with pytest.raises(UsageProblem) as caught:
        picked(project, target)
    assert what in caught.value.what
    assert hint in caught.value.next_step


def test_a_folder_is_said_to_be_one(project: Project, tmp_path: Path) -> None:
    (tmp_path / "out puts").mkdir()
    with pytest.raises(UsageProblem, match="is a folder") as caught:
        picked(project, str(tmp_path / "out puts"))
    assert f"roar put '{tmp_path}/out puts' DEST" in caught.value.next_step


def test_an_unknown_step_is_answered_with_the_latest_ones(tmp_path: Path) -> None:
    with Recorder(tmp_path) as recorder:
        for step in range(1, 8):
            recorder.job(step)
    with pytest.raises(UsageProblem, match="no step @9") as caught:
        picked(recorder.project(), "@9")
    assert caught.value.next_step.endswith(": …, @3, @4, @5, @6, @7")


def test_a_missing_session_is_reported_with_a_remedy(tmp_path: Path) -> None:
    with Recorder(tmp_path) as recorder:
        recorder.job(1)
        recorder.connection.execute("UPDATE sessions SET is_active = 0")
    with pytest.raises(LocalProblem, match="no roar session is active"):
        picked(recorder.project(), None)
    assert picked(recorder.project(), "00000001") == [("00000001", None)]


def test_a_session_without_jobs_has_nothing_to_publish(tmp_path: Path) -> None:
    with Recorder(tmp_path) as recorder:
        recorder.job(1, execution_role="noise")
    with pytest.raises(LocalProblem, match="nothing to publish"):
        picked(recorder.project(), None)


@pytest.mark.parametrize("column", ["job_uid", "step_number"])
def test_an_incomplete_job_is_reported(tmp_path: Path, column: str) -> None:
    with Recorder(tmp_path) as recorder:
        recorder.job(1)
        recorder.connection.execute(f"UPDATE jobs SET {column} = NULL")
    with pytest.raises(PublisherError, match="no uid or no step number"):
        picked(recorder.project(), None)


COLUMNS = ["command", "timestamp", "git_commit", "git_branch", "duration_seconds", "exit_code", "job_type", "metadata"]


@pytest.mark.parametrize("column", COLUMNS)
def test_a_job_recorded_as_bytes_is_reported(tmp_path: Path, column: str) -> None:
    with Recorder(tmp_path) as recorder:
        uid = recorder.job(1)
        recorder.connection.execute(f"UPDATE jobs SET {column} = ?", [b"caf\xe9 --now"])
        recorder.job(2)
    with pytest.raises(LocalProblem, match=f"job {uid} .* holds bytes"):
        picked(recorder.project(), None)
    assert picked(recorder.project(), "00000002") == [("00000002", None)]


@pytest.mark.parametrize(("table", "column"), [("job_inputs", "path"), ("artifacts", "size")])
def test_a_link_recorded_as_bytes_is_sent_as_text_and_number(tmp_path: Path, table: str, column: str) -> None:
    with Recorder(tmp_path) as recorder:
        recorder.job(1, ("raw",))
        recorder.connection.execute(f"UPDATE {table} SET {column} = CAST('12' AS BLOB)")
    assert len(picked(recorder.project(), None)) == 1


def test_a_published_hash_means_what_was_published_under_it(tmp_path: Path) -> None:
    """Both sessions were published for the same file, which is why they have the hash in common."""
    note = publication("ab" * 32, jobs={"00000001": "1" * 32})
    with Recorder(tmp_path) as recorder:
        recorder.job(1)
        recorder.job(2)
        recorder.connection.execute("UPDATE sessions SET metadata = ?", (json.dumps(note),))
        recorder.session(metadata=json.dumps(note))
    for target in ("ab" * 32, "ab" * 6):
        assert [uid for uid, _parent in picked(recorder.project(), target)] == ["00000001"]


def test_a_lineage_that_is_no_longer_whole_is_not_published_under_its_hash(tmp_path: Path) -> None:
    with Recorder(tmp_path) as recorder:
        recorder.job(1)
        note = publication("ab" * 32, jobs={"00000001": "1" * 32, "gone": "2" * 32})
        recorder.connection.execute("UPDATE sessions SET metadata = ?", (json.dumps(note),))
    with pytest.raises(UsageProblem, match="no longer has all jobs"):
        picked(recorder.project(), "ab" * 32)


def test_a_session_that_cannot_be_published_hides_no_other(tmp_path: Path) -> None:
    with Recorder(tmp_path) as recorder:
        recorder.job(1)
        recorder.job(1, session_id=recorder.session(), job_uid="incomplete", step_number=None)
    with pytest.raises(UsageProblem, match="names no file"):
        picked(recorder.project(), "cd" * 32)


def picked(
    project: Project, target: str | None, cwd: Path = Path("/nowhere"), identities: list[str] | None = None
) -> Jobs:
    """Return (uid, parent's uid) of the jobs that a publish of the target sends, in order."""
    units: list[Unit] = []
    build_plan(project, target, cwd=cwd, identities=identities or [], sink=units.extend)
    jobs = [job for unit in units if unit.kind is Kind.JOBS for job in json.loads(unit.body)]
    return [(job["job_uid"], job.get("parent_job_uid")) for job in jobs]


def roars(lineage: Any) -> Jobs:
    return [(job["job_uid"], job["parent_job_uid"] or None) for job in roarcli.published_jobs(lineage)]


def publication(session_hash: str, **more: Any) -> dict[str, Any]:
    return {"roar": {"remote_publication": {"glaas": {"session_hash": session_hash} | more}}}


def random_lineage(recorder: Recorder, chance: random.Random) -> None:
    """Up to fourteen jobs over eight artifacts: builds, re-runs, distributed tasks, noise, another session."""
    other = recorder.session()
    for name in range(8):
        recorder.artifact(f"a{name}")
    for number in range(chance.randrange(2, 14)):
        step = chance.randrange(1, 4)
        reads = tuple(f"a{name}" for name in chance.sample(range(8), chance.randrange(3)))
        writes = tuple(f"a{name}" for name in chance.sample(range(8), chance.randrange(3)))
        kind = chance.choice(["run", "run", "run", "build", "task", "noise", "submit"])
        columns: dict[str, Any] = {"timestamp": STARTED + chance.randrange(50) + number / 100}
        if kind == "build":
            columns["job_type"] = "build"
        elif kind in DISTRIBUTED:
            # The command, too: roar-cli forgets the role of a job that it finds through an artifact.
            columns |= {"execution_backend": "ray", "execution_role": kind, "command": DISTRIBUTED[kind]}
        if kind == "task":
            # roar-cli never returns from a circle of parents.
            columns["parent_job_uid"] = chance.choice(["gone", *(f"{earlier + 1:08x}" for earlier in range(number))])
        if chance.random() < 0.15:
            columns["session_id"] = other
        recorder.job(step, reads, writes, **columns)


def test_a_prefix_of_several_digests_is_ambiguous(tmp_path: Path) -> None:
    with Recorder(tmp_path) as recorder:
        for number in (1, 2):
            recorder.artifact(f"made{number}", hashes={"blake3": "abcdabcd" + f"{number:056x}"})
        recorder.job(1, (), ("made1", "made2"))
    with pytest.raises(UsageProblem, match="matches several digests") as refused:
        picked(recorder.project(), "abcdabcd")
    assert f"abcdabcd{1:056x}" in refused.value.next_step
    assert picked(recorder.project(), f"abcdabcd{1:056x}")
