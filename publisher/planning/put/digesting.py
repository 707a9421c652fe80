"""Reads every source once, for the digest that names it in the lineage and the part hashes that guard the upload."""

import anyio

from roar_publisher.planning.put.objects import Digested, Source
from roar_publisher.state.errors import UsageProblem
from roar_publisher.storage.digest import Progress, digest_file
from roar_publisher.storage.source import shown

FILES_AT_ONCE = 8
"""The most files that are read concurrently: enough to use a parallel disk, and a bound on memory."""


async def digest_sources(
    sources: tuple[Source, ...], progress: Progress | None = None, *, md5: bool = False
) -> tuple[Digested, ...]:
    """Return the contents of all sources, in their order.

    progress: called with the bytes as they are read, from worker threads.
    md5: as `ObjectStore.wants_md5`.

    Raises UsageProblem if two sources with different contents have the same key, or a file does not match its digest;
    LocalProblem for what cannot be read; FileChanged for what changes meanwhile. Cancelling ends it at once; repeating
    reads everything again.
    """
    found: list[Digested | None] = [None] * len(sources)
    waiting = iter(enumerate(sources))

    async def work() -> None:
        for place, source in waiting:
            content = await digest_file(str(source.path), progress, md5=md5)
            if source.digest not in (None, content.blake3):
                raise UsageProblem(
                    f"{shown(str(source.path))} has changed since roar recorded {source.digest}.",
                    next_step="Name the file by its path to upload what it holds now.",
                )
            found[place] = Digested(source, content)

    try:
        async with anyio.create_task_group() as workers:
            for _ in range(min(FILES_AT_ONCE, len(sources))):
                workers.start_soon(work)
    except ExceptionGroup as group:
        # Later failures add nothing to the first one.
        raise group.exceptions[0] from None
    digested = tuple(one for one in found if one is not None)
    _one_content_a_key(digested)
    return digested


def _one_content_a_key(digested: tuple[Digested, ...]) -> None:
    first: dict[str, Digested] = {}
    for one in digested:
        other = first.setdefault(one.source.key, one)
        if other.content.blake3 != one.content.blake3:
            raise UsageProblem(
                f"{shown(str(other.source.path))} and {shown(str(one.source.path))} differ, and both would be stored"
                f" as {shown(one.source.key)}.",
                next_step="Put them one after the other to different destinations, or put a folder that holds both.",
            )
