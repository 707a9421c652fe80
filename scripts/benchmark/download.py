"""Downloads from a local S3 server, ours beside boto3's transfer manager: one large file, many small ones.

Each client is a process of its own (`benchmark.downloader`), in turn with the other, into an empty folder, and tells
its wall and CPU time, from when it is ready to ask, and its peak memory. Ours includes what boto3 does not do: the
digest of every file before it gets its name, a journal, and a sync of every file.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmark.measure import MEBIBYTE, SHOWN, Cost, Failed, launched
from benchmark.upload import CLIENTS as UPLOADING
from benchmark.upload import ROUNDS, SMALL_BYTES, Files, files_in
from benchmark.uploader import PREFIX
from tests.support.storage.servers import AWS

CLIENTS = {"roar fetch": "ours", "boto3": UPLOADING["boto3"]}
DELAYS = (0.0, 0.01)
"""Seconds that the store takes for each request."""


def measure_downloads(
    folder: Path, files: Files, say: Callable[[str], None]
) -> Iterator[tuple[str, dict[str, list[Cost]]]]:
    """Every setting, with the costs of each client in it."""
    for name, count, size in (
        (f"one file of {files.large_bytes // MEBIBYTE:,} MiB", 1, files.large_bytes),
        (f"{files.small_files:,} files of {SMALL_BYTES // 1000} kB", files.small_files, SMALL_BYTES),
    ):
        with tempfile.TemporaryDirectory(dir=folder) as place:
            source = files_in(Path(place, PREFIX), count, size)
            digests = Path(place, "digests.json")
            digests.write_text(json.dumps({path.name: _digest(path) for path in sorted(source.iterdir())}))
            for delay in DELAYS:
                setting = f"download of {name}, {delay * 1000:.0f} ms a request"
                say(setting)
                with _serving(Path(place), delay) as url:
                    yield setting, _in_turn(digests, Path(place), url)


def _in_turn(digests: Path, place: Path, url: str) -> dict[str, list[Cost]]:
    runs: dict[str, list[Cost]] = {client: [] for client in CLIENTS}
    for _ in range(ROUNDS):
        for client, costs in runs.items():
            with tempfile.TemporaryDirectory(dir=place) as target:
                costs.append(_run(CLIENTS[client], digests, target, url))
    return runs


def _run(client: str, digests: Path, target: str, url: str) -> Cost:
    command = [sys.executable, "-m", "benchmark.downloader", client, str(digests), target]
    environ = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    # The client measures itself; the launcher keeps the memory of this process out of that.
    launcher = launched(command, Path(os.devnull))
    done = subprocess.run(launcher, env=environ | AWS | {"AWS_ENDPOINT_URL": url}, capture_output=True, text=True)
    if done.returncode:
        raise Failed(f"{' '.join(command)} ended with {done.returncode}:\n{done.stderr[-SHOWN:]}")
    return Cost(**json.loads(done.stdout))


@contextmanager
def _serving(folder: Path, delay: float) -> Iterator[str]:
    command = [sys.executable, "-m", "benchmark.file_store", str(folder), str(delay)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        if process.stdin is None or process.stdout is None:
            raise Failed("the store has no pipes")
        yield process.stdout.readline().strip()
        process.stdin.close()


def _digest(path: Path) -> str:
    from blake3 import blake3

    digest = blake3()
    digest.update_mmap(path)
    return digest.hexdigest()
