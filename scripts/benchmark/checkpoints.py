"""A training that submits checkpoints faster than the link carries them: how long each submit takes, and what is sent.

    python -m benchmark.checkpoints DESTINATION REGISTRY BYTES

trains in the current folder, and prints JSON: the seconds of each submit, and what became of each checkpoint. A real
daemon publishes to a real S3 server, over a link that its `limit_rate` makes slow.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from benchmark.measure import MEBIBYTE, SHOWN, Failed, registry
from benchmark.table import Figure
from roar_publisher import CheckpointPublisher
from roar_publisher.daemon.background import stop
from roar_publisher.state.paths import StateFolder
from tests.support.lineage.captured import captured_project
from tests.support.storage.servers import AWS, BUCKET, rclone

STEPS = 2_000
EVERY = 50
STEP_SECONDS = 0.01
LINK = "1M"
"""Bytes a second, as in a configuration."""
ALLOWED_SECONDS = 0.01
PERCENTILE = 0.99
PATIENCE_SECONDS = 3_600.0


@dataclass(frozen=True, slots=True)
class Trained:
    """submits: seconds, in their order.  states: by step."""

    submits: list[float]
    states: dict[int, str]

    @property
    def percentile(self) -> float:
        """The seconds that 99 % of the submits took at most."""
        return sorted(self.submits)[int(PERCENTILE * (len(self.submits) - 1))]


def submits(folder: Path, size: int, say: Callable[[str], None]) -> list[Figure]:
    """The figures for checkpoints of so many bytes. Raises Failed if the newest one is not published."""
    say(f"{STEPS:,} steps, a checkpoint of {size / 1e6:.0f} MB every {EVERY}, over a link of {LINK}B/s")
    folder.mkdir()
    project = captured_project("linear", folder)
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "XDG_"))}
    state, home = folder / "state", folder / "home"
    (home / ".config" / "roar").mkdir(parents=True)
    (home / ".config" / "roar" / "config.toml").write_text(f'[publisher]\nlimit_rate = "{LINK}"\nnotify = false\n')
    with registry(folder / "data", delay=0.0) as url, rclone(folder / "store") as store:
        environ |= AWS | {"HOME": str(home), "ROAR_STATE_DIR": str(state), "AWS_ENDPOINT_URL": store}
        command = [sys.executable, "-m", "benchmark.checkpoints", f"s3://{BUCKET}/run", url, str(size)]
        try:
            done = subprocess.run(command, cwd=project, env=environ, capture_output=True, text=True)
        finally:
            stop(StateFolder(state))
    if done.returncode:
        raise Failed(f"{' '.join(command)} ended with {done.returncode}:\n{done.stderr[-SHOWN:]}")
    answer = json.loads(done.stdout)
    trained = Trained(answer["submits"], {int(step): state for step, state in answer["states"].items()})
    return [_figure(trained, size)]


def _figure(trained: Trained, size: int) -> Figure:
    newest = max(trained.states)
    published = [step for step, state in sorted(trained.states.items()) if state == "published"]
    if published[-1:] != [newest]:
        raise Failed(f"the newest checkpoint is {trained.states[newest]}")
    name = f"{len(trained.submits)} checkpoints of {size / 1e6:.0f} MB over {LINK}B/s: 99 % of the submits, of 10 ms"
    middle = sorted(trained.submits)[len(trained.submits) // 2]
    detail = (
        f"{1000 * trained.percentile:.2g} ms, half of them {1000 * middle:.2g} ms;"
        f" {len(published)} published, of these {len(published) - 1} obsolete"
    )
    return Figure(name, "checkpoints", (100 * trained.percentile / ALLOWED_SECONDS,), "%", "lower", detail)


def main() -> None:
    """Train, and print what it took."""
    destination, url, size = sys.argv[1], sys.argv[2], int(sys.argv[3])
    publisher = CheckpointPublisher(destination, visibility="public", registry=url, yes=True)
    taken = []
    for step in range(1, STEPS + 1):
        time.sleep(STEP_SECONDS)
        if step % EVERY == 0:
            _save(Path("weights.bin"), step, size)
            began = time.perf_counter()
            publisher.submit("weights.bin", step=step)
            taken.append(time.perf_counter() - began)
    publisher.close(wait=PATIENCE_SECONDS)
    states = {one.step: one.state for one in publisher.checkpoints()}
    sys.stdout.write(json.dumps({"submits": taken, "states": states}))


def _save(path: Path, step: int, size: int) -> None:
    """Replace the checkpoint. Its blocks differ, and from those of other steps."""
    new = path.with_suffix(".new.bin")
    with new.open("wb") as file:
        for begin, end in pairwise([*range(0, size, MEBIBYTE), size]):
            file.write((step * size + begin).to_bytes(16, "big") * ((end - begin) // 16 + 1))
    os.replace(new, path)


if __name__ == "__main__":
    main()
