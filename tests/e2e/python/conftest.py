"""A registry, and a captured project whose home and state folder this process has for its own."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from roar_publisher.engine.loop import STEPS
from roar_publisher.engine.run import Outcome, Run
from roar_publisher.state.machine import State
from roar_publisher.state.record import Progress
from tests.support.cli.program import Program
from tests.support.daemon.daemons import program_with_daemons
from tests.support.lineage.captured import captured_project
from tests.support.registry.processes import served


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a running registry."""
    with served(tmp_path_factory.mktemp("registry")) as url:
        yield url


@pytest.fixture
def program(tmp_path: Path) -> Iterator[Program]:
    """The program in a fresh copy of the project `linear`; a daemon that is started ends with the test."""
    with program_with_daemons(captured_project("linear", tmp_path), tmp_path) as program:
        yield program


@pytest.fixture
def project(program: Program, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The program's project, with the program's environment in this process."""
    for name in ("HOME", "ROAR_STATE_DIR"):
        monkeypatch.setenv(name, program.env[name])
    for name in ("GLAAS_URL", "SSH_AUTH_SOCK", "XDG_CONFIG_HOME", "XDG_STATE_HOME", "ROAR_SSH_KEY"):
        monkeypatch.delenv(name, raising=False)
    return program.cwd


@contextmanager
def opened_once_stopped() -> Iterator[None]:
    """Let a publish in this process open its session only after it was asked to stop.

    Its callbacks are called in another thread than it runs in. Otherwise it could be over before one of them stops it.
    """
    open_session = STEPS[State.OPEN]

    async def open_late(run: Run, progress: Progress) -> Outcome:
        await run.stop.wait()
        return await open_session(run, progress)

    with pytest.MonkeyPatch.context() as meanwhile:
        meanwhile.setitem(STEPS, State.OPEN, open_late)
        yield
