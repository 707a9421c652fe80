"""Uploads to a local S3 server, ours beside boto3's transfer manager: one large file, many small ones.

Each client is a process of its own (`benchmark.uploader`), in turn with the other, sends the same files to a fresh
server, and tells its wall and CPU time, from when it is ready to send, and its peak memory. Ours includes what boto3
does not do: the digest of every file before it is sent. A store that discards everything (`benchmark.null_store`) is
no bottleneck; beside it, boto3 also runs over the AWS Common Runtime, if `awscrt` is installed.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from benchmark.measure import MEBIBYTE, SHOWN, Cost, Failed, launched, median
from tests.support.storage.servers import AWS, far_away, moto, rclone

LARGE_BYTES = 2048 * MEBIBYTE
SMALL_FILES, SMALL_BYTES = 2000, 20_000
ROUNDS = 5
CLIENTS = {"roar put": "ours", "boto3": "boto3"}
CRT = {"boto3 with the CRT": "crt"} if find_spec("awscrt") else {}
Server = Callable[[Path], AbstractContextManager[str]]
"""Serves S3 out of an empty folder, as far as it needs one; gives its URL."""


@contextmanager
def _moto(folder: Path) -> Iterator[str]:
    with moto() as url:
        yield url


SERVERS: Mapping[str, Server] = {"rclone": rclone, "moto": _moto}


def null_store(cpu: list[float]) -> Server:
    """The store that discards everything; adds its own CPU seconds to `cpu` at its end."""

    @contextmanager
    def serving(folder: Path) -> Iterator[str]:
        command = [sys.executable, "-m", "benchmark.null_store"]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
            if process.stdin is None or process.stdout is None:
                raise Failed("the store that discards everything has no pipes")
            yield process.stdout.readline().strip()
            process.stdin.close()
            cpu.append(float(process.stdout.readline()))

    return serving


@dataclass(frozen=True, slots=True)
class Files:
    """What is uploaded: bytes of the large file, and the number of small ones."""

    large_bytes: int = LARGE_BYTES
    small_files: int = SMALL_FILES


def measure_uploads(
    folder: Path, delays: Sequence[float], server: Server, files: Files, say: Callable[[str], None]
) -> Iterator[tuple[str, dict[str, list[Cost]]]]:
    """Every setting, with the costs of each client in it."""
    for name, source in {
        f"one file of {files.large_bytes // MEBIBYTE:,} MiB": files_in(folder / "large", 1, files.large_bytes),
        f"{files.small_files:,} files of {SMALL_BYTES // 1000} kB": files_in(
            folder / "small", files.small_files, SMALL_BYTES
        ),
    }.items():
        for delay in delays:
            setting = f"{name}, {delay * 1000:.0f} ms a request"
            say(setting)
            yield setting, _in_turn(CLIENTS, source, delay, server)


@dataclass(frozen=True, slots=True)
class BesideNullStore:
    """Uploads of one large file to the store that discards everything.

    fastest: the name of the fastest of the other clients.  store_cpu: seconds that the store took itself, for each run.
    """

    setting: str
    costs: Mapping[str, list[Cost]]
    fastest: str
    store_cpu: list[float]


def measure_null_store(folder: Path, size: int, say: Callable[[str], None]) -> BesideNullStore:
    """One file of `size` bytes, by each client in turn."""
    setting, cpu = f"one file of {size // MEBIBYTE:,} MiB, null store", list[float]()
    say(setting)
    folder.mkdir()
    costs = _in_turn(CLIENTS | CRT, files_in(folder / "large", 1, size), 0.0, null_store(cpu))
    others = [client for client in costs if client != "roar put"]
    return BesideNullStore(setting, costs, min(others, key=lambda client: median(costs[client]).wall), cpu)


def _in_turn(clients: Mapping[str, str], source: Path, delay: float, server: Server) -> dict[str, list[Cost]]:
    runs: dict[str, list[Cost]] = {client: [] for client in clients}
    for _ in range(ROUNDS):
        for client, costs in runs.items():
            costs.append(_upload(clients[client], source, delay, server))
    return runs


def files_in(folder: Path, count: int, size: int) -> Path:
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
    # The client measures itself; the launcher keeps the memory of this process out of that.
    launcher = launched(command, Path(os.devnull))
    done = subprocess.run(launcher, env=environ | AWS | {"AWS_ENDPOINT_URL": url}, capture_output=True, text=True)
    if done.returncode:
        raise Failed(f"{' '.join(command)} ended with {done.returncode}:\n{done.stderr[-SHOWN:]}")
    return Cost(**json.loads(done.stdout))
