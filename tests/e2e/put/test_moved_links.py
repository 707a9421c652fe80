"""A link that is planted between the import of a put and its resume does not lead out of the project."""

import json
import shutil
from pathlib import Path

import pytest

from tests.e2e.put.conftest import MakePlace
from tests.e2e.put.test_moving import WITHIN_A_FILE, another_machine, exported, imported, outputs, resumed
from tests.support.put.forked_program import ProgramResult
from tests.support.put.place import Place


@pytest.fixture
def there(make_place: MakePlace) -> Place:
    """Another machine, whose user has imported the put; one file of it is missing there."""
    place = make_place("file")
    assert place.put(kill_at=WITHIN_A_FILE).killed
    file = exported(place)
    there = another_machine(place)
    gone = outputs(there) / "large-0.bin"
    gone.rename(secret(there))
    assert imported(there, file)["missing"] == [str(gone)]
    return there


def secret(there: Place) -> Path:
    """A file of the user, whose size and digest the sender of the bundle knows."""
    return there.folder / "home" / "secret"


def refused(answer: ProgramResult, path: Path) -> None:
    last = json.loads(answer.out.splitlines()[-1])
    assert (answer.code, last["reason"]) == (3, "file changed"), answer.out
    assert str(path) in last["what"]
    assert "leads out of the project" in last["what"]


def test_a_file_outside_is_not_read(there: Place) -> None:
    link = outputs(there) / "large-0.bin"
    link.symlink_to(secret(there))
    refused(resumed(there), link)
    there.check_not_published()
    link.unlink()
    secret(there).rename(link)
    assert resumed(there).code == 0
    there.check_published_once()


def test_a_folder_outside_is_not_written(there: Place) -> None:
    secret(there).rename(outputs(there) / "large-0.bin")
    stored = Path(there.destination.url.removeprefix("file://").replace("%20", " "))
    shutil.rmtree(stored / "deeper", ignore_errors=True)
    stored.mkdir(exist_ok=True)
    victim = there.folder / "home" / "victim"
    victim.mkdir()
    (stored / "deeper").symlink_to(victim)
    refused(resumed(there), stored / "deeper")
    assert list(victim.iterdir()) == []


def test_git_is_not_written_to(there: Place) -> None:
    """A link to a protected folder of the project."""
    secret(there).rename(outputs(there) / "large-0.bin")
    stored = Path(there.destination.url.removeprefix("file://").replace("%20", " "))
    shutil.rmtree(stored / "deeper", ignore_errors=True)
    stored.mkdir(exist_ok=True)
    (stored / "deeper").symlink_to(there.project / ".git")
    before = sorted((there.project / ".git").iterdir())
    refused(resumed(there), stored / "deeper")
    assert sorted((there.project / ".git").iterdir()) == before


def test_a_database_outside_is_not_written(there: Place) -> None:
    secret(there).rename(outputs(there) / "large-0.bin")
    database = there.project / ".roar" / "roar.db"
    others = there.folder / "home" / "others.db"
    database.rename(others)
    before = others.read_bytes()
    database.symlink_to(others)
    answer = resumed(there)
    assert "leads out of the project" in answer.out + answer.err
    assert others.read_bytes() == before
