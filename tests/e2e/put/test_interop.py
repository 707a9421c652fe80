"""Our put compared with that of real roar-cli, and roar-cli after our put."""

import json
import shutil
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.put.conftest import MakePlace
from tests.support.put.place import MESSAGE, Place
from tests.support.put.project import git, roar_cli
from tests.unit.planning.put.test_like_roar_cli import comparable_put, rows

REMOTE = "https://git.example.org/acme/release.git"
OPTIONS: dict[str, tuple[str, ...]] = {"plain": (), "a named dataset": ("--no-tag", "-n", "release", "--dataset")}


@pytest.mark.parametrize("name", OPTIONS)
def test_readers_and_roar_db_see_no_difference_from_roar_cli(name: str, make_place: MakePlace) -> None:
    place = make_place("s3")
    if "--no-tag" in OPTIONS[name]:  # with a tag, both would push it there
        git(place.project, "remote", "add", "origin", REMOTE)
    shutil.copytree(place.project / ".roar", place.folder / "before")

    theirs = put_by_roar_cli(place, *OPTIONS[name])
    assert place.destination.objects() == place.files
    their_rows = recorded(place.project / ".roar" / "roar.db")
    go_back(place)
    answer = place.put(*OPTIONS[name])

    assert answer.code == 0, answer.err
    place.check_published_once()
    ours = published(place.registry)
    assert labels(theirs) <= labels(ours), "roar-cli leaves some for its next push"
    assert without_labels(ours) == without_labels(theirs)
    our_rows = recorded(place.project / ".roar" / "roar.db")
    assert our_rows.keys() == their_rows.keys()
    for table in our_rows:
        assert our_rows[table] == their_rows[table], table


@pytest.mark.parametrize("kind", ["s3", "file"])
def test_roar_cli_works_after_our_put(kind: str, make_place: MakePlace) -> None:
    place = make_place(kind)
    assert place.put("-n", "release").code == 0
    ((uid,),) = place.rows("SELECT job_uid FROM jobs WHERE job_type = 'put'")

    assert uid in roar_cli(place.project, "log")
    assert uid in roar_cli(place.project, "show")
    shown = roar_cli(place.project, "show", "@3")
    assert all(Path(key).name in shown for key in place.files)
    assert "@3 release" in roar_cli(place.project, "dag")
    roar_cli(place.project, "run", "python", "train.py")
    assert place.rows("SELECT count(*) FROM jobs") == [(4,)]


def put_by_roar_cli(place: Place, *options: str) -> dict[str, Any]:
    """Run the real `roar put` with a registry of its own, and return what its readers get."""
    registry = f"{place.registry}-theirs"
    typed = ("put", "outputs", place.destination.url, "-m", MESSAGE, "--public", "-y", *options)
    roar_cli(place.project, *typed, GLAAS_URL=registry, **place.destination.env)
    return published(registry)


def go_back(place: Place) -> None:
    """Undo the put of roar-cli."""
    shutil.rmtree(place.project / ".roar")
    (place.folder / "before").rename(place.project / ".roar")
    for tag in git(place.project, "tag", "--list").split():
        git(place.project, "tag", "--delete", tag)


def published(registry: str) -> dict[str, Any]:
    """Return the only lineage of a registry as its readers get it, without times and what depends on them."""
    with urllib.request.urlopen(f"{registry}/published") as reply:
        count, lineage_hash, *_ = json.load(reply)
    assert count == 1
    with urllib.request.urlopen(f"{registry}/api/v1/sessions/{lineage_hash}") as reply:
        lineage: dict[str, Any] = json.load(reply)
    for name in ("hash", "published_at", "url"):
        del lineage[name]
    lineage["git_repo"] = lineage["git_repo"] or None
    for job in lineage["jobs"]:
        del job["job_uid"]
        if job["job_type"] == "put":
            del job["timestamp"]
            job["metadata"] = comparable_put(job["metadata"])
            for dataset in job["metadata"]["put"]["composites"]:
                dataset.pop("created", None)
    return lineage


def without_labels(lineage: dict[str, Any]) -> dict[str, Any]:
    jobs = [{name: value for name, value in job.items() if name != "labels"} for job in lineage["jobs"]]
    return lineage | {"jobs": jobs}


def labels(lineage: dict[str, Any]) -> set[tuple[int, str, str]]:
    """Return (step, label, value) of every job."""
    return {
        (job["step_number"], name, json.dumps(value, sort_keys=True))
        for job in lineage["jobs"]
        for name, value in job["labels"].items()
    }


def recorded(database: Path) -> dict[str, list[Any]]:
    """Return the rows that a put leaves, without two facts that only one side records.

    Ours is the session's note of where it is published (protocol.md §7); theirs is whether the registry, when it was
    informed of a dataset, had known it before.
    """
    found = rows(database)
    for job in found["jobs"]:
        for dataset in (job["metadata"] or {}).get("put", {}).get("composites", []):
            dataset.pop("created", None)
    for session in found["sessions"]:
        roar = (session["metadata"] or {}).get("roar", {})
        roar.pop("remote_publication", None)
        if not roar:
            session["metadata"] = None
    return found
