"""Reads every source once: its digest names it in the lineage, the hashes of its parts fence the upload."""

import anyio

from roar_publisher.planning.put.objects import Digested, Source
from roar_publisher.state.errors import UsageProblem
from roar_publisher.storage.digest import Progress, digest_file
from roar_publisher.storage.source import shown

FILES_AT_ONCE = 8
"""Files under way together: enough for a disk that likes company, and a bound on memory."""


async def digest_sources(
    sources: tuple[Source, ...], progress: Progress | None = None, *, md5: bool = False
) -> tuple[Digested, ...]:
    """The contents of all sources, in their order.

    progress: is told of bytes as they are read, from worker threads.  md5: as `ObjectStore.wants_md5`.  Raises
    UsageProblem where two sources want one key for different contents, or a file is not what its digest says;
    LocalProblem for what can't be read, FileChanged for what changes meanwhile.  Cancelling ends it
    at once; repeating reads everything again.
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
        # Whatever else failed while the first failure was on its way says nothing new.
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
