"""Whoever queues a publish while a drain runs relies on it, up to the moment in which its lock is free."""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import ParamSpec, TypeVar

import anyio
import httpx2
import pytest

from roar_publisher.auth.keyring import Keyring
from roar_publisher.blocking import RunBlocking
from roar_publisher.daemon.dependencies import Dependencies
from roar_publisher.daemon.process import run_daemon
from roar_publisher.daemon.service import Daemon
from roar_publisher.daemon.settings import DaemonSettings
from roar_publisher.state.machine import State
from roar_publisher.state.paths import PublishPaths, StateFolder
from roar_publisher.state.status_reader import read_status
from tests.support.blocking import inline
from tests.support.lineages import chain, cut, frozen
from tests.support.send_policies import policy_for

P = ParamSpec("P")
T = TypeVar("T")
LOG = logging.getLogger("tests.daemon.left_behind")
END = "the daemon exits"


def queue(folder: StateFolder) -> PublishPaths:
    with frozen(folder, cut(chain(2))) as publish:
        publish.journal.queue.configure(agreed=True)
        publish.journal.queue.detach()
    return publish.paths


def dependencies(folder: StateFolder, run_blocking: RunBlocking = inline) -> Dependencies:
    """Return those of a daemon whose registry refuses everything, so that a publish fails."""

    def keyring() -> Keyring:
        return Keyring({}, folder.root, policy_for(home=folder.root), clock=lambda: 0.0, run_blocking=inline)

    transport = httpx2.MockTransport(lambda request: httpx2.Response(400, json={"detail": "no"}))
    return Dependencies(transport=transport, keyring=keyring, run_blocking=lambda: run_blocking)


@pytest.mark.anyio
async def test_what_is_queued_during_the_last_scan_is_started(folder: StateFolder) -> None:
    queued: list[PublishPaths] = []

    async def run(call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        found = call(*args, **kwargs)
        if not queued:  # in the first scan; it has listed the folder already
            queued.append(queue(folder))
            daemon.wake()
        return found

    folder.user_key()
    daemon = Daemon(folder, DaemonSettings(notify=False), log=LOG, dependencies=dependencies(folder, run), drain=True)
    await daemon.run(anyio.Event())
    assert read_status(queued[0]).progress.state is State.FAILED
    assert not daemon.left_behind()


class Ends(logging.Handler):
    """Calls something whenever a daemon ends, which holds its lock still."""

    def __init__(self, call: Callable[[], None]) -> None:
        super().__init__()
        self._call = call
        self.count = 0

    def emit(self, record: logging.LogRecord) -> None:
        if record.getMessage() == END:
            self.count += 1
            self._call()


def test_what_is_queued_until_the_lock_is_free_is_started(
    folder: StateFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    queued: list[PublishPaths] = []
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    (tmp_path / "roar").mkdir()
    (tmp_path / "roar" / "config.toml").write_text("[publisher]\nnotify = false\n")
    ends = Ends(lambda: None if queued else queued.append(queue(folder)))
    monkeypatch.setattr(LOG, "handlers", [ends])
    LOG.setLevel(logging.INFO)
    run_daemon(folder, log=LOG, dependencies=dependencies(folder), drain=True)
    assert read_status(queued[0]).progress.state is State.FAILED
    assert ends.count == 2


@pytest.mark.anyio
async def test_a_drain_that_was_asked_to_stop_looks_for_nothing_more(folder: StateFolder) -> None:
    folder.user_key()
    stop = anyio.Event()
    stop.set()
    daemon = Daemon(folder, DaemonSettings(notify=False), log=LOG, dependencies=dependencies(folder), drain=True)
    await daemon.run(stop)
    queue(folder)
    assert not daemon.left_behind()
