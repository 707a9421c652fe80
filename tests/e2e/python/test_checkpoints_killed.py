"""SIGKILL to the training and to the daemon, at any access to a file or the network.

Whatever the moments: what `submit` returned and was pinned is published, and so is the newest; nothing is torn.
"""

import os
import random
from functools import partial
from pathlib import Path

import pytest

from roar_publisher.checkpoints.publisher import CheckpointPublisher
from roar_publisher.checkpoints.snapshot import SMALL_BYTES
from roar_publisher.checkpoints.view import CheckpointStatus
from tests.support.checkpoints import drain, in_fork
from tests.support.lineage.captured import captured_project
from tests.support.sampling import EXHAUSTIVE, sample

CASES = 200
SOME = 3
STEPS = 5
"""How many checkpoints a life of the training submits, if it is not killed."""
PINNED = 2
"""Every so many checkpoints, one is pinned."""
Moments = tuple[int, int]


def content(step: int, life: int) -> bytes:
    return bytes([step, life]) * (SMALL_BYTES // 2 + 1)


def train(project: Path, registry: str, life: int) -> None:
    """Submit checkpoints, from the last one that an earlier life is known to have submitted. Call it in a fork."""
    os.chdir(project)
    publisher = opened(project, registry)
    log = os.open(project.parent / "submitted", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    begin = max((step for _name, step, _life in submitted(project)), default=0)
    for step in range(begin, begin + STEPS):
        Path("model.new.bin").write_bytes(content(step, life))
        os.replace("model.new.bin", "model.bin")
        found = publisher.submit("model.bin", step=step, pin=step % PINNED == 0)
        if found is not None:
            os.write(log, f"{found.name} {step} {life}\n".encode())
    publisher._background.flush()


def opened(project: Path, registry: str) -> CheckpointPublisher:
    store = project.parent / "store"
    return CheckpointPublisher(
        store, project=project, visibility="public", registry=registry, yes=True, start_daemon=False
    )


def submitted(project: Path) -> list[tuple[str, int, int]]:
    """Return the name, step and life of each checkpoint whose submission is known to have returned."""
    log = project.parent / "submitted"
    lines = log.read_text().splitlines() if log.exists() else []
    return [(name, int(step), int(life)) for name, step, life in map(str.split, lines)]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "home").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("ROAR_STATE_DIR", str(tmp_path / "state"))
    for name in ("GLAAS_URL", "SSH_AUTH_SOCK", "XDG_CONFIG_HOME", "XDG_STATE_HOME", "ROAR_SSH_KEY"):
        monkeypatch.delenv(name, raising=False)
    return captured_project("linear", tmp_path)


@pytest.fixture(scope="module")
def moments() -> dict[str, int]:
    """How many moments each kind of life has passed at most, so far."""
    return {"training": 60, "daemon": 150}


@pytest.mark.parametrize("case", sample("killed checkpoints", range(CASES), SOME))
def test_killed_at_any_moment_the_pinned_and_the_newest_are_published_whole(
    case: int, project: Path, registry: str, moments: dict[str, int]
) -> None:
    choose = random.Random(f"checkpoints {case}")
    state = project.parent / "state"
    for life in (1, 2):
        for kind, work in (("training", partial(train, project, registry, life)), ("daemon", partial(drain, state))):
            passed = in_fork(work, dies_at=choose.randint(1, moments[kind]))
            moments[kind] = max(moments[kind], passed or 0)
    assert in_fork(partial(drain, state))
    check(project, opened(project, registry).checkpoints())


def check(project: Path, found: list[CheckpointStatus]) -> None:
    """Assert what is promised of the checkpoints that are known to be submitted, and of what is stored."""
    ends = {one.name: one.state for one in found}
    assert set(ends.values()) <= {"published", "superseded"}
    known = submitted(project)
    assert ends.keys() >= {name for name, _step, _life in known}
    assert {ends[name] for name, step, _life in known if step % PINNED == 0} <= {"published"}
    if found:
        assert found[-1].state == "published", "the newest"
    store = project.parent / "store"
    stored = {path.parent.name: path.read_bytes() for path in store.rglob("model.bin")}
    assert stored.keys() == {name for name, state in ends.items() if state == "published"}
    lives = {name: life for name, _step, life in known}
    for one in found:
        if one.state == "published":
            possible = [lives[one.name]] if one.name in lives else [1, 2]
            assert stored[one.name] in [content(one.step, life) for life in possible]
            assert one.url


def test_an_exhaustive_run_tries_two_hundred_cases() -> None:
    assert not EXHAUSTIVE or len(sample("killed checkpoints", range(CASES), SOME)) == 200
