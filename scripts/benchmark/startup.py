"""What passes before a command does its work: time to the end of `--help`, time to the first request, modules."""

import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from benchmark.measure import Cost, Failed
from benchmark.publishing import PUBLISH, WITHOUT_TRIO, Bench
from benchmark.table import Figure, ratio

GROUP = "startup"
JOBS = 5
REPETITIONS = 5
STARTS = 5
"""Starts of each program in one repetition, of which the median counts: a single one is easily disturbed."""
COUNTED = (
    WITHOUT_TRIO + "from roar_publisher.__main__ import run; code = run(sys.argv[1:]);"
    " sys.stderr.write(f'\\nmodules: {sum(map(bool, sys.modules.values()))}\\n'); sys.exit(code)"
)
HELP = (sys.executable, "-m", "roar_publisher", "publish", "--help")
BARE_PYTHON = (sys.executable, "-c", "pass")
IMPORTS = "import httpx2, click, sqlite3"
BARE_IMPORTS = (sys.executable, "-c", WITHOUT_TRIO + IMPORTS)
REQUEST_SECONDS = 60.0
"""How long a publish may take to its first request."""


def startup(bench: Bench) -> list[Figure]:
    """Every figure of this module."""
    bench.say("start-up")
    publish, imports = _repeat(lambda: _first_request(bench), lambda: _seconds(BARE_IMPORTS))
    shown, python = _repeat(lambda: _seconds(HELP), lambda: _seconds(BARE_PYTHON))
    return [
        ratio(
            f"{JOBS} jobs: start of `roar publish` to its first request, to `{IMPORTS}`",
            GROUP,
            publish,
            imports,
            "lower",
            "first request after {over}, imports {under}",
        ),
        ratio(
            "`roar publish --help`, to a Python that does nothing",
            GROUP,
            shown,
            python,
            "lower",
            "`--help` {over}, Python {under}",
        ),
        *modules(bench),
    ]


def modules(bench: Bench) -> list[Figure]:
    """How many modules a command has at its end, Python's own ones included."""
    counted = (sys.executable, "-c", COUNTED)
    done = subprocess.run([*counted, *HELP[3:]], capture_output=True, text=True, check=True)
    _, published = bench.output([*counted, *PUBLISH[3:]], JOBS, 0.0)
    return [
        Figure(name, GROUP, (float(modules_in(text)),), "modules", "lower")
        for name, text in {
            "modules that `roar publish --help` loads": done.stderr,
            f"{JOBS} jobs: modules that `roar publish` loads": published,
        }.items()
    ]


def modules_in(text: str) -> int:
    """The number that a `COUNTED` program wrote."""
    return int(text.rpartition("modules: ")[2])


def _repeat(ours: Callable[[], float], other: Callable[[], float]) -> tuple[list[Cost], list[Cost]]:
    """Measure both in turn; a repetition is the median of its starts."""
    costs: tuple[list[Cost], list[Cost]] = ([], [])
    for _ in range(REPETITIONS):
        pairs = [(ours(), other()) for _ in range(STARTS)]
        for column, seconds in zip(costs, zip(*pairs, strict=True), strict=True):
            column.append(Cost(statistics.median(seconds), 0.0, 0.0))
    return costs


def _seconds(command: Sequence[str]) -> float:
    began = time.perf_counter()
    subprocess.run(command, stdout=subprocess.DEVNULL, check=True)
    return time.perf_counter() - began


def _first_request(bench: Bench) -> float:
    """Seconds from the start of a publish until its first request arrives. It gets no reply, and is killed."""
    with bench.fresh(JOBS) as (cwd, environ), socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(REQUEST_SECONDS)
        environ |= {"GLAAS_URL": f"http://127.0.0.1:{listener.getsockname()[1]}"}
        return _until_request(listener, PUBLISH, cwd, environ)


def _until_request(listener: socket.socket, command: Sequence[str], cwd: Path, environ: Mapping[str, str]) -> float:
    began = time.perf_counter()
    with subprocess.Popen(
        command, cwd=cwd, env=environ, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        try:
            connection, _ = listener.accept()
            with connection:
                connection.settimeout(REQUEST_SECONDS)
                if not connection.recv(1):
                    raise Failed("the publish connected and sent nothing")
                return time.perf_counter() - began
        except TimeoutError as error:
            raise Failed(f"the publish sent no request within {REQUEST_SECONDS:.0f} s") from error
        finally:
            process.kill()
