"""Turns a `roar put` as typed into a planner for `plans.freeze`: the files are located and digested first."""

import json
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, astuple
from pathlib import Path
from threading import Lock
from time import monotonic

from anyio import from_thread, to_thread

from roar_publisher.lineage.batches import Sink
from roar_publisher.planning.plans import Draft, Planner, Storing
from roar_publisher.planning.put.digesting import digest_sources
from roar_publisher.planning.put.objects import Object, PutRequest
from roar_publisher.planning.put.planning import plan_put
from roar_publisher.planning.put.sources import refuse_exchanged, resolve_sources
from roar_publisher.report import Noted, ObjectsPlanned, Reporter, Sent
from roar_publisher.state.errors import LocalProblem
from roar_publisher.state.objects import ObjectRow
from roar_publisher.storage.destinations import open_store
from roar_publisher.storage.source import fence_of, shown

LISTED = 5
"""The most entries that a note lists."""
TELL_SECONDS = 0.1
"""Seconds between two progress reports to a display."""


async def put_planner(request: PutRequest, *, report: Reporter, clock: Callable[[], float]) -> Planner:
    """Locate and read every file once, and return a planner that plans from what was read.

    report: receives what is left out, and the bytes as they are read.

    Does not use the network. Raises UsageProblem for sources and destinations that match nothing, and LocalProblem for
    what cannot be read or changes meanwhile.
    """
    async with await open_store(request.destination) as store:
        await store.check()
        url, md5, destination = store.url, store.wants_md5, store.destination
    left_out: list[Path] = []
    sources = await to_thread.run_sync(resolve_sources, request, left_out.append)
    if left_out:
        report(Noted(_not_stored(request.project.root, left_out)))
    with _nothing_to_resume():
        size = sum([fence_of(str(source.path)).size for source in sources])
        report(ObjectsPlanned(len(sources), 0, size, 0))
        reading = _Reading(lambda read: report(Sent("", read)))
        digested = await digest_sources(sources, reading, md5=md5)
        reading.tell_rest()
        await to_thread.run_sync(refuse_exchanged, request, digested)

    def plan(identities: Sequence[str], sink: Sink) -> Draft:
        summary = plan_put(request, digested, url, identities=identities, sink=sink, now=clock())
        rows = tuple(_row(number, one) for number, one in enumerate(summary.objects, start=1))
        tags = tuple(astuple(tag) for tag in summary.tags)
        return Draft(summary.lineage, summary.fingerprint, Storing(destination, rows, tags, summary.record))

    return plan


def _not_stored(root: Path, left_out: Sequence[Path]) -> str:
    """Return a note that lists which entries of the folders are left out, and why."""
    names = [shown(os.path.relpath(path, root)) for path in sorted(left_out)[:LISTED]]
    more = f" and {len(left_out) - LISTED} more" if len(left_out) > LISTED else ""
    return f"not stored, because neither a file nor a link to one: {', '.join(names)}{more}"


class _Reading:
    """Passes the bytes that worker threads read on to the event loop, a few times a second.

    Calling the loop for each segment and waiting for it would take longer than reading the segment.
    """

    def __init__(self, tell: Callable[[int], None]) -> None:
        self._tell = tell
        self._lock = Lock()
        self._untold = 0
        self._told_at = 0.0

    def __call__(self, read: int) -> None:
        with self._lock:
            self._untold += read
            now = monotonic()
            if now - self._told_at < TELL_SECONDS:
                return
            untold, self._untold, self._told_at = self._untold, 0, now
        from_thread.run_sync(self._tell, untold)

    def tell_rest(self) -> None:
        """Report the rest after reading has ended; called in the event loop."""
        self._tell(self._untold)
        self._untold = 0


@contextmanager
def _nothing_to_resume() -> Iterator[None]:
    """Rewrite problems with a file: they would be resumable, but there is no publish to resume yet."""
    try:
        yield
    except LocalProblem as problem:
        raise LocalProblem(
            problem.what,
            kept="Nothing was sent or kept.",
            next_step="fix the file, or wait until nothing writes to it; then put again",
            reason=problem.reason,
        ) from problem


def _row(number: int, one: Object) -> ObjectRow:
    return ObjectRow(number, one.key, one.url, one.content.size, json.dumps(asdict(one.content)))
