"""The daemon that replaces itself."""

import errno
import logging
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anyio
import pytest

from roar_publisher.daemon import process
from roar_publisher.daemon.process import LOCK_HANDLE, run_daemon
from roar_publisher.daemon.settings import DaemonSettings, user_settings
from roar_publisher.state.errors import LocalProblem, Owned
from roar_publisher.state.lock import Lock
from roar_publisher.state.paths import StateFolder
from roar_publisher.state.reasons import Reason

LOG = logging.getLogger("tests.daemon.process")


class Replaced(Exception):
    """This process would be another program now."""


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's own file, which allows two publishes at once."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    (tmp_path / "roar").mkdir()
    file = tmp_path / "roar" / "config.toml"
    file.write_text("[publisher]\nmax_active = 2\n")
    return file


@pytest.fixture
def lives(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[DaemonSettings]]:
    """The settings of each daemon that ran; the first one is at rest at once, the second one is asked to stop."""
    lived: list[DaemonSettings] = []

    class Short:
        def __init__(self, folder: StateFolder, settings: DaemonSettings, **more: Any) -> None:
            lived.append(settings)

        async def run(self, stop: anyio.Event) -> bool:
            return len(lived) == 1

    def replaced(program: str, arguments: list[str]) -> None:
        raise Replaced

    monkeypatch.setattr(process, "Daemon", Short)
    monkeypatch.setattr(os, "execv", replaced)
    yield lived
    os.environ.pop(LOCK_HANDLE, None)


def test_when_idle_it_is_replaced_by_its_own_program(
    folder: StateFolder, config: Path, lives: list[DaemonSettings]
) -> None:
    with pytest.raises(Replaced):
        run_daemon(folder, log=LOG)

    assert lives == [DaemonSettings(max_active=2)]
    assert os.environ[LOCK_HANDLE].isdigit()


def test_an_invalid_configuration_is_logged_and_the_daemon_stays(
    folder: StateFolder,
    config: Path,
    lives: list[DaemonSettings],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    read = user_settings

    def then_spoiled(*asked: Any) -> DaemonSettings:
        settings = read(*asked)
        config.write_text("[publisher]\nmax_active = 'many'\n")
        return settings

    monkeypatch.setattr(process, "user_settings", then_spoiled)
    run_daemon(folder, log=LOG)

    assert lives == [DaemonSettings(max_active=2)] * 2
    [record] = caplog.records
    assert f"{config}: [publisher] max_active must be a number from 1 to 64" in record.getMessage()


def test_a_daemon_that_cannot_be_replaced_continues_and_keeps_its_lock(
    folder: StateFolder,
    config: Path,
    lives: list[DaemonSettings],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Such as while the package manager replaces the interpreter."""

    def missing(program: str, arguments: list[str]) -> None:
        with pytest.raises(Owned):
            Lock(folder.daemon_lock).acquire()
        raise OSError(errno.ENOENT, os.strerror(errno.ENOENT))

    monkeypatch.setattr(os, "execv", missing)
    run_daemon(folder, log=LOG)

    assert len(lives) == 2
    [record] = caplog.records
    assert "cannot be executed again (No such file or directory)" in record.getMessage()


def test_a_daemon_that_cannot_start_never_holds_the_lock(folder: StateFolder, config: Path) -> None:
    """Whoever holds the lock counts as started."""
    config.write_text("[publisher]\nmax_active = 0\n")
    with pytest.raises(LocalProblem, match="max_active must be a number from 1 to 64"):
        run_daemon(folder, log=LOG)
    assert not folder.daemon_lock.exists()


def test_a_daemon_whose_pid_cannot_be_written_does_not_run(
    folder: StateFolder, config: Path, lives: list[DaemonSettings], monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a full disk, a new lock file stays empty: `status` would not find the daemon, and `stop` not stop it."""

    def full(*_arguments: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    folder.user_key()  # of an earlier command, when there was room
    with monkeypatch.context() as disk:
        disk.setattr(os, "pwrite", full)
        with pytest.raises(LocalProblem, match=r"lock .* cannot be written: the disk is full") as problem:
            run_daemon(folder, log=LOG)
    assert (problem.value.reason, lives) == (Reason.DISK_FULL, [])
    with Lock(folder.daemon_lock):  # it does not keep the lock either
        pass
