"""What a put stored is fetched again: whole, verified, and nothing twice."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.put.conftest import MakePlace
from tests.support.put.destinations import KINDS
from tests.support.put.forked_program import ProgramResult
from tests.support.put.place import Place


def put(place: Place) -> str:
    """Put, and return the hash of the lineage."""
    answer = place.put()
    assert answer.code == 0, answer.err
    return place.check_published_once()


def fetched_files(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def events(answer: ProgramResult) -> list[dict[str, Any]]:
    return [json.loads(line) for line in answer.out.splitlines()]


@pytest.mark.parametrize("kind", KINDS)
def test_what_was_put_is_fetched_once_and_only_if_it_is_right(kind: str, make_place: MakePlace) -> None:
    place = make_place(kind)
    lineage = put(place)
    folder = place.folder / "restored"

    everything = events(fetch_json(place, lineage[:12], folder))

    found = fetched_files(folder)
    assert {name: place.files[name] for name in found} == found
    assert set(found.values()) == set(place.files.values())
    assert {one["event"] for one in everything} - {"progress"} == {"fetched", "done"}
    size = sum(map(len, found.values()))
    numbers = {"fetched": len(found), "present": 0, "failed": 0, "bytes": size}
    assert everything[-1] == {"event": "done", "folder": str(folder), **numbers}
    stamps = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    place.seen.clear()

    again = events(fetch_json(place, lineage, folder))

    assert {one["event"] for one in again} == {"present", "done"}
    assert place.seen == []
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == stamps

    changed, deleted, *_ = sorted(name for name, content in found.items() if content)
    for name in (changed, deleted):
        (folder / name).unlink()
        place.destination.delete(name)
    place.destination.write(changed, bytes(byte ^ 1 for byte in place.files[changed]))

    answer = place.roar("fetch", lineage, "--to", str(folder), "--json")

    assert answer.code == 1
    failed = {one["path"]: one["why"] for one in events(answer) if one["event"] == "failed"}
    assert failed.keys() == {changed, deleted}
    assert "not those of the lineage" in failed[changed]
    assert "no longer in its store" in failed[deleted]
    assert events(answer)[-1]["event"] == "error"
    assert fetched_files(folder).keys() == found.keys() - failed.keys(), "nothing incomplete stays"


def test_files_are_chosen_and_another_content_is_replaced_only_with_force(make_place: MakePlace) -> None:
    place = make_place("file")
    lineage = put(place)
    folder = place.folder / "restored"
    everything = {one["path"]: one["digest"] for one in events(fetch_json(place, lineage, folder)) if "path" in one}
    shutil.rmtree(folder)
    first, second, *_ = everything

    fetch_json(place, lineage, folder, first, everything[second][:10])

    assert set(fetched_files(folder)) == {first, second}
    none = place.roar("fetch", lineage, "no-such-file", "--to", str(folder))
    assert none.code == 2
    assert "no-such-file" in none.err
    shutil.rmtree(folder)
    fetch_json(place, everything[first], folder)
    assert set(fetched_files(folder)) == {first}, "the digest of a file leads to its lineage"

    (folder / first).write_bytes(b"mine")
    kept = place.roar("fetch", lineage, first, second, "--to", str(folder), "--json")

    assert kept.code == 1
    failed = {one["path"]: one["why"] for one in events(kept) if one["event"] == "failed"}
    assert failed.keys() == {first}
    assert "different content" in failed[first]
    assert (folder / first).read_bytes() == b"mine"
    assert (folder / second).read_bytes() == place.files[second], "the others are fetched nevertheless"
    assert place.roar("fetch", lineage, first, "--to", str(folder), "--force").code == 0
    assert (folder / first).read_bytes() == place.files[first]
    assert place.roar("fetch", "0" * 64).code == 1
    assert place.roar("fetch", "../../etc").code == 2
    assert place.roar("fetch", "--resume", "--to", str(folder)).code == 2


@pytest.mark.parametrize("by", ["hash", "beginning", "id"])
def test_what_this_machine_published_is_asked_of_the_registry_that_has_it(by: str, make_place: MakePlace) -> None:
    place = make_place("file")
    lineage = put(place)
    folder = place.folder / "restored"
    named = {"hash": lineage, "beginning": lineage[:8], "id": place.only_publish().paths.id}[by]

    place.env["GLAAS_URL"] = ""
    fetch_json(place, named, folder)
    assert set(fetched_files(folder).values()) == set(place.files.values())

    place.env["GLAAS_URL"] = f"{place.registry}-empty"
    elsewhere = place.roar("fetch", named, "--to", str(folder))
    assert elsewhere.code == 1
    assert f"if another registry than {place.registry}-empty has it" in elsewhere.err


def fetch_json(place: Place, lineage: str, folder: Path, *patterns: str) -> ProgramResult:
    answer = place.roar("fetch", lineage, *patterns, "--to", str(folder), "--json")
    assert answer.code == 0, answer.err + answer.out
    return answer
