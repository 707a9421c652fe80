"""`roar verify --all`: one lineage after another, while others change."""

from contextlib import ExitStack
from types import SimpleNamespace

import pytest

from roar_publisher.checking.checks import DueCheck
from roar_publisher.checking.service import VerifyOrder
from roar_publisher.cli.verify import every
from roar_publisher.exit_codes import ExitCode
from roar_publisher.state.errors import LocalProblem
from roar_publisher.state.paths import PublishPaths, StateFolder
from roar_publisher.state.reasons import Reason
from roar_publisher.verification.errors import CannotCheck
from tests.support.lineages import chain, cut, frozen


def test_what_changes_meanwhile_stops_no_other_and_has_no_verdict_of_another(
    folder: StateFolder, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A verification may take hours, and a publish be pruned by then."""
    differing, pruned, changed = (_published(folder) for _ in range(3))
    recorded: dict[str, int] = {}

    def target(paths: PublishPaths, journals: ExitStack) -> VerifyOrder | None:
        if paths == pruned.paths:
            raise LocalProblem("it has no journal")
        return None if paths == changed.paths else VerifyOrder("ab" * 32, "http://registry", {}, None)

    monkeypatch.setattr(every, "due_again", lambda *_: [differing, pruned, changed])
    monkeypatch.setattr(every, "own_target", target)
    monkeypatch.setattr(every, "run", lambda work, progress: SimpleNamespace(exit_code=ExitCode.FAILED))
    monkeypatch.setattr(every, "show", lambda *_, **__: None)
    monkeypatch.setattr(every, "record_check", lambda _, found, code, now: recorded.update({found.paths.id: code}))
    assert every.verify_all(folder, 0.0, None, as_json=False) is ExitCode.FAILED
    assert recorded == {differing.paths.id: ExitCode.FAILED, pruned.paths.id: ExitCode.UNCHECKED}
    assert "2 lineages verified: 0 proven, 1 differing, 1 not checked" in capsys.readouterr().out


def test_a_registry_that_is_away_is_asked_once_and_its_lineages_stay_due(
    folder: StateFolder, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each would take a minute, and count as verified."""
    asked = list[PublishPaths]()

    def target(paths: PublishPaths, journals: ExitStack) -> VerifyOrder:
        asked.append(paths)
        raise CannotCheck("it is away", reason=Reason.OFFLINE)

    monkeypatch.setattr(every, "due_again", lambda *_: [_published(folder), _published(folder)])
    monkeypatch.setattr(every, "own_target", target)
    monkeypatch.setattr(every, "record_check", lambda *_: pytest.fail("it was not verified"))
    assert every.verify_all(folder, 0.0, None, as_json=False) is ExitCode.UNCHECKED
    assert len(asked) == 1
    out = capsys.readouterr().out
    assert out.count("Not checked") == 2
    assert "2 lineages verified: 0 proven, 0 differing, 2 not checked" in out


def _published(folder: StateFolder) -> DueCheck:
    with frozen(folder, cut(chain(2))) as made:
        return DueCheck(made.paths, "http://registry", "ab" * 32)
