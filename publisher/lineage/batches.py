"""Cut items into units that are limited in items and in bytes (`protocol.md §2`)."""

from collections.abc import Callable, Iterable, Iterator
from hashlib import sha256

from msgspec import Struct, field

from roar_publisher.lineage.jsontext import encode
from roar_publisher.state.units import Kind, Unit

MAX_UNIT_BYTES = 90 * 1024
"""The most bytes of a unit's body; GLaaS parses about 100 kB. An item over the limit is sent alone."""
MAX_ITEM_BYTES = 100 * 1024 - 128
"""The most bytes of an item that a registry reads (`protocol.md §4`), without what a request puts around it."""
MAX_ITEMS = {
    Kind.COMPOSITE: 1,
    Kind.JOBS: 500,
    Kind.ARTIFACTS: 500,
    Kind.INPUTS: 500,
    Kind.OUTPUTS: 500,
    Kind.LABELS: 200,
}
"""The most items of a unit."""
CHUNK_BYTES = 4 * 1024 * 1024
"""The size in bytes of a chunk of bodies that is passed to the sink."""

Sink = Callable[[Iterable[Unit]], None]


class Batch(Struct):
    """Items of one kind that are collected for a unit, as JSON texts."""

    kind: Kind
    items: list[str] = field(default_factory=list)
    size: int = 2

    def has_room(self, item: str) -> bool:
        """Return whether the item may join. An empty batch takes any item."""
        if not self.items:
            return True
        return len(self.items) < MAX_ITEMS[self.kind] and self.size + len(item) + 1 <= MAX_UNIT_BYTES

    def add(self, item: str) -> None:
        self.items.append(item)
        self.size += len(item) + 1

    def take(self) -> tuple[int, bytes]:
        """Return the number of items and the body, and empty the batch."""
        count, body = len(self.items), f"[{','.join(self.items)}]".encode("ascii")
        self.items.clear()
        self.size = 2
        return count, body


def cut(kind: Kind, items: Iterable[str]) -> Iterator[tuple[int, bytes]]:
    """Yield the number of items and the body of as many units as these items, as JSON texts, need."""
    batch = Batch(kind)
    for item in items:
        if not batch.has_room(item):
            yield batch.take()
        batch.add(item)
    if batch.items:
        yield batch.take()


class UnitWriter:
    """Numbers units, passes them to the sink in chunks, and computes their digest.

    The digest identifies exactly what will be sent: it covers `seed` and every unit's kind, job and body.
    """

    def __init__(self, sink: Sink, seed: object) -> None:
        self._sink = sink
        self._digest = sha256(encode(seed).encode("ascii"))
        self._chunk: list[Unit] = []
        self._chunk_bytes = 0
        self.seq = 0

    def write(self, kind: Kind, count: int, body: bytes, *, after: int, job_uid: str | None = None) -> int:
        """Write the next unit and return its number."""
        self.seq += 1
        self._digest.update(f"\n{kind.value}\0{job_uid or ''}\0{len(body)}\0".encode())
        self._digest.update(body)
        self._chunk.append(Unit(self.seq, kind, job_uid, count, after, body))
        self._chunk_bytes += len(body)
        if self._chunk_bytes >= CHUNK_BYTES:
            self._flush()
        return self.seq

    def write_all(self, kind: Kind, items: Iterable[str], *, after: int) -> int:
        """Write as many units as these items need and return the number of items."""
        total = 0
        for count, body in cut(kind, items):
            self.write(kind, count, body, after=after)
            total += count
        return total

    def finish(self) -> str:
        """Pass the last chunk to the sink and return the digest (64 hex digits)."""
        self._flush()
        return self._digest.hexdigest()

    def _flush(self) -> None:
        if self._chunk:
            self._sink(self._chunk)
            self._chunk = []
            self._chunk_bytes = 0
