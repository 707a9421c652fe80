"""A signal handler, or another publisher of the process, that comes between the steps of a submission."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from roar_publisher import CheckpointPublisher
from roar_publisher.checkpoints import publisher as module
from roar_publisher.checkpoints.snapshot import HeldFiles, hold
from tests.support.checkpoints import Make


def during_hold(publisher: CheckpointPublisher, act: Callable[[], object], monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a signal handler run once while the publisher holds files."""
    acted = list[Path]()

    def interrupted(path: Path, home: Path, number: int) -> HeldFiles:
        if not acted:
            acted.append(path)
            assert publisher._lock.acquire(blocking=False), "it would wait for itself"
            publisher._lock.release()
            act()
        return hold(path, home, number)

    monkeypatch.setattr(module, "hold", interrupted)


def steps(publisher: CheckpointPublisher, state: str = "waiting") -> list[int]:
    return sorted(one.step for one in publisher.checkpoints() if one.state == state)


def test_a_handler_may_close_the_publisher(make: Make, model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    publisher = make()
    publisher.submit(model, step=1, pin=True)
    during_hold(publisher, publisher.close, monkeypatch)
    publisher.submit(model, step=2)
    assert steps(publisher) == [1, 2]


def test_what_a_handler_submits_is_not_taken_for_older(
    make: Make, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    publisher = make()
    publisher.submit(model, step=1)
    during_hold(publisher, lambda: publisher.submit(model, step=3), monkeypatch)
    publisher.submit(model, step=2)
    assert steps(publisher) == [2, 3]
    publisher.submit(model, step=4)
    assert steps(publisher) == [4]


def test_two_publishers_of_one_process_lose_nothing_of_each_other(
    make: Make, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a notebook's cell that is run again makes a second one, while the first one still submits."""
    first, second, link, submitted = make(), make(), os.link, list[str]()

    def link_late(source: str, target: Path) -> None:
        if str(source).endswith(".new") and not submitted:
            submitted.append(source)
            second.submit(model, step=2, pin=True)
        link(source, target)

    monkeypatch.setattr(os, "link", link_late)
    first.submit(model, step=1, pin=True)
    assert steps(first) == [1, 2]
    assert sorted(one.name for one in first.checkpoints()) == ["step-00000001", "step-00000002"]
    assert not list(first._series.folder.rglob(".*.new"))
