"""One measured upload: `python -m benchmark.uploader ours|boto3|crt FOLDER`, to the bucket of the tests' servers.

Prints its cost as JSON.  The clock starts with the client ready; what it took to be ready counts as CPU time alone.
"""

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from resource import RUSAGE_SELF, getrusage
from time import perf_counter

import anyio

from tests.support.storage.servers import BUCKET

PREFIX = "run"
KIBIBYTE = 1024


def with_boto3(paths: list[str]) -> float:
    """Upload with boto3's transfer manager, as it is configured by default; returns the seconds."""
    import boto3  # type: ignore[import-untyped]
    from boto3.s3.transfer import TransferConfig, create_transfer_manager  # type: ignore[import-untyped]

    client = boto3.client("s3")
    client.list_objects_v2(Bucket=BUCKET, Prefix=PREFIX, MaxKeys=1)
    began = perf_counter()
    with create_transfer_manager(client, TransferConfig()) as manager:
        for future in [manager.upload(path, BUCKET, f"{PREFIX}/{os.path.basename(path)}") for path in paths]:
            future.result()
    return perf_counter() - began


def with_crt(paths: list[str]) -> float:
    """Upload with boto3's transfer manager over the AWS Common Runtime; returns the seconds.

    boto3 itself would use it for https alone.
    """
    from botocore.session import get_session  # type: ignore[import-untyped]
    from s3transfer.crt import (  # type: ignore[import-untyped]
        BotocoreCRTCredentialsWrapper,
        BotocoreCRTRequestSerializer,
        CRTTransferManager,
        create_s3_crt_client,
    )

    session = get_session()
    credentials = BotocoreCRTCredentialsWrapper(session.get_credentials()).to_crt_credentials_provider()
    serializer = BotocoreCRTRequestSerializer(session, {"endpoint_url": os.environ["AWS_ENDPOINT_URL"]})
    client = create_s3_crt_client(os.environ["AWS_DEFAULT_REGION"], credentials, use_ssl=False)
    began = perf_counter()
    with CRTTransferManager(client, serializer) as manager:
        for future in [manager.upload(path, BUCKET, f"{PREFIX}/{os.path.basename(path)}") for path in paths]:
            future.result()
    return perf_counter() - began


def with_ours(paths: list[str]) -> float:
    """Digest and upload as `roar put` does by default; returns the seconds."""
    return anyio.run(_with_ours, paths)


async def _with_ours(paths: list[str]) -> float:
    from roar_publisher.engine.staging.uploader import FILES_AT_ONCE, PARTS_AT_ONCE
    from roar_publisher.state.limits import MOST_UPLOADS
    from roar_publisher.storage.destinations import open_store
    from roar_publisher.storage.digest import digest_file
    from roar_publisher.storage.transfer import transfer
    from tests.support.storage.memory import MemoryLedger, nothing

    left = iter(paths)

    async def send() -> None:
        for path in left:
            content, key = await digest_file(path), os.path.basename(path)
            new = there is not None and key not in there
            await transfer(
                store, key, content, MemoryLedger(), parts_at_once=PARTS_AT_ONCE, advance=nothing, known_new=new
            )

    async with await open_store(f"s3://{BUCKET}/{PREFIX}", connections=MOST_UPLOADS) as store:
        await store.stat("nothing")
        began = perf_counter()
        there = await store.list_tags({os.path.basename(path) for path in paths})
        async with anyio.create_task_group() as tasks:
            for _ in range(min(FILES_AT_ONCE, len(paths))):
                tasks.start_soon(send)
        return perf_counter() - began


CLIENTS: dict[str, Callable[[list[str]], float]] = {"ours": with_ours, "boto3": with_boto3, "crt": with_crt}


def main() -> None:
    """Measure, and print what it took."""
    client, folder = sys.argv[1:]
    wall = CLIENTS[client](sorted(str(path) for path in Path(folder).iterdir()))
    usage = getrusage(RUSAGE_SELF)
    peak = usage.ru_maxrss / (KIBIBYTE if sys.platform != "darwin" else KIBIBYTE * KIBIBYTE)
    sys.stdout.write(json.dumps({"wall": wall, "cpu": usage.ru_utime + usage.ru_stime, "peak_mib": peak}))


if __name__ == "__main__":
    main()
