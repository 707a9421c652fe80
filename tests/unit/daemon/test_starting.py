"""When a daemon is started."""

import pytest

from roar_publisher.daemon.background import TRACED
from roar_publisher.planning.freezing import FrozenPlan
from roar_publisher.publishing import detaching
from roar_publisher.publishing.observer import PublishObserver
from roar_publisher.report import Noted, Report
from roar_publisher.state.paths import StateFolder
from roar_publisher.state.status_reader import read_status
from tests.support.lineages import chain, cut, frozen


class Heard(PublishObserver):
    """Keeps the notes."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    def report(self, report: Report) -> None:
        assert isinstance(report, Noted)
        self.notes.append(report.text)


@pytest.mark.parametrize(("traced", "started"), [("", 1), ("0", 1), ("1", 0)])
def test_no_daemon_is_started_inside_of_roar_run(
    folder: StateFolder, monkeypatch: pytest.MonkeyPatch, traced: str, started: int
) -> None:
    """roar would trace it, and wait for its end."""
    starts: list[StateFolder] = []
    monkeypatch.setenv(TRACED, traced)
    monkeypatch.setattr(detaching, "start", starts.append)
    heard = Heard()
    with frozen(folder, cut(chain(1))) as owned:
        detaching.leave_to_daemon(FrozenPlan(owned, owned.journal.plan(), resumed=False), folder, heard)
    assert len(starts) == started
    assert ["roar daemon start" in note for note in heard.notes] == [True] * (1 - started)
    assert read_status(owned.paths).queued.detached_at is not None
