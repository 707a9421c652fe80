"""SIGKILL before and after every commit and every request of a publish, in real processes, on real sockets and disks.

Whatever the moment, publishing again reaches the recorded hash, with one lineage at the registry, and sends nothing
again that was acknowledged.
"""

import json
import shutil
import subprocess
import urllib.request
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pytest

from roar_publisher.state.errors import LocalProblem
from roar_publisher.state.journal import Journal
from roar_publisher.state.limits import MOST_REQUESTS
from roar_publisher.state.machine import LIVE, State
from roar_publisher.state.paths import StateFolder
from tests.support.faults.items import Item, acknowledged_items, items_of_request, session_of
from tests.support.faults.killable import Answer, Order
from tests.support.faults.mortal import kind_of
from tests.support.lineage.captured import captured_project, recorded
from tests.support.processes import line_of, running
from tests.support.sampling import EXHAUSTIVE, chosen, sample

LEGACY = sample("legacy kill sweeps", ["legacy", "legacygrouped"], 1)
SWEEPS = [("diamond", "staged"), ("linear", "staged"), *(("linear", route) for route in LEGACY), ("diamond", "grouped")]
PORTIONS = 6 if EXHAUSTIVE else 1
"""Tests that share the moments of a sweep, to run side by side."""
SAMPLES = 4
"""How many moments of a sweep are tried at least; between them, the sweeps try every kind of moment."""
FEWEST_MOMENTS = 24
"""A reference run has more; fewer would mean that the sweep sweeps nothing."""


class Place:
    """One kill point's own project, state folder and registry."""

    def __init__(self, folder: Path, project: Path, registries: str, route: str) -> None:
        folder.mkdir()
        self.folder = folder
        self.project = folder / "project"
        shutil.copytree(project, self.project)
        self.state = StateFolder(folder / "state")
        self.registry = f"{registries}/{route}-{folder.name}"

    def order(self, dies_at: int | None) -> Order:
        return Order(str(self.project), str(self.state.root), self.registry, str(self.folder / "result"), dies_at)

    def ask(self, what: str) -> Any:
        with urllib.request.urlopen(f"{self.registry}/{what}") as reply:
            return json.load(reply)

    def acknowledged(self, lineage_hash: str) -> tuple[str | None, set[Item]]:
        """The session of the interrupted publish, and the items that it must not send again; nothing if none is."""
        for paths in self.state.all_publishes():
            try:
                with Journal(paths.journal, read_only=True) as journal:
                    progress = journal.progress()
                    if progress.state in LIVE:
                        return progress.remote_session, acknowledged_items(journal, lineage_hash)
            except LocalProblem:
                continue  # it died before its plan was frozen
        return None, set()


class Sweeper:
    """Gives orders to the process that forks the lives."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process

    def live(self, order: Order) -> Answer:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(asdict(order)) + "\n")
        self._process.stdin.flush()
        return Answer(**json.loads(line_of(self._process)))


@pytest.fixture(scope="module")
def sweeper() -> Iterator[Sweeper]:
    with running("-m", "tests.support.faults.killable") as process:
        yield Sweeper(process)


@pytest.fixture(scope="module")
def registries(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with running("-m", "tests.support.faults.registries", str(tmp_path_factory.mktemp("registries"))) as process:
        yield line_of(process)


@pytest.fixture(scope="module")
def projects(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("projects")
    return {name: captured_project(name, folder) for name, _ in SWEEPS[:2]}


@dataclass(frozen=True)
class Reference:
    """A run that nothing killed, and what it left."""

    place: Place
    answer: Answer

    @property
    def kinds(self) -> list[str]:
        """The kind of each moment."""
        return [kind_of(moment) for moment in self.answer.moments]


@pytest.fixture(scope="module")
def references(
    sweeper: Sweeper, registries: str, projects: dict[str, Path], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Reference]:
    """A reference run of each sweep, by its name."""
    folder = tmp_path_factory.mktemp("references")
    places = {
        f"{project}-{route}": Place(folder / f"{project}-{route}", projects[project], registries, route)
        for project, route in SWEEPS
    }
    return {sweep: Reference(place, sweeper.live(place.order(None))) for sweep, place in places.items()}


def kinds_of(sweep: str, references: dict[str, Reference]) -> set[str]:
    """Return the kinds of moments that this sweep tries: each kind is tried by one of those that pass it."""
    return {
        kind
        for kind in references[sweep].kinds
        if sweep == chosen(f"sweep of {kind}", [name for name, run in references.items() if kind in run.kinds])
    }


def recorded_hash(project: str) -> str:
    return str(recorded(project, "session")["finalized_hash"])


def check_published(place: Place, project: str) -> None:
    staged = recorded(project, "session")["staged"]
    published = place.ask("published")
    assert published[:2] == [1, recorded_hash(project)]
    assert published[2:6] == [staged["jobs"], staged["n_artifacts"], staged["inputs"], staged["outputs"]]


def check_not_sent_again(place: Place, before: int, session: str | None, acknowledged: set[Item]) -> None:
    """Nothing acknowledged is sent again, and of what the registry had, no more than was in flight."""
    log = [(path, body.encode()) for path, body in place.ask("log")]
    repeated = 0
    first_life = set().union(*(items_of_request(*request) for request in log[:before]))
    for path, body in log[before:]:
        items = items_of_request(path, body)
        if session_of(path) == session:
            assert not items & acknowledged, path
            repeated += bool(items & first_life)
    assert repeated <= MOST_REQUESTS


def check_moment(place: Place, sweeper: Sweeper, project: str, moment: int) -> bool:
    """Kill at the moment, publish again, judge. False where the run ended before it got there."""
    answer = sweeper.live(place.order(moment))
    if not answer.killed:
        return False
    lineage_hash = recorded_hash(project)
    session, acknowledged = place.acknowledged(lineage_hash)
    before = len(place.ask("log"))
    again = sweeper.live(place.order(None))
    assert (again.killed, again.state, again.hash) == (False, State.DONE, lineage_hash)
    check_published(place, project)
    check_not_sent_again(place, before, session, acknowledged)
    assert not list(place.state.root.rglob("session-token*"))
    return True


@pytest.mark.parametrize("portion", range(PORTIONS))
@pytest.mark.parametrize(("project", "route"), SWEEPS)
def test_killed_at_any_moment_it_is_published_once(
    project: str,
    route: str,
    portion: int,
    sweeper: Sweeper,
    registries: str,
    projects: dict[str, Path],
    references: dict[str, Reference],
    tmp_path: Path,
) -> None:
    sweep = f"{project}-{route}"
    kinds = references[sweep].kinds
    assert len(kinds) > FEWEST_MOMENTS
    wanted = kinds_of(sweep, references)
    tried = sample(sweep, range(len(kinds)), SAMPLES, lambda moment: kinds[moment] if kinds[moment] in wanted else "")
    for moment in (index + 1 for index in tried[portion::PORTIONS]):
        place = Place(tmp_path / f"{project}-{moment}", projects[project], registries, route)
        try:
            check_moment(place, sweeper, project, moment)
        except AssertionError as error:
            error.add_note(f"killed at moment {moment} of {project} on the {route} route")
            raise


@pytest.mark.parametrize(("project", "route"), SWEEPS)
def test_a_reference_run_passes_through_every_kind_of_moment(
    project: str, route: str, references: dict[str, Reference]
) -> None:
    place, answer = references[f"{project}-{route}"].place, references[f"{project}-{route}"].answer
    assert answer.hash == recorded_hash(project)
    check_published(place, project)
    moments = " ".join(answer.moments)
    links = ["links/batch"] if "grouped" in route else ["/inputs", "/outputs"]
    end = "/sessions" if "legacy" in route else "/finalize"
    for call in ["health", "jobs/batch", "artifacts/batch", *links, end]:
        assert call in moments, moments
    assert moments.count("before") == moments.count("after")
    assert moments.count("after commit of") >= len([State.PROBE, State.AUTH_SELECT, State.STAGE])


def test_killed_again_and_again_it_still_ends(
    sweeper: Sweeper, registries: str, projects: dict[str, Path], tmp_path: Path
) -> None:
    """Each life gets a little further than the one before."""
    place = Place(tmp_path / "again", projects["diamond"], registries, "staged")
    answer = Answer(killed=True)
    lives = 0
    while answer.killed:
        lives += 1
        answer = sweeper.live(place.order(5 + lives))
    assert answer.hash == recorded_hash("diamond")
    assert lives > 3
    check_published(place, "diamond")
