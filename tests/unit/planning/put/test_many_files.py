"""A put of more files than a registry reads addresses of: what is sent instead, and what is refused."""

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from roar_publisher.fetching.locating import PutJobs, places_in
from roar_publisher.fetching.reading import served_job
from roar_publisher.lineage.batches import MAX_ITEM_BYTES
from roar_publisher.lineage.plan import build_plan
from roar_publisher.lineage.project import find_project
from roar_publisher.lineage.selection import JOB_TEXT_LIMITS
from roar_publisher.planning.put.record_writer import record_put
from roar_publisher.state.errors import UsageProblem
from roar_publisher.state.units import Kind, Unit
from tests.support.put.projects import DESTINATION, Planned, plan, put_project, write

MANY = 1_300
"""More than a registry reads: their addresses take 109 kB."""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return put_project(tmp_path)


def write_many(root: Path, many: int, name: str = "sample") -> None:
    write(root, {f"many/{number % 9}/{name}-{number:06d}.json": str(number) for number in range(many)})


def put_job(planned: Planned) -> dict[str, Any]:
    (job,) = [job for job in planned.items(Kind.JOBS) if job["job_type"] == "put"]
    return job


def located(job: dict[str, Any], inputs: list[dict[str, Any]]) -> dict[str, str]:
    """Return the address of each input, by digest, as a reader of the lineage finds it."""
    found = PutJobs()
    found.add(served_job({**job, "inputs": inputs}), frozenset())
    return {place.digest: place.url for place in places_in(found.matched())}


def test_what_fits_is_sent_whole(root: Path) -> None:
    write_many(root, 1_000)
    planned = plan(root, "many")
    metadata = json.loads(put_job(planned)["metadata"])
    assert metadata == json.loads(planned.record.sent)
    assert len(metadata["put"]["artifacts"]) == 1_000
    assert "addresses" not in metadata["put"]
    assert planned.summary.provisional == planned.summary.published


def test_the_addresses_of_many_files_follow_from_their_folder(root: Path) -> None:
    write_many(root, MANY)
    planned = plan(root, "many")
    job = put_job(planned)
    assert len(json.dumps(job)) < 5_000
    put = json.loads(job["metadata"])["put"]
    assert put["addresses"] == {"folders": [[str(root / "many"), DESTINATION]], "files": {}}
    assert located(job, planned.items(Kind.INPUTS)) == {file.digest: file.url for file in planned.record.files}
    assert len(json.loads(planned.record.kept)["put"]["artifacts"]) == MANY, "roar.db has them all"
    assert planned.summary.provisional != planned.summary.published, "the hash is that of what is sent"


def test_the_session_of_such_a_put_can_be_published(root: Path) -> None:
    """roar.db has the complete metadata, also of what roar-cli has put and could not register."""
    write_many(root, MANY)
    record = plan(root, "many").record
    record_put(root / ".roar" / "roar.db", record)
    units: list[Unit] = []
    build_plan(find_project(root), None, cwd=root, identities=(), sink=units.extend)
    assert max(len(unit.body) for unit in units) <= MAX_ITEM_BYTES
    jobs = [job for unit in units if unit.kind is Kind.JOBS for job in json.loads(unit.body)]
    (job,) = [job for job in jobs if job["job_uid"] == record.job_uid]
    inputs = [
        link
        for unit in units
        if unit.kind is Kind.INPUTS and unit.job_uid == record.job_uid
        for link in json.loads(unit.body)
    ]
    assert located(job, inputs) == {file.digest: file.url for file in record.files}


def test_what_roar_db_would_not_give_back_is_kept_in_the_short_form(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(JOB_TEXT_LIMITS, "metadata", 20_000)
    write_many(root, 400)
    planned = plan(root, "many")
    assert json.loads(planned.record.kept)["put"]["artifacts"] == {}
    label: Any = planned.record.label["roar"]
    assert label["put"]["artifact_count"] == 400
    found = located(put_job(planned), planned.items(Kind.INPUTS))
    assert found == {file.digest: file.url for file in planned.record.files}
    record_put(root / ".roar" / "roar.db", planned.record)
    build_plan(find_project(root), None, cwd=root, identities=(), sink=lambda units: None)


def test_files_that_are_named_one_by_one_are_refused_past_the_limit(root: Path) -> None:
    write_many(root, MANY, "a-rather-long-name-of-a-sample-which-makes-the-command-long-enough-for-that")
    names = sorted(str(path.relative_to(root)) for path in (root / "many").rglob("*.json"))
    with pytest.raises(UsageProblem, match=r"the put job takes 1\d\d,\d{3} bytes in the lineage") as refused:
        plan(root, *names)
    assert "name a folder" in (refused.value.next_step or "")
    assert len(plan(root, *names[:200]).items(Kind.INPUTS)) == 200


def test_addresses_that_do_not_follow_from_folders_are_refused_past_the_limit(root: Path) -> None:
    """Of each pair of equal files the lineage has the first path, and the put has the second address."""
    write(root, {f"many/{name}{number:06d}.json": str(number) for number in range(700) for name in "xy"})
    with pytest.raises(UsageProblem, match=r"step 3 \(roar put many .*…\) takes .* and a registry accepts only"):
        plan(root, "many", destination=f"s3://bucket/{'long/' * 40}")


def test_a_step_that_no_registry_reads_is_refused_before_anything_is_stored(root: Path) -> None:
    with closing(sqlite3.connect(root / ".roar" / "roar.db")) as connection, connection:
        connection.execute(
            "UPDATE jobs SET metadata = ? WHERE step_number = 1", (json.dumps({"x": "x" * MAX_ITEM_BYTES}),)
        )
    with pytest.raises(UsageProblem, match=r"step 1 \(.*\) takes 10\d,\d{3} bytes") as refused:
        plan(root, "model.bin")
    assert refused.value.next_step == "put files that do not come from it"
