"""Locate and read the files of a `roar put` as typed, and return a planner for `freezing.freeze`.

Every source is read once, for the digest that names it in the lineage and for the part hashes that guard the upload.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import Lock
from time import monotonic

from anyio import from_thread

from roar_publisher.blocking import in_thread
from roar_publisher.lineage.batches import Sink
from roar_publisher.lineage.boundary import listed
from roar_publisher.planning.plans import Draft, Planner
from roar_publisher.planning.put.plan import plan_put
from roar_publisher.planning.put.request import Digested, PutRequest, Source
from roar_publisher.planning.put.sources import refuse_replaced, resolve_sources
from roar_publisher.report import Noted, ObjectsPlanned, Reporter, Sent
from roar_publisher.state.errors import LocalProblem, UsageProblem
from roar_publisher.storage.destinations import open_store
from roar_publisher.storage.digest import OnRead, digest_file
from roar_publisher.storage.source import FileChanged, file_stamp, shown
from roar_publisher.tasks import for_each

FILES_AT_ONCE = 8
"""The most files that are read concurrently: enough to use a parallel disk, and a bound on memory."""
REPORT_SECONDS = 0.1
"""Seconds between two progress reports to a display."""


async def put_planner(request: PutRequest, *, report: Reporter, clock: Callable[[], float]) -> Planner:
    """Locate and read every file once, and return a planner that plans from what was read.

    report: receives what is left out, and the bytes as they are read.

    Does not use the network. Raises UsageProblem for sources and destinations that match nothing, and LocalProblem for
    what cannot be read or changes meanwhile.
    """
    async with await open_store(request.destination) as store:
        await store.check()
        url, md5, destination = store.url, store.needs_md5, store.destination
    left_out: list[Path] = []
    sources = await in_thread(resolve_sources, request, left_out.append)
    if left_out:
        report(Noted(_not_stored(request.project.root, left_out)))
    with _nothing_to_resume():
        report(ObjectsPlanned(len(sources), 0, await in_thread(_total_size, sources), 0))
        progress = _ReadProgress(lambda read: report(Sent("", read)))
        digested = await digest_sources(sources, progress, md5=md5)
        progress.report_rest()
        await in_thread(refuse_replaced, request, digested)

    def plan(identities: Sequence[str], sink: Sink) -> Draft:
        return plan_put(request, digested, destination, url, identities=identities, sink=sink, now=clock())

    return plan


async def digest_sources(
    sources: tuple[Source, ...], progress: OnRead | None = None, *, md5: bool = False
) -> tuple[Digested, ...]:
    """Return the contents of all sources, in their order.

    progress: called with the bytes as they are read, from worker threads.
    md5: as `ObjectStore.needs_md5`.

    Raises UsageProblem if two sources with different contents have the same key, or a file does not match its digest;
    LocalProblem for what cannot be read; FileChanged for what changes meanwhile. Cancelling ends it at once; repeating
    reads everything again.
    """
    found: list[Digested | None] = [None] * len(sources)

    async def digest(numbered: tuple[int, Source]) -> None:
        place, source = numbered
        content = await digest_file(str(source.path), progress, md5=md5)
        if source.digest not in (None, content.blake3):
            raise UsageProblem(
                f"{shown(str(source.path))} has changed since roar recorded {source.digest}",
                next_step="name the file by its path to upload what it holds now",
            )
        if source.stamp not in (None, (content.fence.size, content.fence.mtime_ns)):
            raise FileChanged(str(source.recorded))
        found[place] = Digested(source, content)

    await for_each(enumerate(sources), digest, at_once=FILES_AT_ONCE)
    digested = tuple(one for one in found if one is not None)
    _refuse_conflicting_keys(digested)
    return digested


def _refuse_conflicting_keys(digested: tuple[Digested, ...]) -> None:
    first: dict[str, Digested] = {}
    for one in digested:
        other = first.setdefault(one.source.key, one)
        if other.content.blake3 != one.content.blake3:
            raise UsageProblem(
                f"{shown(str(other.source.path))} and {shown(str(one.source.path))} differ, and both would be stored"
                f" as {shown(one.source.key)}",
                next_step="put them one after the other to different destinations, or put a folder that holds both",
            )


def _not_stored(root: Path, left_out: Sequence[Path]) -> str:
    """Return a note that lists which entries of the folders are left out, and why."""
    names = [shown(os.path.relpath(path, root)) for path in sorted(left_out)]
    return f"not stored, because neither a file nor a link to one: {listed(names)}"


def _total_size(sources: Sequence[Source]) -> int:
    return sum(file_stamp(str(source.path)).size for source in sources)


class _ReadProgress:
    """Passes the bytes that worker threads read on to the event loop, a few times a second.

    Calling the loop for each segment and waiting for it would take longer than reading the segment.
    """

    def __init__(self, report: Callable[[int], None]) -> None:
        self._report = report
        self._lock = Lock()
        self._unreported = 0
        self._reported_at = 0.0

    def __call__(self, read: int) -> None:
        with self._lock:
            self._unreported += read
            now = monotonic()
            if now - self._reported_at < REPORT_SECONDS:
                return
            unreported, self._unreported, self._reported_at = self._unreported, 0, now
        from_thread.run_sync(self._report, unreported)

    def report_rest(self) -> None:
        """Report the rest after reading has ended; called in the event loop."""
        self._report(self._unreported)
        self._unreported = 0


@contextmanager
def _nothing_to_resume() -> Iterator[None]:
    """Translate problems with a file, which would be resumable if there were a publish to resume yet."""
    try:
        yield
    except LocalProblem as problem:
        raise LocalProblem(
            problem.what,
            kept="Nothing was sent or kept.",
            next_step="fix the file, or wait until nothing writes to it; then put again",
            reason=problem.reason,
        ) from problem
