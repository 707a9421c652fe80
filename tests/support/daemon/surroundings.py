"""What a daemon works with, in real processes that can be killed: a registry, a network, and the daemon itself."""

import os
import signal
import sqlite3
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path

from roar_publisher.registry.store.private_data import LINEAGES_NAME
from roar_publisher.state.errors import LocalProblem
from roar_publisher.state.lock import owner
from roar_publisher.state.machine import State
from roar_publisher.state.paths import StateFolder
from roar_publisher.state.status import JournalStatus
from roar_publisher.state.status_reader import read_status
from tests.support.cli.program import PATIENCE, Program, serving
from tests.support.daemon.daemons import daemons_of, pid_of, until
from tests.support.daemon.worlds import PUBLISHED
from tests.support.ports import reserved_port
from tests.support.processes import line_of, running

SERVING = ("registry", "serve", "--port")


class Registry:
    """A registry that can die and come back at the same address.  data: its folder."""

    def __init__(self, data: Path) -> None:
        self._data = data
        self.port = reserved_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._running = ExitStack()

    def start(self) -> None:
        line = self._running.enter_context(serving(*SERVING, str(self.port), "--data", str(self._data)))
        assert line == self.url

    def kill(self) -> None:
        """SIGKILL.  Harmless if repeated."""
        self._running.close()

    def published(self) -> list[tuple[object, ...]]:
        """What its database holds; it must not run meanwhile."""
        with closing(sqlite3.connect(self._data / LINEAGES_NAME)) as connection:
            return sorted(tuple(row) for row in connection.execute(PUBLISHED))


@contextmanager
def registry_at(data: Path) -> Iterator[Registry]:
    registry = Registry(data)
    registry.start()
    try:
        yield registry
    finally:
        registry.kill()


class Link:
    """The network between a daemon and its registry: a proxy that loses what it is ordered to lose."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process
        self.url = line_of(process)

    def order(self, order: str) -> None:
        """Put an order of `tests.support.faults.proxy` in force."""
        assert self._process.stdin is not None
        self._process.stdin.write(order + "\n")
        self._process.stdin.flush()
        while (line := line_of(self._process)) != "ready":
            assert line == "stalled"

    def cut(self) -> None:
        """Drop everything from now on, without an error."""
        self._process.send_signal(signal.SIGSTOP)

    def restore(self) -> None:
        self._process.send_signal(signal.SIGCONT)


@contextmanager
def link_to(registry: Registry, seed: int) -> Iterator[Link]:
    with running("-m", "tests.support.faults.proxy", registry.url, str(seed)) as process:
        yield Link(process)


def kill_daemon(program: Program) -> int | None:
    """SIGKILL to the daemon, if one runs; returns once its lock is free."""
    pid = pid_of(program)
    if pid is None:
        return None
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
    until(lambda: pid_of(program) != pid)
    return pid


def wait_until(condition: Callable[[], bool], seconds: float = PATIENCE) -> None:
    """Wait for what other processes do, and look at it seldom, because to look takes time from them.

    Fails when it has not come about in time.
    """
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come about"
        time.sleep(0.1)


def publishes_of(program: Program) -> list[JournalStatus]:
    """Every publish that is planned."""
    found = []
    for paths in StateFolder(program.state).all_publishes():
        with suppress(LocalProblem):
            found.append(read_status(paths))
    return found


def wanted_of(found: list[JournalStatus]) -> list[tuple[object, ...]]:
    """What `PUBLISHED` says where every one of these publishes is there once, as it was planned."""
    plans = [(one.progress.hash, one.plan) for one in found]
    return sorted((hash_, plan.jobs, plan.artifacts, plan.inputs, plan.outputs, plan.labels) for hash_, plan in plans)


def check_clean(program: Program) -> None:
    """Every publish is published with nothing held against it; no process, lock or temporary file is left."""
    wait_until(lambda: not daemons_of(program))  # the lock is free an instant before the process is gone
    folder = StateFolder(program.state)
    for found in publishes_of(program):
        assert found.progress.state is State.DONE, found.progress
        assert (found.progress.reason, found.progress.detail, found.owner) == ("", "", None)
        assert (found.queued.notified, found.queued.parked, found.queued.next_attempt) == (True, False, None)
        with closing(sqlite3.connect(found.paths.journal)) as connection:
            assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        left = {path.name for path in found.paths.folder.iterdir() if path.stat().st_size}
        assert left <= {"journal.db", "lock"}, left
        assert owner(found.paths.claim) is None
    left = {path.name for path in folder.root.iterdir()}
    receipts = {f"{found.progress.hash}.{found.paths.id}.json" for found in publishes_of(program)}
    assert {path.name for path in folder.receipts.iterdir()} == receipts
    assert left - {"daemon.log.1", "daemon.log.2", "plan.lock"} == {
        "publishes",
        "receipts",
        "key",
        "key.lock",
        "daemon.lock",
        "daemon.log",
    }


def log_of(program: Program) -> list[str]:
    """The daemon's log, over rotations, oldest first."""
    files = [program.state / f"daemon.log{suffix}" for suffix in (".2", ".1", "")]
    return [line for file in files if file.exists() for line in file.read_text().splitlines()]
