"""How long other requests wait while a large lineage is finalized.

    python -m benchmark.pauses RECORDING FOLDER

The app is called in its own process, as in `benchmark.ingest`. Prints the seconds of the longest wait of a client that
asks for an artifact again and again.
"""

import gc
import subprocess
import sys
import time
from pathlib import Path

import anyio
from starlette.types import ASGIApp, Message

from benchmark.ingest import call, open_session, registry_app, scope, send_all
from benchmark.measure import SHOWN, Failed
from benchmark.publishing import LINKS_PER_JOB, Bench
from benchmark.recording import API, Recording
from benchmark.table import Figure

REPETITIONS = 3
ALLOWED_SECONDS = 0.05
OTHER_CLIENT = "127.0.0.2"


def longest_pause(bench: Bench, jobs: int) -> Figure:
    """The figure for a project of so many jobs."""
    recording = bench.recording(jobs)
    seconds = []
    for _ in range(REPETITIONS):
        bench.say(f"requests during finalize, {jobs:,} jobs")
        command = [sys.executable, "-m", "benchmark.pauses", str(recording), str(bench.next_folder())]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            raise Failed(f"{' '.join(command)} ended with {done.returncode}:\n{done.stderr[-SHOWN:]}")
        seconds.append(float(done.stdout))
    name = f"{jobs:,} jobs, {jobs * LINKS_PER_JOB:,} links: longest wait of others during finalize, of 50 ms"
    shares = tuple(100 * taken / ALLOWED_SECONDS for taken in seconds)
    return Figure(name, "large", shares, "%", "lower", f"{1000 * max(seconds):.3g} ms")


async def finalize(app: ASGIApp, recording: Recording) -> list[float]:
    """Publish what is recorded; the seconds that each request of another client took during finalize."""
    session, authorization = await open_session(app, recording)
    for batch in (recording.nodes, recording.links):
        await send_all(app, [sent.moved(session) for sent in batch], authorization)
    waits: list[float] = []

    async def ask() -> None:
        while True:
            began = time.perf_counter()
            await _read_artifact(app)
            waits.append(time.perf_counter() - began)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(ask)
        await call(app, recording.finalize.moved(session), authorization)
        tasks.cancel_scope.cancel()
    return waits


async def _read_artifact(app: ASGIApp) -> None:
    async def receive() -> Message:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Message) -> None:
        pass

    reading = scope(f"{API}/artifacts/{'0' * 64}", {"host": "127.0.0.1"}, method="GET", client=OTHER_CLIENT)
    await app(reading, receive, send)


def main() -> None:
    """Measure, and print the longest wait."""
    recording, folder = sys.argv[1:]
    with registry_app(Path(folder)) as app:
        gc.freeze()  # as `roar registry serve` does
        sys.stdout.write(str(max(anyio.run(finalize, app, Recording.read(Path(recording))))))


if __name__ == "__main__":
    main()
