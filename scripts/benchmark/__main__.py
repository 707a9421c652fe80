"""Measures `roar publish`: beside roar-cli, beside a bare client loop, its start-up, its memory; and uploads.

All clients do the same to the same kind of server, each to a fresh one, in one go.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from benchmark.daemon import idle_daemon, table
from benchmark.measure import Cost, Failed, Row, fresh_copy, median, registry, run
from benchmark.person import give_key
from benchmark.upload import SERVERS, compare_uploads

LINKS_PER_JOB = 10
DELAYS = (0.0, 0.05)
"""Seconds that a request takes longer than the server needs for it."""
LARGE_JOBS = 100_000
STARTUPS = 21
REPEATS = 3
"""Runs of a quick client, of which the one with the median wall time counts; roar-cli takes minutes and runs once."""
SIGNING_REPEATS = 5
"""The same, where a few per cent are looked for."""

PUBLISH = (sys.executable, "-m", "roar_publisher", "publish", "--public", "-y", "-q")
ANONYMOUS = (sys.executable, "-m", "roar_publisher", "publish", "--anonymous", "-y", "-q")
ROAR_CLI = (sys.executable, "-m", "roar", "register", "--public", "-y")
HELP = (sys.executable, "-m", "roar_publisher", "publish", "--help")
BARE_PYTHON = (sys.executable, "-c", "pass")


class Bench:
    """One session of measuring, in a folder that is thrown away."""

    def __init__(self, folder: Path, say: Callable[[str], None]) -> None:
        self._folder = folder
        self._say = say
        self._runs = 0

    def compare(self, jobs: int) -> list[Row]:
        """Every client at every delay."""
        project = self._project(jobs)
        recording = self._folder / "recording"
        self._client(PUBLISH, project, 0.0, record=recording)
        rows = []
        for delay in DELAYS:
            bare = (sys.executable, "-m", "benchmark.bare", "{url}", str(recording))
            quick = [
                (self._client(PUBLISH, project, delay), self._client(bare, project, delay)) for _ in range(REPEATS)
            ]
            costs = {
                "roar publish": median([ours for ours, _ in quick]),
                "bare loop": median([theirs for _, theirs in quick]),
                "roar-cli register": self._client(ROAR_CLI, project, delay),
            }
            setting = f"{jobs:,} jobs, {jobs * LINKS_PER_JOB:,} links, {delay * 1000:.0f} ms a request"
            ours = costs["roar publish"].wall
            rows += [Row(setting, name, cost, cost.wall / ours) for name, cost in costs.items()]
        return rows

    def signing(self, jobs: int) -> list[Row]:
        """The same publish without a credential and with an SSH key, in turn: what signing every request adds."""
        project = self._project(jobs)
        rows = []
        for delay in DELAYS:
            pairs = [
                (self._client(ANONYMOUS, project, delay), self._client(PUBLISH, project, delay, signed=True))
                for _ in range(SIGNING_REPEATS)
            ]
            anonymous, signed = (median(list(costs)) for costs in zip(*pairs, strict=True))
            setting = f"{jobs:,} jobs, {jobs * LINKS_PER_JOB:,} links, {delay * 1000:.0f} ms a request"
            rows += [
                Row(setting, "anonymous", anonymous, 1.0),
                Row(setting, "signed by SSH key", signed, signed.wall / anonymous.wall),
            ]
        return rows

    def large(self) -> Row:
        """The largest project that is promised: what counts is the peak of memory."""
        cost = self._client(PUBLISH, self._project(LARGE_JOBS), 0.0)
        return Row(f"{LARGE_JOBS:,} jobs, {LARGE_JOBS * LINKS_PER_JOB:,} links", "roar publish", cost, 1.0)

    def startup(self) -> dict[str, float]:
        """Median seconds of `--help`, and of a Python that does nothing."""
        self._say("start-up")
        medians = {}
        for name, command in {"roar publish --help": HELP, "python -c pass": BARE_PYTHON}.items():
            medians[name] = statistics.median(self._seconds(command) for _ in range(STARTUPS))
        return medians

    def _seconds(self, command: Sequence[str]) -> float:
        began = time.perf_counter()
        subprocess.run(command, stdout=subprocess.DEVNULL, check=True)
        return time.perf_counter() - began

    def _project(self, jobs: int) -> Path:
        """Made by a process of its own: the memory of this one would count as that of its children."""
        self._say(f"making a project of {jobs:,} jobs")
        project = self._folder / f"project-{jobs}"
        command = [sys.executable, "-m", "tests.support.synthetic", str(project)]
        subprocess.run([*command, "--jobs", str(jobs), "--links", str(LINKS_PER_JOB)], check=True, capture_output=True)
        return project

    def _client(
        self, command: Sequence[str], project: Path, delay: float, *, record: Path | None = None, signed: bool = False
    ) -> Cost:
        self._runs += 1
        self._say(f"{' '.join(command[2:4])}, {delay * 1000:.0f} ms a request")
        folder = self._folder / f"run-{self._runs}"
        with fresh_copy(project, folder) as (cwd, environ):
            if signed:
                give_key(folder, folder / "data")
            with registry(folder / "data", delay=delay, record=record) as url:
                filled = [part.replace("{url}", url) for part in command]
                cost, _ = run(filled, cwd=cwd, environ=environ | {"GLAAS_URL": url})
        return cost


def main() -> None:
    arguments = _arguments()
    try:
        with tempfile.TemporaryDirectory(prefix="roar-bench-") as folder:
            if arguments.daemon:
                sys.stdout.write(table(idle_daemon(Path(folder), _say)))
                return
            bench = Bench(Path(folder), _say)
            startup = bench.startup()
            if arguments.upload:
                rows = compare_uploads(Path(folder), DELAYS, SERVERS[arguments.store], _say)
            elif arguments.large:
                rows = [bench.large()]
            else:
                rows = bench.signing(arguments.jobs) if arguments.signing else bench.compare(arguments.jobs)
    except Failed as failure:
        sys.exit(str(failure))
    if arguments.json:
        report: Mapping[str, object] = {"rows": [asdict(row) for row in rows], "startup_seconds": startup}
        sys.stdout.write(json.dumps(report, indent=2) + "\n")
    else:
        sys.stdout.write(_table(rows, startup))


def _table(rows: Sequence[Row], startup: Mapping[str, float]) -> str:
    lines = []
    for setting in dict.fromkeys(row.setting for row in rows):
        lines.append(f"\n{setting}")
        lines.append(f"  {'':20}{'wall s':>9}{'CPU s':>9}{'peak MiB':>10}{'wall ratio':>12}")
        for row in rows:
            if row.setting == setting:
                cost = row.cost
                figures = f"{cost.wall:9.2f}{cost.cpu:9.2f}{cost.peak_mib:10.0f}{row.ratio:11.2f}x"
                lines.append(f"  {row.client:20}{figures}")
    lines.append(f"\nstart-up, median of {STARTUPS}")
    lines += [f"  {name:20}{seconds * 1000:9.0f} ms" for name, seconds in startup.items()]
    return "\n".join(lines) + "\n"


def _say(text: str) -> None:
    sys.stderr.write(f"... {text}\n")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scripts/bench", description=__doc__)
    size = parser.add_mutually_exclusive_group()
    size.add_argument("--jobs", type=int, default=1000, help="size of the project (1000; roar-cli takes minutes)")
    size.add_argument("--quick", action="store_const", dest="jobs", const=100, help="the same as --jobs 100")
    size.add_argument("--large", action="store_true", help=f"{LARGE_JOBS:,} jobs, `roar publish` alone: its memory")
    parser.add_argument("--signing", action="store_true", help="compare an SSH key with no credential instead")
    parser.add_argument("--daemon", action="store_true", help="what a daemon at rest takes (Linux; three minutes)")
    parser.add_argument("--upload", action="store_true", help="compare uploads to an object store with boto3's instead")
    parser.add_argument("--store", choices=SERVERS, default="rclone", help="the object store of --upload (rclone)")
    parser.add_argument("--json", action="store_true", help="JSON instead of a table")
    return parser.parse_args()


if __name__ == "__main__":
    main()
