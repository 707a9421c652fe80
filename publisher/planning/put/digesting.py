"""Reads every source once, for the digest that names it in the lineage and the part hashes that guard the upload."""

from roar_publisher.planning.put.objects import Digested, Source
from roar_publisher.state.errors import UsageProblem
from roar_publisher.storage.digest import Progress, digest_file
from roar_publisher.storage.source import shown
from roar_publisher.tasks import for_each

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

    async def digest(numbered: tuple[int, Source]) -> None:
        place, source = numbered
        content = await digest_file(str(source.path), progress, md5=md5)
        if source.digest not in (None, content.blake3):
            raise UsageProblem(
                f"{shown(str(source.path))} has changed since roar recorded {source.digest}.",
                next_step="Name the file by its path to upload what it holds now.",
            )
        found[place] = Digested(source, content)

    await for_each(enumerate(sources), digest, at_once=FILES_AT_ONCE)
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
