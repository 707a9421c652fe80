"""A look at every publish of a machine reads no more of each than is needed: there may be thousands of them."""

from collections.abc import Callable
from pathlib import Path

import pytest

from roar_publisher.auth.choice import Flag
from roar_publisher.cli.journal.actions import prune
from roar_publisher.fetching.published import published_here
from roar_publisher.publishing.order import Order
from roar_publisher.publishing.resuming import find_publish
from roar_publisher.publishing.watching import newest_live
from roar_publisher.state.paths import StateFolder
from roar_publisher.state.status import CountedStatus
from roar_publisher.state.status_reader import count_all
from roar_publisher.state.units import Kind, Tally, Units
from tests.support.lineages import chain, cut, frozen

LINEAGE = cut(chain(2))


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> list[Units]:
    """The journals whose units were counted, which reads all of their pages."""
    found: list[Units] = []
    tally = Units.tally

    def watched(units: Units) -> dict[Kind, Tally]:
        found.append(units)
        return tally(units)

    monkeypatch.setattr(Units, "tally", watched)
    return found


def _of_project(folder: StateFolder, project: Path) -> str:
    (project / ".roar").mkdir(parents=True, exist_ok=True)
    with frozen(folder, LINEAGE) as owned:
        owned.journal.db.execute("UPDATE plan SET project = ?", [str(project)])
    return owned.paths.id


@pytest.mark.parametrize(
    "look",
    [
        lambda folder, project: find_publish(Order(cwd=project, flag=Flag.NONE, resume=""), folder),
        lambda folder, project: newest_live(folder, project),
        lambda folder, project: list(published_here(folder)),
        lambda folder, project: prune(folder, older_than=0.0, damaged=False, as_json=False),
    ],
    ids=["resume", "watch", "verify", "prune"],
)
def test_what_shows_no_counts_counts_nothing(
    folder: StateFolder, tmp_path: Path, counted: list[Units], look: Callable[[StateFolder, Path], object]
) -> None:
    _of_project(folder, tmp_path / "project")
    look(folder, tmp_path / "project")
    assert counted == []


def test_only_what_is_shown_is_counted(folder: StateFolder, tmp_path: Path, counted: list[Units]) -> None:
    mine, _other = (_of_project(folder, tmp_path / name) for name in ("project", "other"))
    found = list(count_all(folder, str(tmp_path / "project")))
    assert [each.plan.id for each in found if isinstance(each, CountedStatus)] == [mine]
    assert (len(found), len(counted)) == (2, 1)
