"""Running one client against one fresh registry, and what the kernel says that it cost."""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

SHOWN = 2000
"""Characters of a failed program's output that are shown: the last ones."""
MEBIBYTE = 1024 * 1024
LAUNCHER = Path(__file__).with_name("launcher.py")


@dataclass(frozen=True, slots=True)
class Cost:
    """What a process and its children took: seconds of wall and CPU time, and the peak of its memory in MiB."""

    wall: float
    cpu: float
    peak_mib: float


def median(costs: Sequence[Cost]) -> Cost:
    """The cost of the run with the median wall time."""
    return sorted(costs, key=lambda cost: cost.wall)[len(costs) // 2]


class Failed(Exception):
    """A measured program failed; the text is its output."""


def launched(command: Sequence[str], report: Path) -> list[str]:
    """`command` as `benchmark.launcher` starts it, which writes its cost to `report`."""
    return [sys.executable, "-I", "-S", str(LAUNCHER), str(report), *command]


def run(command: Sequence[str], *, cwd: Path, environ: Mapping[str, str]) -> tuple[Cost, str]:
    """Run `command` to its end; what it cost, and what it wrote. Raises Failed."""
    output, report = cwd.parent / "output", cwd.parent / "cost"
    with output.open("wb") as file:
        done = subprocess.run(
            launched(command, report),
            cwd=cwd,
            env=environ,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
        )
    text = output.read_text("utf-8", "replace")
    if done.returncode:
        raise Failed(f"{' '.join(command)} ended with {done.returncode}:\n{text[-SHOWN:]}")
    return Cost(**json.loads(report.read_text("utf-8"))), text


@contextmanager
def registry(
    data: Path,
    *,
    delay: float,
    record: Path | None = None,
    hold: tuple[int, Path] | None = None,
    port: int = 0,
    small_requests: bool = False,
) -> Iterator[str]:
    """A registry in a process of its own on `data`, with so many seconds of delay a request; gives its URL.

    `hold` is a number of bytes, and a file; `small_requests` is `--small`: see `benchmark.server`.
    """
    options = ["--port", str(port), "--delay", str(delay), *(["--record", str(record)] if record else [])]
    options += ["--hold", *map(str, hold)] if hold else []
    options += ["--small"] if small_requests else []
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
