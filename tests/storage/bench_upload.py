"""Uploads to a local S3 server, ours beside boto3's transfer manager: `python -m tests.storage.bench_upload`.

Each client runs in a process of its own, sends the same files to the same `rclone serve s3`, and tells its wall time,
CPU time and peak memory.  Ours includes what boto3 does not do: the blake3 and SHA-256 of every file before it is sent.
No test: its figures move with the machine.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from resource import RUSAGE_SELF, getrusage
from time import perf_counter

import anyio

from publisher.staging.objects import FILES_AT_ONCE, PARTS_AT_ONCE
from publisher.storage.destinations import open_store
from publisher.storage.digest import digest_file
from publisher.storage.parts import MIB
from publisher.storage.transfer import transfer
from publisher.worker import MOST_UPLOADS
from tests.processes import environment
from tests.storage.memory import MemoryLedger, nothing
from tests.storage.servers import AWS, BUCKET, far_away, moto, rclone

SMALL_BYTES = 20_000
_BOTO = """
import os, sys, json, boto3
from pathlib import Path
from time import perf_counter
from resource import RUSAGE_SELF, getrusage
from boto3.s3.transfer import TransferConfig, create_transfer_manager
folder, prefix = sys.argv[1:]
client = boto3.client("s3")
client.list_objects_v2(Bucket="bucket", Prefix=prefix, MaxKeys=1)
started = perf_counter()
with create_transfer_manager(client, TransferConfig()) as manager:
    futures = [manager.upload(str(p), "bucket", f"{prefix}/{p.name}") for p in sorted(Path(folder).iterdir())]
    for future in futures:
        future.result()
usage = getrusage(RUSAGE_SELF)
print(json.dumps([perf_counter() - started, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024]))
"""


async def _ours(folder: Path, prefix: str) -> None:
    paths = sorted(str(path) for path in folder.iterdir())  # noqa: ASYNC240 - nothing else runs yet
    left = iter(paths)
    digesting = 0.0

    async def send() -> None:
        nonlocal digesting
        for path in left:
            begun = perf_counter()
            content, key = await digest_file(path), os.path.basename(path)
            digesting += perf_counter() - begun
            new = there is not None and key not in there
            await transfer(
                store, key, content, MemoryLedger(), parts_at_once=PARTS_AT_ONCE, advance=nothing, surely_new=new
            )

    async with await open_store(f"s3://{BUCKET}/{prefix}", connections=MOST_UPLOADS) as store:
        await store.stat("nothing")  # boto3's clock starts with its client ready, too
        started = perf_counter()
        there = await store.glance()
        async with anyio.create_task_group() as tasks:
            for _ in range(min(FILES_AT_ONCE, len(paths))):
                tasks.start_soon(send)
    usage = getrusage(RUSAGE_SELF)
    figures = [perf_counter() - started, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024]
    if len(paths) == 1:  # otherwise it overlaps with sending
        figures.append(digesting)
    sys.stdout.write(json.dumps(figures))


def _compare(name: str, folder: Path, endpoint: str, rounds: int) -> None:
    total = sum(path.stat().st_size for path in folder.iterdir()) / MIB
    files = len(list(folder.iterdir()))
    best: dict[str, float] = {}
    for round_ in range(rounds):
        for who, arguments in {
            "boto3": ["-c", _BOTO],
            "ours": ["-m", "tests.storage.bench_upload", "--client"],
        }.items():
            command = [sys.executable, *arguments, str(folder), f"{name}-{who}-{round_}"]
            env = environment(**AWS, AWS_ENDPOINT_URL=endpoint)
            seconds, cpu, peak, *digest = json.loads(
                subprocess.run(command, env=env, check=True, capture_output=True).stdout
            )
            best[who] = min(best.get(who, seconds), seconds)
            sys.stdout.write(
                f"{name:6} {who:6} {seconds:6.2f} s  {total / seconds:7.1f} MiB/s  {files / seconds:7.1f} files/s  "
                f"cpu {cpu:6.2f} s  peak {peak:4.0f} MiB"
                + "".join(f"  of it digest {share:.2f} s" for share in digest)
                + "\n"
            )
    sys.stdout.write(f"{name:6} ratio {best['boto3'] / best['ours']:.2f}\n")


def main() -> None:
    """Parse the command line, and measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--large-mib", type=int, default=2048)
    parser.add_argument("--small", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--delay-ms", type=int, default=0, help="every reply comes so much later")
    parser.add_argument("--moto", action="store_true", help="another server")
    parser.add_argument("--client", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.client:
        folder, prefix = options.client
        anyio.run(_ours, Path(folder), prefix)
        return
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        (root / "large").mkdir()
        (root / "small").mkdir()
        with (root / "large" / "file.bin").open("wb") as file:
            for _ in range(options.large_mib):
                file.write(os.urandom(MIB))
        for number in range(options.small):
            (root / "small" / f"{number:05}.bin").write_bytes(os.urandom(SMALL_BYTES))
        with ExitStack() as servers:
            endpoint = servers.enter_context(moto() if options.moto else rclone(root / "served"))
            if options.delay_ms:
                endpoint = servers.enter_context(far_away(endpoint, options.delay_ms / 1000))
            for kind in ("large", "small"):
                _compare(kind, root / kind, endpoint, options.rounds)


if __name__ == "__main__":
    main()
