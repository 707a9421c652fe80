"""What is left to do after a publish was killed late: the time of its resume, to that of a whole publish."""

import statistics
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from urllib.parse import urlsplit

from benchmark.measure import Cost, Failed, registry, run
from benchmark.publishing import PROGRAM, PUBLISH, Bench, setting
from benchmark.recording import read_sent
from benchmark.table import Figure, ratio

GROUP = "resume"
DONE = 0.9
"""Share of the bytes of a publish that are sent before it is killed."""
REPETITIONS = 3
POLL_SECONDS = 0.01
COMMIT_SECONDS = 0.3
"""The publish lives on for so long without a reply: what was acknowledged is committed."""
FIRST_UNIT_SECONDS = 1.0
RESUME = (*PROGRAM, "publish", "--resume", "-y", "-q")


def resuming(bench: Bench, jobs: int) -> list[Figure]:
    """The figure for a project of so many jobs."""
    limit = int(DONE * sum(len(sent.body) for sent in read_sent(bench.recording(jobs))))
    whole: list[Cost] = []
    resumed: list[Cost] = []
    for _ in range(REPETITIONS):
        whole.append(bench.client(PUBLISH, jobs, 0.0))
        resumed.append(_resume(bench, jobs, limit))
    name = f"{setting(jobs, 0.0)}: resume of a publish that was killed at {DONE:.0%}, to a whole one"
    return [ratio(name, GROUP, resumed, whole, "lower", "resume {over}, whole {under}")]


def first_request(bench: Bench, jobs: int, recorded: int) -> Figure:
    """How long a resume of so many jobs takes to send the first unit.

    What is nine tenths of its bytes is estimated from a project of `recorded` jobs.
    """
    size = sum(len(sent.body) for sent in read_sent(bench.recording(recorded))) * jobs // recorded
    bench.say(f"kill and resume up to the first unit, {setting(jobs, 0.0)}")
    with bench.fresh(jobs) as (cwd, environ):
        held, arrived, data = cwd.parent / "held", cwd.parent / "arrived", cwd.parent / "data"
        with registry(data, delay=0.0, hold=(int(DONE * size), held)) as url:
            environ |= {"GLAAS_URL": url}
            _run_until(held, PUBLISH, cwd, environ)
        seconds = []
        for _ in range(REPETITIONS):
            arrived.unlink(missing_ok=True)
            with registry(data, delay=0.0, hold=(1, arrived), port=urlsplit(url).port or 0):
                seconds.append(_run_until(arrived, RESUME, cwd, environ))
    name = f"{setting(jobs, 0.0)}: start of a resume at {DONE:.0%} to its first unit, of {FIRST_UNIT_SECONDS:.0f} s"
    shares = tuple(100 * taken / FIRST_UNIT_SECONDS for taken in seconds)
    return Figure(name, "large", shares, "%", "lower", f"{statistics.median(seconds):.3g} s")


def _resume(bench: Bench, jobs: int, limit: int) -> Cost:
    bench.say(f"kill and resume, {setting(jobs, 0.0)}")
    with bench.fresh(jobs) as (cwd, environ):
        held = cwd.parent / "held"
        with registry(cwd.parent / "data", delay=0.0, hold=(limit, held)) as url:
            environ |= {"GLAAS_URL": url}
            _run_until(held, PUBLISH, cwd, environ)
            held.unlink()
            cost, _ = run(RESUME, cwd=cwd, environ=environ)
    return cost


def _run_until(held: Path, command: Sequence[str], cwd: Path, environ: Mapping[str, str]) -> float:
    """Run a publish until the registry stops replying, then kill it. Seconds until the registry stopped."""
    began = time.perf_counter()
    with subprocess.Popen(
        command, cwd=cwd, env=environ, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        try:
            while not held.exists():
                if process.poll() is not None:
                    raise Failed(f"the publish ended with {process.returncode} before it could be killed")
                time.sleep(POLL_SECONDS)
            seconds = time.perf_counter() - began
            time.sleep(COMMIT_SECONDS)
            return seconds
        finally:
            process.kill()
