"""What a daemon at rest takes: CPU time and memory, as the kernel counts them, before work and after it."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmark.measure import Failed, registry
from roar_publisher.state.machine import Event, State
from roar_publisher.state.paths import PublishPaths, StateFolder
from roar_publisher.state.status_reader import read_status
from tests.support.lineages import Lineage, chain, cut, frozen

ENDED = 100
"""Publishes in the state folder that have ended long ago."""
WORK = 20
JOBS = 50
"""Of each publish that the daemon works on in between."""
SETTLED_SECONDS = 10.0
WINDOWS = 5
WINDOW_SECONDS = 12.0
"""A daemon at rest is watched for so many windows, one after the other."""
REST_SECONDS = 75.0
"""After so long without work a daemon has begun anew."""
DAEMON = (sys.executable, "-P", "-m", "roar_publisher", "daemon", "run", "--quiet")
TO_ITS_END = (Event.PROBED, Event.SELECTED, Event.OPENED, Event.STAGED, Event.FINALIZED)
LONG_AGO = 1_700_000_000.0


@dataclass(frozen=True, slots=True)
class Idle:
    """cpu: per cent of one core.  resident, own: MiB, with and without the pages that other processes share."""

    when: str
    cpu: float
    resident: float
    own: float


def idle_daemon(folder: Path, say: Callable[[str], None]) -> list[Idle]:
    """Measure a real daemon over a folder of ended publishes: new, after work, and once it has begun anew."""
    state = StateFolder(folder / "state")
    for _ in range(ENDED):
        _ended(state)
    environ = os.environ | {"ROAR_STATE_DIR": str(state.root), "HOME": str(folder)}
    with registry(folder / "data", delay=0.0) as url, _daemon(environ) as daemon:
        measured = _watch(daemon, "before work", say)
        say(f"{WORK} publishes of {JOBS} jobs")
        work = [_queued(state, cut(chain(JOBS + number)), url) for number in range(WORK)]
        while not all(read_status(paths).progress.state is State.DONE for paths in work):
            time.sleep(1)
        measured.append(Idle("right after work", float("nan"), *_memory(daemon.pid)))
        time.sleep(REST_SECONDS)
        measured += _watch(daemon, "after work, begun anew", say)
    return measured


def _watch(daemon: "subprocess.Popen[bytes]", when: str, say: Callable[[str], None]) -> list[Idle]:
    """One `Idle` for each window."""
    say(f"a daemon at rest, {when}, for {WINDOWS * WINDOW_SECONDS:.0f} s")
    time.sleep(SETTLED_SECONDS)
    windows = []
    for _ in range(WINDOWS):
        if daemon.poll() is not None:
            raise Failed(f"the daemon ended with {daemon.returncode}")
        before, began = _cpu_seconds(daemon.pid), time.monotonic()
        time.sleep(WINDOW_SECONDS)
        cpu = (_cpu_seconds(daemon.pid) - before) / (time.monotonic() - began)
        windows.append(Idle(when, 100 * cpu, *_memory(daemon.pid)))
    return windows


@contextmanager
def _daemon(environ: dict[str, str]) -> Iterator["subprocess.Popen[bytes]"]:
    with subprocess.Popen(DAEMON, env=environ) as process:
        try:
            yield process
        finally:
            process.terminate()


def _cpu_seconds(pid: int) -> float:
    """User and system time; to a nanosecond, where ticks of 10 ms would say nothing of so little."""
    return sum(int(task.read_text().split()[0]) for task in Path(f"/proc/{pid}/task").glob("*/schedstat")) / 1e9


def _memory(pid: int) -> tuple[float, float]:
    facts = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:])
    kib = {name: int(value.split()[0]) for name, value in facts.items()}
    return kib["Rss"] / 1024, (kib["Private_Clean"] + kib["Private_Dirty"]) / 1024


def _queued(state: StateFolder, lineage: Lineage, url: str) -> PublishPaths:
    with frozen(state, lineage, registry=url) as owned:
        owned.journal.queue.configure(agreed=True)
        owned.journal.queue.detach()
        return owned.paths


def _ended(state: StateFolder) -> None:
    with frozen(state, cut(chain(JOBS))) as owned:
        for event in TO_ITS_END:
            owned.journal.checkpoint(event)
        owned.journal.queue.set_notified(True)
    os.utime(owned.paths.journal, (LONG_AGO, LONG_AGO))
