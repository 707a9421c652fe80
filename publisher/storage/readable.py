"""The reading side of object stores: what is there, and ranges of its bytes, which may not change meanwhile."""

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping
from typing import Self

from msgspec import Struct


class StoredObject(Struct, frozen=True):
    """An object in a store.

    checksum: the store's own, as `<kind>:<value>`; empty if it returns none.
    blake3: hex, as stored with the object by our upload; empty if another client uploaded it.
    tag: the store's name for the object's current version, which every write changes; empty if it returns none.
    """

    size: int
    checksum: str
    blake3: str = ""
    tag: str = ""


class ReadableStore(ABC):
    """One place that has objects by key. An async context manager; any number of tasks may use it.

    Errors of every method: Transient if the store is unreachable or fails for too long, Rejected for its final refusal,
    NeedsUser for credentials, LocalProblem for this machine. Reading may be repeated and cancelled.
    """

    @abstractmethod
    async def look(self, key: str) -> StoredObject | None:
        """Return what is stored under `key`, without reading it, or None if nothing is.

        Raises Rejected if it is no object, or if these credentials may not look.
        """

    async def list_objects(self, prefix: str, wanted: Collection[str]) -> Mapping[str, StoredObject] | None:
        """Return those of the wanted objects that there are, or None if a few requests (`pages`) cannot list them.

        wanted: keys that begin with `prefix`, for each of which the listing saves a query. It may contain many others,
        which are not kept.
        They may be outdated, and their checksums are missing.
        """
        return None

    @abstractmethod
    async def read(self, key: str, offset: int, length: int, stored: StoredObject) -> bytes:
        """Return a range of an object that `look` returned, of 1 to `ranges.RANGE_BYTES` bytes.

        Raises ObjectChanged if the object is no longer that one, Rejected if the store does not send this range.
        """

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close connections. Stored data is not affected."""
        await self.aclose()

    async def aclose(self) -> None:
        """Close open connections, if the store has any."""
        return
