"""A hostile bundle: it is refused whole, or it is a publish that asks the user's own registry alone."""

import shutil
from pathlib import Path

import pytest

from tests.support.fuzz.bundles import spoiled
from tests.support.fuzz.cases import SLICES, Case, run_all
from tests.support.fuzz.program import REGISTRY, Place, roar
from tests.support.fuzz.promises import bounded, changes, holds_none, is_clean, listing
from tests.support.fuzz.registry import ACCESS, REFRESH, Registry, planned_hash, sign_in
from tests.support.fuzz.wire import Network
from tests.support.lineage.captured import captured_project, git

USUAL = 80
SECRET = "canary-of-a-file-outside-" + "s" * 20


@pytest.fixture(scope="module")
def template(quick_folder: Path) -> Place:
    """Another machine with the project, a sign-in, and the honest bundle in `files/`."""
    place = Place(quick_folder / "place")
    place.home.mkdir(parents=True)
    captured_project("linear", quick_folder).rename(place.project)
    (place.project / "made.txt").write_text("what the put stores")
    git("add", "made.txt", cwd=place.project)
    git("commit", "-qm", "what the put stores", cwd=place.project)
    files = place.root / "files"
    files.mkdir()
    for name, command in {
        "lineage": ("publish", "--anonymous", "-y"),
        "put": ("put", "made.txt", f"file://{place.project}/store", "-m", "it", "--anonymous", "-y"),
    }.items():
        network = Network(Registry(lambda authorization: "", away_from="open").serve)
        ended = roar(place, network, *command, threads=True)
        assert ended.code == 3, ended.err
        (publish_id,) = place.publishes
        ended = roar(place, network, "journal", "export", publish_id, str(files / name))
        assert ended.code == 0, ended.err
        shutil.rmtree(place.state)
    shutil.rmtree(place.project / ".git")
    (place.home / ".ssh").mkdir()
    (place.home / ".ssh" / "id_secret").write_text(SECRET)
    sign_in(place.home)
    shutil.copytree(place.root, quick_folder / "template", symlinks=True)
    return place


def _fresh(place: Place) -> Place:
    shutil.rmtree(place.root)
    shutil.copytree(place.root.with_name("template"), place.root, symlinks=True)
    return place


@pytest.mark.parametrize("part", SLICES)
def test_no_bundle_breaks_a_promise(part: int, template: Place, tmp_path: Path) -> None:
    run_all("bundles", USUAL, part, lambda case: _attack(case, _fresh(template), tmp_path))


def _attack(case: Case, place: Place, folder: Path) -> None:
    name = case.rng.choice(("lineage", "put"))
    file = place.root / "files" / name
    case.note(f"a {name}")
    spoiled(case, file, folder)
    registry = Registry(planned_hash(place.state))
    network = Network(registry.serve)
    before = listing(place)
    with bounded():
        ended = roar(place, network, "journal", "import", str(file), "--yes")
    is_clean(ended, as_json=False)
    assert network.hosts == set()
    assert changes(place, before) <= {str(place.project / ".roar" / "roar.db-shm")}, "SQLite makes it to read"
    if ended.code != 0:
        assert place.publishes == []
        return
    (publish_id,) = place.publishes
    for command in (("journal", "show", publish_id), ("journal", "list", "--all")):
        shown = roar(place, network, *command)
        is_clean(shown, as_json=False)
        assert shown.code == 0
    if name == "lineage":  # threads store the files of a put, and virtual time does not wait for them
        _resume(place, network, publish_id)


def _resume(place: Place, network: Network, publish_id: str) -> None:
    """Whatever it says, it goes to the user's own registry, and marks the project's own roar.db."""
    before = listing(place)
    with bounded():
        ended = roar(place, network, "publish", "--resume", publish_id, "-y")
    is_clean(ended, as_json=False)
    assert network.hosts <= {REGISTRY.removeprefix("http://")}
    database = str(place.project / ".roar" / "roar.db")
    changed = changes(place, before)
    assert changed <= {database + suffix for suffix in ("", "-wal", "-shm", "-journal")}, changed
    written = {"stdout": ended.out.encode(), "stderr": ended.err.encode()}
    holds_none([SECRET, ACCESS, REFRESH], written)
    holds_none([SECRET], {request.path: request.body for request in network.requests})


@pytest.mark.parametrize("name", ["lineage", "put"])
def test_the_honest_bundle_is_imported(name: str, template: Place) -> None:
    """The cases begin from something that works."""
    place = _fresh(template)
    registry = Registry(planned_hash(place.state))
    network = Network(registry.serve)
    ended = roar(place, network, "journal", "import", str(place.root / "files" / name), "--yes")
    assert ended.code == 0, ended.err
    ended = roar(place, network, "publish", "--resume", place.publishes[0], "-y", threads=True)
    assert registry.counts.get("finalize"), ended.err
