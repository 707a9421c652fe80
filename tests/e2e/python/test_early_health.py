"""The registry is asked for its health while the publish is planned, where the publish follows in this process."""

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import roar_publisher
from roar_publisher import errors
from roar_publisher.net import early
from roar_publisher.planning.freezing import FrozenPlan, freeze
from roar_publisher.publishing import publish
from tests.support.auth.front import Answer, Front, Seen, front
from tests.support.cli.program import Program

HEALTH = "/api/v1/health"
PATIENCE = 60


@pytest.fixture
def before(registry: str) -> Iterator[Front]:
    with front(registry) as before:
        yield before


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """However busy the machine is, the answer comes soon enough, and is fresh enough, to be used."""
    monkeypatch.setattr(early, "LONGEST_WAIT_SECONDS", PATIENCE)
    monkeypatch.setattr(early, "FRESH_SECONDS", PATIENCE)


def asked(before: Front) -> list[str]:
    return [seen.path for seen in before.seen]


def published(project: Path, registry: str) -> roar_publisher.Published:
    return roar_publisher.publish(project, visibility="public", registry=registry, yes=True)


def planned_after(monkeypatch: pytest.MonkeyPatch, first: Callable[[], object]) -> None:
    """Let every plan be frozen after `first`."""

    def freeze_after(*args: object, **kwargs: object) -> FrozenPlan:
        first()
        return freeze(*args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(publish, "freeze", freeze_after)


def test_the_answer_is_there_before_the_plan(project: Path, before: Front, monkeypatch: pytest.MonkeyPatch) -> None:
    answered = threading.Event()

    def rule(seen: Seen) -> Answer | None:
        if seen.path == HEALTH:
            answered.set()
        return None

    before.rule = rule
    planned_after(monkeypatch, lambda: answered.wait(PATIENCE) or pytest.fail("nothing was asked"))
    published(project, before.url)
    assert asked(before).count(HEALTH) == 1
    assert "authorization" not in before.seen[0].headers


@pytest.mark.parametrize(
    ("answer", "times"),
    [(Answer(500, b"{}"), 2), (Answer(200, b"<html>"), 2), (Answer(404), 1)],
    ids=["fails", "no JSON", "lacks it"],
)
def test_the_answer_is_judged_as_any_other(project: Path, before: Front, answer: Answer, times: int) -> None:
    """A registry that fails is asked again, after a pause. One without health is an older one."""
    before.rule = lambda seen: answer if seen.path == HEALTH and HEALTH not in asked(before) else None
    published(project, before.url)
    assert asked(before).count(HEALTH) == times


def test_an_old_answer_is_asked_for_again(project: Path, before: Front, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(early, "FRESH_SECONDS", -1.0)
    published(project, before.url)
    assert asked(before).count(HEALTH) == 2


def test_a_dry_run_asks_nothing(program: Program, before: Front) -> None:
    program("publish", "--dry-run", "--public", "--registry", before.url).output()
    assert not before.seen


def test_a_registry_that_the_user_has_not_accepted_is_not_asked(project: Path, before: Front) -> None:
    (project / ".roar" / "config.toml").write_text(f'[glaas]\nurl = "{before.url}"\n', encoding="utf-8")
    with pytest.raises(errors.NeedsUser, match="not accepted"):
        roar_publisher.publish(project, visibility="public", yes=True)
    assert not before.seen


def test_what_the_daemon_will_publish_asks_nothing_here(
    project: Path, before: Front, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop() -> None:
        raise KeyboardInterrupt

    planned_after(monkeypatch, stop)
    with pytest.raises(KeyboardInterrupt):
        roar_publisher.publish(project, visibility="public", registry=before.url, yes=True, detach=True)
    assert not before.seen


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("stop", [KeyboardInterrupt, errors.LocalProblem("the capture is gone")], ids=["stop", "error"])
def test_a_planning_that_ends_leaves_nothing_behind(
    project: Path, before: Front, monkeypatch: pytest.MonkeyPatch, stop: BaseException | type[BaseException]
) -> None:
    """The registry says nothing yet: the request is cancelled, and its thread is over."""
    asked, over = threading.Event(), threading.Event()

    def rule(seen: Seen) -> Answer | None:
        asked.set()
        over.wait(PATIENCE)
        return None

    def plan() -> None:
        assert asked.wait(PATIENCE)
        raise stop

    before.rule = rule
    planned_after(monkeypatch, plan)
    try:
        with pytest.raises((KeyboardInterrupt, errors.PublisherError)):
            published(project, before.url)
        assert not [thread.name for thread in threading.enumerate() if "portal" in thread.name]
        assert not roar_publisher.publishes()
    finally:
        over.set()
