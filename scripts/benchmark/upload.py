"""Uploads to a local S3 server, ours beside boto3's transfer manager: one large file, many small ones.

Each client is a process of its own (`benchmark.uploader`), in turn with the other, sends the same files to a fresh
server, and tells its wall and CPU time, from when it is ready to send, and its peak memory.  Ours includes what boto3
does not do: the digest of every file before it is sent.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from benchmark.measure import MEBIBYTE, SHOWN, Cost, Failed, Row, median
from tests.support.storage.servers import AWS, far_away, moto, rclone

LARGE_BYTES = 2048 * MEBIBYTE
SMALL_FILES, SMALL_BYTES = 2000, 20_000
ROUNDS = 5
CLIENTS = {"roar put": "ours", "boto3": "boto3"}
Server = Callable[[Path], AbstractContextManager[str]]
"""Serves S3 out of an empty folder, as far as it needs one; gives its URL."""


@contextmanager
def _moto(folder: Path) -> Iterator[str]:
    with moto() as url:
        yield url


SERVERS: Mapping[str, Server] = {"rclone": rclone, "moto": _moto}


def compare_uploads(folder: Path, delays: Sequence[float], server: Server, say: Callable[[str], None]) -> list[Row]:
    """Both clients, with both kinds of files, at every delay a request (seconds)."""
    rows = []
    for name, source in {
        f"one file of {LARGE_BYTES // MEBIBYTE:,} MiB": _files(folder / "large", 1, LARGE_BYTES),
        f"{SMALL_FILES:,} files of {SMALL_BYTES // 1000} kB": _files(folder / "small", SMALL_FILES, SMALL_BYTES),
    }.items():
        for delay in delays:
            setting = f"{name}, {delay * 1000:.0f} ms a request"
            say(setting)
            runs: dict[str, list[Cost]] = {client: [] for client in CLIENTS}
            for _ in range(ROUNDS):
                for client, costs in runs.items():
                    costs.append(_upload(CLIENTS[client], source, delay, server))
            medians = {client: median(costs) for client, costs in runs.items()}
            ours = medians["roar put"].wall
            rows += [Row(setting, client, cost, cost.wall / ours) for client, cost in medians.items()]
    return rows


def _files(folder: Path, count: int, size: int) -> Path:
    """A folder of files that no compression makes smaller, all of it on the disk."""
    folder.mkdir()
    for number in range(count):
        with (folder / f"{number:05}.bin").open("wb") as file:
            for begin in range(0, size, MEBIBYTE):
                file.write(os.urandom(min(MEBIBYTE, size - begin)))
    os.sync()
    return folder


def _upload(client: str, source: Path, delay: float, server: Server) -> Cost:
    with tempfile.TemporaryDirectory(dir=source.parent) as folder, server(Path(folder)) as near:
        if delay:
            with far_away(near, delay) as url:
                return _run(client, source, url)
        return _run(client, source, near)


def _run(client: str, source: Path, url: str) -> Cost:
    command = [sys.executable, "-m", "benchmark.uploader", client, str(source)]
    environ = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    done = subprocess.run(command, env=environ | AWS | {"AWS_ENDPOINT_URL": url}, capture_output=True, text=True)
    if done.returncode:
        raise Failed(f"{' '.join(command)} ended with {done.returncode}:\n{done.stderr[-SHOWN:]}")
    return Cost(**json.loads(done.stdout))
