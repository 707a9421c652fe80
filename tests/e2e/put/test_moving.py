"""A put that is killed on one machine and resumed on another, where the files may have other paths."""

import copy
import json
import shutil
import sqlite3
import tarfile
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from roar_publisher.state.paths import StateFolder
from tests.e2e.put.conftest import MakePlace
from tests.support.put.destinations import KINDS
from tests.support.put.forked_program import ProgramResult
from tests.support.put.place import Place

SECRET = "ghp_0123456789abcdefghijABCDEFGHIJ012345"
WITHIN_A_FILE, WITHIN_THE_LINEAGE = ("after commit of acknowledge_part", 2), ("after commit of acknowledge", 1)


def another_machine(place: Place, *, roar_db: bool = True) -> Place:
    """Move the project to another path, with nothing else of this machine."""
    there = copy.copy(place)
    there.folder = place.folder / "there"
    there.project, there.state = there.folder / "elsewhere", StateFolder(there.folder / "state")
    (there.folder / "home").mkdir(parents=True)
    there.env = place.env | {"ROAR_STATE_DIR": str(there.state.root), "HOME": str(there.folder / "home")}
    place.project.rename(there.project)
    if not roar_db:
        shutil.rmtree(there.project / ".roar")
    return there


def exported(place: Place) -> Path:
    file = place.folder / "moved.tar"
    answer = place.roar("journal", "export", place.only_publish().paths.id, str(file))
    assert answer.code == 0, answer.err
    return file


def allowed(there: Place) -> list[str]:
    """Return the options by which the user allows a folder outside of the project."""
    return ["--yes", *(["--allow", there.destination.url] if there.destination.proxy is None else [])]


def imported(there: Place, file: Path) -> dict[str, Any]:
    answer = there.roar("journal", "import", str(file), "--project", str(there.project), *allowed(there), "--json")
    assert answer.code == 0, answer.err
    facts = json.loads(answer.out)
    assert isinstance(facts, dict)
    return facts


def resumed(there: Place) -> ProgramResult:
    return there.roar("publish", "--resume", there.only_publish().paths.id, "-y", "--json")


def outputs(there: Place) -> Path:
    return there.project / "outputs"


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("moment", [WITHIN_A_FILE, WITHIN_THE_LINEAGE], ids=["within a file", "within the lineage"])
def test_a_moved_put_resumes_and_is_published_once(kind: str, moment: tuple[str, int], make_place: MakePlace) -> None:
    place = make_place(kind)
    assert place.put(kill_at=moment).killed
    file = exported(place)
    there = another_machine(place)
    facts = imported(there, file)
    assert (facts["missing"], facts["noted_in_roar_db"]) == ([], True)
    assert facts["destination"] == place.destination.url
    answer = resumed(there)
    assert answer.code == 0, answer.err
    assert json.loads(answer.out.splitlines()[-1])["hash"] == there.check_published_once()
    recorded = there.rows("SELECT path FROM job_inputs i JOIN jobs j ON j.id = i.job_id WHERE job_type = 'put'")
    assert {path for (path,) in recorded} >= {str(outputs(there) / key) for key in place.files}


def test_files_are_found_by_content(make_place: MakePlace) -> None:
    place = make_place("file")
    assert place.put(kill_at=WITHIN_A_FILE).killed
    file = exported(place)
    there = another_machine(place)
    (there.project / "attic").mkdir()
    for number, path in enumerate(sorted(path for path in outputs(there).rglob("*") if path.is_file())):
        path.rename(there.project / "attic" / f"{number}.bin")
    assert imported(there, file)["missing"] == []
    assert resumed(there).code == 0
    there.check_published_once()


def test_a_moved_put_stops_at_a_missing_file_until_it_exists(make_place: MakePlace) -> None:
    place = make_place("file")
    assert place.put(kill_at=WITHIN_A_FILE).killed
    file = exported(place)
    there = another_machine(place)
    gone, other = outputs(there) / "large-0.bin", outputs(there) / "deeper" / "small-1.bin"
    content = gone.read_bytes()
    gone.unlink()
    right = other.read_bytes()
    other.write_bytes(bytes([right[0] ^ 1]) + right[1:])
    assert sorted(imported(there, file)["missing"]) == sorted([str(gone), str(other)])
    other.write_bytes(right)
    stopped = resumed(there)
    assert (stopped.code, json.loads(stopped.out.splitlines()[-1])["reason"]) == (3, "unreadable")
    there.check_not_published()
    gone.write_bytes(content)
    assert resumed(there).code == 0
    there.check_published_once()


@pytest.mark.parametrize("moment", ["before commit of adapt", "after commit of adapt", "after write_private"])
def test_a_killed_import_can_be_repeated(moment: str, make_place: MakePlace) -> None:
    place = make_place("file")
    assert place.put(kill_at=WITHIN_A_FILE).killed
    file = exported(place)
    there = another_machine(place)
    typed = ("journal", "import", str(file), "--project", str(there.project), *allowed(there))
    assert there.roar(*typed, kill_at=(moment, 1)).killed
    assert there.only_publish().state is None
    imported(there, file)
    assert resumed(there).code == 0
    there.check_published_once()


@pytest.mark.parametrize("moment", ["before commit of park", "after commit of park"])
def test_a_killed_export_leaves_a_complete_file_or_none_and_a_resumable_publish(
    moment: str, make_place: MakePlace
) -> None:
    place = make_place("file")
    assert place.put(kill_at=WITHIN_A_FILE).killed
    file = place.folder / "moved.tar"
    publish_id = place.only_publish().paths.id
    assert place.roar("journal", "export", publish_id, str(file), kill_at=(moment, 1)).killed
    assert place.roar("publish", "--resume", publish_id, "-y").code == 0, "by its name: it may have moved"
    lineage_hash = place.check_published_once()
    there = another_machine(place)
    imported(there, file)
    assert json.loads(resumed(there).out.splitlines()[-1])["hash"] == lineage_hash
    there.check_published_once()


def test_missing_files_are_listed(make_place: MakePlace) -> None:
    place = make_place("file")
    assert place.put(kill_at=WITHIN_A_FILE).killed
    file = exported(place)
    there = another_machine(place)
    shutil.rmtree(outputs(there))
    answer = there.roar("journal", "import", str(file), "--project", str(there.project), *allowed(there))
    assert answer.code == 0, answer.err
    assert f"{len(place.files)} files of it cannot be found on this machine" in answer.out
    assert f"  {outputs(there) / 'large-0.bin'}" in answer.out


@pytest.mark.parametrize("kind", ["s3", "gs"])
def test_upload_ids_are_not_exported(kind: str, make_place: MakePlace) -> None:
    place = make_place(kind)
    assert place.put(kill_at=WITHIN_A_FILE).killed
    uploads = place.only_publish().uploads
    assert uploads
    content = exported(place).read_bytes()
    assert [key for name, key in uploads.items() if name.encode() in content] == []


def test_cancelling_an_exported_put_aborts_its_uploads(make_place: MakePlace) -> None:
    place = make_place("s3")
    assert place.put(kill_at=WITHIN_A_FILE).killed
    file = exported(place)
    there = another_machine(place)
    imported(there, file)
    assert resumed(there).code == 0
    place.project = there.project  # for a folder to stand in
    cancelled = place.roar("journal", "cancel", place.only_publish().paths.id)
    assert cancelled.code == 0, cancelled.err
    assert "The other machine's copy is not affected." in cancelled.out
    assert place.destination.uploads() == set()
    there.check_published_once()


def test_a_secret_in_the_message_is_not_exported(make_place: MakePlace) -> None:
    place = make_place("file")
    typed = ("put", "outputs", place.destination.url, "-m", f"by {SECRET}", "-n", f"x {SECRET}", "--public", "-y")
    assert place.roar(*typed, kill_at=WITHIN_A_FILE).killed
    file = exported(place)
    with tarfile.open(file) as archive:
        assert archive.getnames() == ["manifest.json", "journal.db", "put-record"]
    assert SECRET.encode() not in file.read_bytes()
    there = another_machine(place)
    imported(there, file)
    assert resumed(there).code == 0
    there.check_published_once()
    [(command, metadata)] = there.rows("SELECT command, metadata FROM jobs WHERE job_type = 'put'")
    assert SECRET not in command + metadata
    assert command.count("_REDACTED]") == 2


def test_a_put_without_its_roar_db_is_published(make_place: MakePlace) -> None:
    place = make_place("file")
    assert place.put(kill_at=WITHIN_A_FILE).killed
    file = exported(place)
    there = another_machine(place, roar_db=False)
    assert imported(there, file)["noted_in_roar_db"] is False
    answer = resumed(there)
    assert answer.code == 0, answer.err
    assert place.destination.keys() == sorted(place.files)
    assert place.ask("published")[0] == 1


def test_the_roar_db_of_another_project_is_not_changed(make_place: MakePlace) -> None:
    place, foreign = make_place("file"), make_place("file")
    assert place.put(kill_at=WITHIN_A_FILE).killed
    file = exported(place)
    there = another_machine(place, roar_db=False)
    shutil.copytree(foreign.project / ".roar", there.project / ".roar")
    with closing(sqlite3.connect(there.project / ".roar" / "roar.db")) as connection, connection:
        connection.execute("UPDATE jobs SET job_uid = substr(job_uid, 3) || 'ff'")
    assert imported(there, file)["noted_in_roar_db"] is False
    assert resumed(there).code == 0
    assert there.rows("SELECT count(*) FROM jobs WHERE job_type = 'put' OR synced_at IS NOT NULL") == [(0,)]
    sessions = "SELECT synced_at, metadata FROM sessions"
    assert there.rows(sessions) == foreign.rows(sessions)
