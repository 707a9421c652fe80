"""A hostile project: whatever a clone may bring along, it is published as it is, or refused with one message."""

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from tests.support.fuzz.cases import SLICES, Case, run_all
from tests.support.fuzz.program import REGISTRY, Ended, Place, roar
from tests.support.fuzz.projects import address, attack_project, target
from tests.support.fuzz.promises import bounded, changes, files_below, holds_none, is_clean, listing
from tests.support.fuzz.registry import ACCESS, REFRESH, Registry, planned_hash, sign_in
from tests.support.fuzz.wire import Network
from tests.support.lineage.captured import captured_project

USUAL = 120
SECRET = "canary-of-a-file-outside-" + "s" * 20
COMMANDS = (
    ("--dry-run",),
    ("--dry-run", "--json"),
    ("--anonymous", "-y", "--registry", REGISTRY),
    ("--anonymous", "-y", "--json", "--registry", REGISTRY),
)


@pytest.fixture(scope="module")
def template(quick_folder: Path) -> Place:
    """A place with an honest project; each case gets a copy of it."""
    place = Place(quick_folder / "place")
    place.home.mkdir(parents=True)
    (place.home / ".ssh").mkdir()
    (place.home / ".ssh" / "id_secret").write_text(SECRET)
    captured_project("linear", quick_folder).rename(place.project)
    shutil.rmtree(place.project / ".git")  # what git makes of a project has tests of its own, and takes long
    with closing(sqlite3.connect(place.project / ".roar" / "roar.db")) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    shutil.copytree(place.root, quick_folder / "template", symlinks=True)
    return place


@pytest.mark.parametrize("part", SLICES)
def test_no_project_breaks_a_promise(part: int, template: Place) -> None:
    run_all("projects", USUAL, part, lambda case: _attack(case, _fresh(template)))


def _fresh(place: Place) -> Place:
    shutil.rmtree(place.root)
    shutil.copytree(place.root.with_name("template"), place.root, symlinks=True)
    return place


def _attack(case: Case, place: Place) -> None:
    if case.number % 9 == 8:
        _attack_by_address(case, place)
        return
    command = case.rng.choice(COMMANDS)
    case.note(" ".join(command))
    asked = target(case)
    attack_project(case, place.project, place.home / ".ssh" / "id_secret")
    registry = Registry(planned_hash(place.state))
    network = Network(registry.serve)
    before = listing(place)
    with bounded():
        ended = roar(place, network, "publish", *command, *asked)
    is_clean(ended, as_json="--json" in command)
    assert network.hosts <= {REGISTRY.removeprefix("http://")}
    written = {"stdout": ended.out.encode(), "stderr": ended.err.encode()}
    holds_none([SECRET], written | {request.path: request.body for request in network.requests})
    holds_none([SECRET], files_below(place.state))
    _check_files(place, before, ended)
    if "--dry-run" in command:
        assert not registry.counts.get("open")
    elif ended.code == 0:
        assert registry.counts.get("finalize") or registry.counts.get("legacy session")


def _attack_by_address(case: Case, place: Place) -> None:
    """What a project names alone is sent nothing at all, whichever credential is there."""
    flag = case.rng.choice(("--private", "--public", "--anonymous"))
    token = {"ROAR_ACCESS_TOKEN": ACCESS} if case.rng.random() < 0.3 else {}
    case.note(" ".join((flag, *token)))
    sign_in(place.home)
    address(case, place.project)
    network = Network(Registry(lambda authorization: "0" * 64).serve)
    with bounded():
        ended = roar(place, network, "publish", flag, "-y", environ={"GLAAS_URL": "", **token})
    is_clean(ended, as_json=False)
    assert ended.code != 0
    assert network.hosts == set()
    holds_none([ACCESS, REFRESH], {"stdout": ended.out.encode(), "stderr": ended.err.encode()})


def _check_files(place: Place, before: dict[str, tuple[int, int, int]], ended: Ended) -> None:
    """Nothing outside of the state folder, but once published the project's own roar.db."""
    changed = changes(place, before)
    database = place.project / ".roar" / "roar.db"
    own = {str(database) + suffix for suffix in ("", "-wal", "-shm", "-journal")}
    assert changed <= own, changed
    assert ended.code == 0 or str(database) not in changed


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_the_honest_project_is_published(command: tuple[str, ...], template: Place) -> None:
    """The cases begin from something that works."""
    place = _fresh(template)
    ended = roar(place, Network(Registry(planned_hash(place.state)).serve), "publish", *command)
    assert ended.code == 0, ended.out + ended.err
