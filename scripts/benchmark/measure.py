"""Running one client against one fresh registry, and what the kernel says that it cost."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

SHOWN = 2000
"""Characters of a failed program's output that are shown: the last ones."""
MEBIBYTE = 1024 * 1024
KIBIBYTE = 1024


@dataclass(frozen=True, slots=True)
class Cost:
    """What a process and its children took: seconds of wall and CPU time, and the peak of its memory in MiB."""

    wall: float
    cpu: float
    peak_mib: float


@dataclass(frozen=True, slots=True)
class Row:
    """One measured client.  ratio: its wall time over that of ours in the same setting."""

    setting: str
    client: str
    cost: Cost
    ratio: float


def median(costs: Sequence[Cost]) -> Cost:
    """The cost of the run with the median wall time."""
    return sorted(costs, key=lambda cost: cost.wall)[len(costs) // 2]


class Failed(Exception):
    """A measured program failed; the text is its output."""


def run(command: Sequence[str], *, cwd: Path, environ: Mapping[str, str]) -> tuple[Cost, str]:
    """Run `command` to its end; what it cost, and what it wrote.  Raises Failed."""
    output = cwd.parent / "output"
    with output.open("wb") as file:
        began = time.perf_counter()
        process = subprocess.Popen(
            command, cwd=cwd, env=environ, stdin=subprocess.DEVNULL, stdout=file, stderr=subprocess.STDOUT
        )
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.perf_counter() - began
    process.returncode = os.waitstatus_to_exitcode(status)
    text = output.read_text("utf-8", "replace")
    if process.returncode:
        raise Failed(f"{' '.join(command)} ended with {process.returncode}:\n{text[-SHOWN:]}")
    return Cost(wall, usage.ru_utime + usage.ru_stime, _peak_mib(usage.ru_maxrss)), text


@contextmanager
def registry(data: Path, *, delay: float, record: Path | None = None) -> Iterator[str]:
    """A registry in a process of its own on fresh `data`, with so many seconds of delay a request; gives its URL."""
    options = ["--delay", str(delay), *(["--record", str(record)] if record else [])]
    command = [sys.executable, "-m", "benchmark.server", str(data), *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            url = process.stdout.readline().strip() if process.stdout else ""
            if not url:
                raise Failed("the registry did not start")
            yield url
        finally:
            process.send_signal(signal.SIGTERM)


@contextmanager
def fresh_copy(project: Path, folder: Path) -> Iterator[tuple[Path, dict[str, str]]]:
    """A copy of a project that nothing was published from, and an environment with a home of its own."""
    shutil.copytree(project, folder / "project", symlinks=True)
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("ROAR_", "GLAAS_", "XDG_"))}
    environ |= {"HOME": str(folder), "ROAR_STATE_DIR": str(folder / "state")}
    try:
        yield folder / "project", environ
    finally:
        shutil.rmtree(folder)


def _peak_mib(maxrss: int) -> float:
    return maxrss * (1 if sys.platform == "darwin" else KIBIBYTE) / MEBIBYTE
