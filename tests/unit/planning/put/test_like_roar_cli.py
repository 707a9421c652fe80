"""A put is planned and recorded as real roar-cli 0.4.7 sends and records it."""

import json
import os
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from roar_publisher.planning.put.record_writer import record_put
from roar_publisher.state.units import Kind
from tests.support.cli.roar_cli import run_roar_cli
from tests.support.processes import environment
from tests.support.put.projects import DESTINATION, Planned, commit, plan, put_project, write
from tests.support.put.recorder import Conversation, recording_registry
from tests.support.storage.servers import AWS, moto

TIMEOUT_SECONDS = 120
Prepare = Callable[[Path], None]


def nothing_more(_root: Path) -> None:
    """The project as it was captured."""


def folders(root: Path) -> None:
    """Make a folder with a symlink and a non-ASCII name, and loose files."""
    os.makedirs(root / "plain" / "inner")
    os.symlink("../../loose.txt", root / "plain" / "inner" / "link.txt")
    write(root, {"plain/a.txt": "a", "plain/größe 测试.bin": b"\0\1", "plain/README.md": "no", "loose.txt": "loose"})


def formats(root: Path) -> None:
    """Make every layout that is a dataset by itself, one of them with two datasets in it."""
    write(
        root,
        {
            f"tables/{split}/date=2024-01-0{day}/part-0000{day}.parquet": f"{split}{day}"
            for split in ("train", "val")
            for day in (1, 2, 3)
        }
        | {"tables/notes.txt": "no", "tables/README.md": "no"}
        | {f"stores/{name}.zarr/{file}": f"{name}{file}" for name in "ab" for file in (".zgroup", "0.0")}
        | {f"robots/{file}": file for file in ("meta/info.json", "data/chunk-0/e.parquet", "videos/v.mp4", "x.txt")}
        | {f"rlds/{file}": f"rlds{file}" for file in ("dataset_info.json", "features.json", "d.tfrecord-00000-of-1")}
        | {f"web/shard-{number}.tar": f"tar{number}" for number in range(3)}
        | {f"pics/train/cats/{number:05}.jpg": f"cat{number}" for number in range(9)}
        | {"lake/t.lance/data/0.lance": "0", "lake/t.lance/_versions/1.manifest": "1"},
    )


CASES: dict[str, tuple[Prepare, tuple[str, ...], dict[str, Any]]] = {
    "session outputs": (nothing_more, (), {}),
    "a step": (nothing_more, ("@2",), {"message": "it's $HOME", "tag": False}),
    "one file": (nothing_more, ("model.bin",), {"name": "release candidate"}),
    "a declared dataset": (folders, ("plain", "loose.txt", "model.bin"), {"dataset": True}),
    "a plain folder": (folders, ("plain",), {}),
    "formats": (formats, ("tables", "stores", "robots", "rlds", "web", "pics", "lake"), {}),
    "loose shards": (formats, tuple(f"web/shard-{number}.tar" for number in range(3)), {"destination": "s3://bucket"}),
}


@pytest.fixture(scope="module")
def store() -> Iterator[str]:
    with moto() as address:
        yield address


@pytest.fixture(scope="module", params=CASES)
def both(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, store: str
) -> tuple[Path, Planned, Conversation]:
    """One put, planned by us and performed by roar-cli; `before.db` is roar.db before it."""
    prepare, sources, options = CASES[request.param]
    root = put_project(tmp_path_factory.mktemp("put"))
    prepare(root)
    commit(root)
    planned = plan(root, *sources, **options)
    shutil.copy(root / ".roar" / "roar.db", root.parent / "before.db")
    with recording_registry() as (registry, requests):
        roar_put(root, registry, store, *sources, **options)
    return root, planned, requests


def roar_put(root: Path, registry: str, store: str, *sources: str, **options: Any) -> None:
    """Run the real `roar put`."""
    flags = [*(["--dataset"] if options.get("dataset") else []), *([] if options.get("tag", True) else ["--no-tag"])]
    flags += ["-n", options["name"]] if "name" in options else []
    destination, message = options.get("destination", DESTINATION), options.get("message", "a message")
    home = {"HOME": str(root.parent), "GLAAS_URL": registry, "AWS_ENDPOINT_URL": store, "DO_NOT_TRACK": "1"}
    command = ("put", *sources, destination, "-m", message, "--public", "-y", *flags)
    run_roar_cli(*command, cwd=root, env=environment(**AWS, **home)).output()


def test_the_same_is_sent(both: tuple[Path, Planned, Conversation]) -> None:
    _root, planned, requests = both
    theirs, ours = by_roar_cli(requests), by_us(planned)
    assert theirs["jobs"] == ours["jobs"]
    assert theirs["artifacts"] == ours["artifacts"]
    assert theirs["composites"] == ours["composites"]
    assert theirs["links"] == ours["links"]
    assert theirs["expected"] == ours["expected"]


def test_the_labels_include_those_of_roar_cli(both: tuple[Path, Planned, Conversation]) -> None:
    _root, planned, requests = both
    ours = planned.items(Kind.LABELS)
    of_job = next(label for label in ours if label.get("job_uid") == planned.record.job_uid)
    assert of_job["metadata"].pop("name", None) == planned.record.name, "roar-cli sends the name with the next push"
    of_job["key_origins"].pop("name", None)
    sent = [label for path, body in requests if path == "labels/batch" for label in body["labels"]]
    assert len(sent) > 1
    for label in sent:
        label.pop("session_hash")
        if label.pop("job_uid", None):
            label["job_uid"] = planned.record.job_uid
        assert label in ours


def test_the_same_is_recorded(both: tuple[Path, Planned, Conversation]) -> None:
    root, planned, _without_none = both
    before = root.parent / "before.db"
    record_put(before, planned.record)
    ours, theirs = rows(before), rows(root / ".roar" / "roar.db")
    assert ours.keys() == theirs.keys()
    for table in theirs:
        assert ours[table] == theirs[table], table


def by_roar_cli(requests: Conversation) -> dict[str, Any]:
    """Summarise recorded requests: jobs by step, the first of every artifact, links by step."""
    jobs = [job for path, body in requests if path == "jobs/batch" for job in body["jobs"]]
    jobs += [body for path, body in requests if path == "jobs"]
    steps = {job["job_uid"]: job["step_number"] for job in jobs}
    links = {
        (steps[path.split("/")[1]], path.split("/")[2]): body["artifacts"]
        for path, body in requests
        if path.endswith(("/inputs", "/outputs"))
    }
    return {
        "jobs": [comparable_job(job) for job in jobs],
        "artifacts": first_of_each(
            item for path, body in requests if path == "artifacts/batch" for item in body["artifacts"]
        ),
        "composites": composites(body for path, body in requests if path == "artifacts/composites"),
        "links": in_order(links),
        "expected": next(body["expected"] for path, body in requests if path == "finalize"),
    }


def by_us(planned: Planned) -> dict[str, Any]:
    """Summarise a plan in the same form."""
    jobs = planned.items(Kind.JOBS)
    steps = {job["job_uid"]: job["step_number"] for job in jobs}
    links: dict[tuple[int, str], list[dict[str, Any]]] = {}
    for kind in (Kind.INPUTS, Kind.OUTPUTS):
        for uid, items in planned.by_job(kind):
            links.setdefault((steps[str(uid)], kind.value), []).extend(items)
    counts = planned.summary
    return {
        "jobs": [comparable_job(job) for job in jobs],
        "artifacts": first_of_each(planned.items(Kind.ARTIFACTS)),
        "composites": composites(planned.items(Kind.COMPOSITE)),
        "links": in_order(links),
        "expected": {"jobs": counts.jobs, "inputs": counts.inputs, "outputs": counts.outputs},
    }


def comparable_job(job: dict[str, Any]) -> dict[str, Any]:
    """Return a job without its uid, and a put job without its time and the ids of new artifacts."""
    metadata = json.loads(job["metadata"])
    job = job | {"metadata": metadata, "job_uid": "", "parent_job_uid": ""}
    if job["job_type"] == "put":
        job |= {"timestamp": 0, "metadata": comparable_put(metadata)}
    return job


def comparable_put(metadata: dict[str, Any]) -> dict[str, Any]:
    put = metadata["put"]
    composites = [composite | {"local_artifact_id": ""} for composite in put["composites"]]
    return {"put": put | {"timestamp": 0, "artifacts": sorted(put["artifacts"].values()), "composites": composites}}


def first_of_each(artifacts: Any) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for artifact in artifacts:
        found.setdefault(artifact["hashes"][0]["digest"], artifact)
    return found


def composites(bodies: Any) -> dict[str, Any]:
    return {
        body["hash"]: {name: value for name, value in body.items() if name != "session_hash"}
        | {"metadata": json.loads(body["metadata"])}
        for body in bodies
    }


def in_order(links: dict[tuple[int, str], list[dict[str, Any]]]) -> dict[tuple[int, str], list[dict[str, Any]]]:
    return {key: sorted(items, key=lambda item: (item["path"], item["hash"])) for key, items in links.items()}


def rows(database: Path) -> dict[str, list[Any]]:
    """Return the rows of all tables that a put writes, without times and random names; digests replace ids."""
    with closing(sqlite3.connect(database)) as connection:
        connection.row_factory = sqlite3.Row
        digests = dict(connection.execute("SELECT artifact_id, digest FROM artifact_hashes").fetchall())
        found: dict[str, list[Any]] = {}
        for table in ("jobs", "artifacts", "artifact_hashes", "labels", "job_inputs", "job_outputs", "sessions"):
            found[table] = [comparable_row(dict(row), digests) for row in connection.execute(f"SELECT * FROM {table}")]
        for table in ("composite_artifact_components", "composite_membership_indexes", "jobs_fts"):
            found[table] = [comparable_row(dict(row), digests) for row in connection.execute(f"SELECT * FROM {table}")]
    return {table: sorted(all_, key=lambda row: json.dumps(row, sort_keys=True)) for table, all_ in found.items()}


def comparable_row(row: dict[str, Any], digests: dict[str, str]) -> dict[str, Any]:
    for name in ("created_at", "first_seen_at", "synced_at", "timestamp"):
        row.pop(name, None)
    for name in ("artifact_id", "composite_artifact_id"):
        if row.get(name):
            row[name] = digests[row[name]]
    if "kind" in row:
        row["id"] = digests[row["id"]]
    elif "entity_type" in row or "leaf_kind" in row:
        del row["id"]  # the numbers depend on the order of insertion
    if row.get("metadata"):
        row["metadata"] = json.loads(row["metadata"])
    if row.get("job_type") == "put":
        row |= {"job_uid": "", "metadata": comparable_put(row["metadata"])}
    return row
