"""Finds where a checkpoint is stored: under its name, or under the next number that is free.

Names are unique in a series. But a training may go on in another clone or on another machine, where its series begins
anew, and what its predecessor has stored under the same name belongs to a lineage that is published. It stays.
"""

from collections.abc import Collection, Iterator, Sequence
from contextlib import suppress
from functools import partial
from itertools import count
from pathlib import PurePath
from typing import TYPE_CHECKING

from roar_publisher.checkpoints.record import Record
from roar_publisher.state.errors import Rejected

if TYPE_CHECKING:
    import anyio

    from roar_publisher.publishing.running import Runner

LOOKS_AT_ONCE = 16
PATIENCE_SECONDS = 20.0
"""How long to wait for a store that is unreachable, while the other series of a user wait."""


def free_destination(record: Record, used: Collection[str], run: "Runner") -> str:
    """Return the first destination of a checkpoint that has none of its files yet, and is not in `used`.

    A store that does not let these credentials look counts as empty. Raises PublisherError if it cannot be asked now.
    """
    keys = [relative or PurePath(source.typed).name for source in record.sources for relative in source.files]
    return next(each for each in _destinations(record) if each not in used and not run(partial(_has_any, each, keys)))


def _destinations(record: Record) -> Iterator[str]:
    """Yield the destination that a record names, and those with higher numbers."""
    yield record.destination
    folder, _, name = record.destination.rpartition("/")
    step, _, number = name.partition(".")
    for higher in count(int(number or 1) + 1):
        yield f"{folder}/{step}.{higher}"


async def _has_any(destination: str, keys: Sequence[str], stop: "anyio.Event") -> bool:
    """Return whether a destination has an object with one of the keys. Raises Interrupted once `stop` is set."""
    from roar_publisher.storage.destinations import open_store
    from roar_publisher.tasks import for_each, until_stopped

    found: list[str] = []

    async def look() -> None:
        async with await open_store(destination, patience=PATIENCE_SECONDS) as store:

            async def look_at(key: str) -> None:
                if not found and await store.look(key) is not None:
                    found.append(key)

            await for_each(keys, look_at, at_once=LOOKS_AT_ONCE)

    with suppress(Rejected):  # these credentials may not look
        await until_stopped(stop, look)
    return bool(found)
