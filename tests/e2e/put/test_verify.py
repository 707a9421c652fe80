"""`roar verify` of what a put stored: proven, and every kind of damage distinguished."""

import json
from urllib.parse import unquote

import pytest

from tests.e2e.put.conftest import MakePlace
from tests.support.put.destinations import KINDS


@pytest.mark.parametrize("kind", KINDS)
def test_damaged_objects_are_told_apart(kind: str, make_place: MakePlace) -> None:
    place = make_place(kind)
    assert place.put().code == 0
    lineage = place.check_published_once()

    answer = place.roar("verify", lineage, "--json")

    assert (answer.code, answer.err) == (0, "")
    proven = json.loads(answer.out)
    objects = proven["objects"]
    assert objects["proven"] == len(place.destination.keys())
    read = {"file": objects["proven"], "gs": 0, "s3": 1}  # rclone names an object in parts differently afterwards
    assert objects["by_reading"] == read[kind]
    assert (objects["missing"], objects["changed"], objects["problems"]) == (0, 0, [])
    full = place.roar("verify", lineage, "--full")
    assert full.code == 0, full.err
    assert f"{objects['proven']} of {objects['proven']} proven ({objects['proven']} by reading " in full.out

    stored = place.destination.objects()
    changed, deleted, cut, *_ = sorted(name for name, content in stored.items() if len(content) > 9)
    place.destination.write(changed, bytes(byte ^ 1 for byte in place.destination.read(changed)))
    place.destination.write(cut, place.destination.read(cut)[:-1])
    place.destination.delete(deleted)

    answer = place.roar("verify", lineage, "--json")

    assert answer.code == 1
    found = json.loads(answer.out)
    assert (found["proven"], found["exit_code"], found["differences"]) == (False, 1, [])
    expected = {changed: "changed", deleted: "missing", cut: "truncated"}
    found = {
        name: each["finding"]
        for each in found["objects"]["problems"]
        for name in expected
        if unquote(each["url"]).endswith(f"/{name}")
    }
    assert found == expected
    assert place.roar("verify", lineage, "--no-objects").code == 0
    drawn = place.roar("verify", lineage, "--sample", "100%", "--seed", "7")
    assert drawn.code == 1
    assert "Objects of a sample (--seed 7)" in drawn.out

    written = {name: place.destination.read(name) for name in stored if name not in expected}
    place.seen.clear()
    answer = place.roar("verify", lineage, "--repair", "--json")
    found = json.loads(answer.out)
    assert (answer.code, len(found["repaired"]), found["not_repaired"]) == (0, 3, [])
    assert place.destination.objects() == stored
    sent = {key for key, _part in place.destination.parts_sent(place.seen, {})}
    assert not sent & written.keys(), "what is right is not written"
    assert place.roar("verify", lineage, "--full").code == 0
    assert not list((place.state.root / "repairs").glob("*"))


def test_what_has_no_local_file_is_named_and_found_in_a_folder(make_place: MakePlace) -> None:
    place = make_place("file")
    assert place.put().code == 0
    lineage = place.check_published_once()
    name = max(place.destination.keys(), key=lambda key: len(place.destination.read(key)))
    content = place.destination.read(name)
    backup = place.folder / "backup" / "deep"
    backup.mkdir(parents=True)
    (backup / "another").write_bytes(bytes(len(content)))
    for path in place.project.rglob("*"):
        if path.is_file() and not path.is_symlink() and path.read_bytes() == content:
            path.unlink()
    place.destination.delete(name)

    answer = place.roar("verify", lineage, "--repair")

    assert answer.code == 1
    assert "not repaired: file://" in answer.out
    assert "no local file has the digest" in answer.out
    (backup / "the one").write_bytes(content)
    assert place.roar("verify", lineage, "--repair", "--from", str(place.folder / "backup")).code == 0
    assert place.destination.read(name) == content


def test_what_another_machine_put_is_repaired_only_where_the_user_allows_it(make_place: MakePlace) -> None:
    """Whoever publishes a lineage chooses its addresses: they could be any file of this user."""
    place = make_place("file")
    assert place.put().code == 0
    lineage = place.check_published_once()
    name = max(place.destination.keys(), key=lambda key: len(place.destination.read(key)))
    content = place.destination.read(name)
    place.destination.write(name, b"the user's own")
    place.env["ROAR_STATE_DIR"] = str(place.folder / "another-machine")

    for refused in ((), ("--allow", str(place.folder / "elsewhere"))):
        answer = place.roar("verify", lineage, "--repair", *refused)
        assert answer.code == 1
        assert "not repaired: file://" in answer.out
        assert "this machine did not put it there" in answer.out
        assert place.destination.read(name) == b"the user's own"

    answer = place.roar("verify", lineage, "--repair", "--allow", place.destination.url)
    assert (answer.code, place.destination.read(name)) == (0, content)
