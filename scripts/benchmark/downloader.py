"""One measured download: `python -m benchmark.downloader ours|boto3 DIGESTS TARGET`, from a bucket of any server.

DIGESTS is a JSON file: the blake3 of every object, by its name below the prefix. Prints its cost as JSON.  The clock
starts with the client ready; what it took to be ready counts as CPU time alone.
"""

import json
import sys
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from resource import RUSAGE_SELF, getrusage
from time import perf_counter

import anyio

from benchmark.uploader import KIBIBYTE, PREFIX
from tests.support.storage.servers import BUCKET

Digests = Mapping[str, str]


def with_boto3(digests: Digests, target: Path) -> float:
    """Download with boto3's transfer manager, as it is configured by default; returns the seconds."""
    import boto3  # type: ignore[import-untyped]
    from boto3.s3.transfer import TransferConfig, create_transfer_manager  # type: ignore[import-untyped]

    client = boto3.client("s3")
    client.head_object(Bucket=BUCKET, Key=f"{PREFIX}/{next(iter(digests))}")
    began = perf_counter()
    with create_transfer_manager(client, TransferConfig()) as manager:
        for future in [manager.download(BUCKET, f"{PREFIX}/{name}", str(target / name)) for name in digests]:
            future.result()
    return perf_counter() - began


def with_ours(digests: Digests, target: Path) -> float:
    """Download and verify as `roar fetch` does by default; returns the seconds."""
    return anyio.run(_with_ours, digests, target)


async def _with_ours(digests: Digests, target: Path) -> float:
    from roar_publisher.fetching.download import Download, NotFetched, Outcome
    from roar_publisher.fetching.folder import TargetFolder
    from roar_publisher.fetching.journal import FetchJournal, FetchRequest
    from roar_publisher.fetching.stored import StoredFile
    from roar_publisher.net.budget import UploadBudget
    from roar_publisher.state.limits import DEFAULT_LIMITS
    from roar_publisher.storage.destinations import open_readable

    files = [StoredFile(digest, f"s3://{BUCKET}/{PREFIX}/{name}", name) for name, digest in digests.items()]
    outcomes: list[Outcome] = []
    most = DEFAULT_LIMITS.uploads
    budget = UploadBudget.of(most, None)
    async with await open_readable(files[0].address.place) as store:  # what it imports counts as being ready
        await store.look(files[0].address.key)
    began = perf_counter()
    with TargetFolder.opened(target) as folder:
        journal = FetchJournal(folder.journal)
        journal.begin(FetchRequest("", (), "", force=False), files)
        open_store = partial(open_readable, connections=most, budget=budget)
        await Download(folder, journal, open_store, False, outcomes.append, lambda report: None).run(files)
        journal.end()
    seconds = perf_counter() - began
    if failed := [outcome for outcome in outcomes if isinstance(outcome, NotFetched)]:
        sys.exit(f"{len(failed)} files were not fetched: {failed[0].problem.what}")
    return seconds


CLIENTS: dict[str, Callable[[Digests, Path], float]] = {"ours": with_ours, "boto3": with_boto3}


def main() -> None:
    """Measure, and print what it took."""
    client, digests, target = sys.argv[1:]
    wall = CLIENTS[client](json.loads(Path(digests).read_text(encoding="utf-8")), Path(target))
    usage = getrusage(RUSAGE_SELF)
    peak = usage.ru_maxrss / (KIBIBYTE if sys.platform != "darwin" else KIBIBYTE * KIBIBYTE)
    sys.stdout.write(json.dumps({"wall": wall, "cpu": usage.ru_utime + usage.ru_stime, "peak_mib": peak}))


if __name__ == "__main__":
    main()
