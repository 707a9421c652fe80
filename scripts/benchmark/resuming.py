"""What is left to do after a publish was killed late: the time of its resume, to that of a whole publish."""

import subprocess
import time
from collections.abc import Mapping
from pathlib import Path

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


def _resume(bench: Bench, jobs: int, limit: int) -> Cost:
    bench.say(f"kill and resume, {setting(jobs, 0.0)}")
    with bench.fresh(jobs) as (cwd, environ):
        held = cwd.parent / "held"
        with registry(cwd.parent / "data", delay=0.0, hold=(limit, held)) as url:
            environ |= {"GLAAS_URL": url}
            _publish_until(held, cwd, environ)
            held.unlink()
            cost, _ = run(RESUME, cwd=cwd, environ=environ)
    return cost


def _publish_until(held: Path, cwd: Path, environ: Mapping[str, str]) -> None:
    """Publish until the registry stops replying, then kill the publish."""
    with subprocess.Popen(
        PUBLISH, cwd=cwd, env=environ, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        try:
            while not held.exists():
                if process.poll() is not None:
                    raise Failed(f"the publish ended with {process.returncode} before it could be killed")
                time.sleep(POLL_SECONDS)
            time.sleep(COMMIT_SECONDS)
        finally:
            process.kill()
