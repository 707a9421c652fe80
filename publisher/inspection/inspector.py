"""Inspects objects: looked at in their stores, and read where the store's own checksum does not prove the bytes."""

from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack

import anyio
from blake3 import blake3
from msgspec import Struct, field

from roar_publisher.blocking import RunBlocking, one_at_a_time
from roar_publisher.inspection.findings import Finding, Inspected, Inspection
from roar_publisher.inspection.record import WHOLE, InspectionRecord, RecordProblem
from roar_publisher.inspection.subjects import Subject
from roar_publisher.net.pace import Pace
from roar_publisher.state.errors import Interrupted, NeedsUser, PublisherError, Transient, UsageProblem
from roar_publisher.state.reasons import Reason
from roar_publisher.storage.parts import part_range
from roar_publisher.storage.ranges import RANGE_BYTES, ObjectChanged
from roar_publisher.storage.readable import ReadableStore, StoredObject
from roar_publisher.storage.source import Content
from roar_publisher.storage.store import ObjectStore
from roar_publisher.tasks import for_each

OBJECTS_AT_ONCE = 8
PARTS_AT_ONCE = 4
READS_AT_ONCE = 10
"""Ranges of all objects together, each of which is in memory."""
OpenStore = Callable[[str], Awaitable[ReadableStore]]
"""Opens the store of a place (`Destination.place`)."""


class Inspector(Struct, frozen=True):
    """One inspection. full: read every byte, also where a checksum would do.

    pace: limits the bytes that are read. record: what was proven before, and where it is kept; None for neither.
    Reading changes nothing. Repeating is safe, and with the record, parts that were proven are not read again.
    """

    open_store: OpenStore
    full: bool = False
    pace: Pace | None = None
    record: InspectionRecord | None = None
    result: Inspection = field(default_factory=Inspection)
    _stores: dict[str, ReadableStore | PublisherError] = field(default_factory=dict)
    _opening: anyio.Lock = field(default_factory=anyio.Lock)  # each store is opened once
    _run_blocking: RunBlocking = field(default_factory=one_at_a_time)

    async def run(self, subjects: Sequence[Subject]) -> Inspection:
        """Inspect all objects; a problem of one does not stop the others. A store that stays away is asked once.

        Raises Interrupted, and RecordProblem if the record cannot be used.
        """
        slots = anyio.Semaphore(READS_AT_ONCE)
        async with AsyncExitStack() as opened:

            async def inspect(subject: Subject) -> None:
                reading = _Reading(self, subject, slots)
                try:
                    found = await self._inspect(subject, reading, opened)
                except (Interrupted, RecordProblem):
                    raise
                except PublisherError as problem:
                    found = Inspected(subject, Finding.UNREADABLE, problem.what)
                found = Inspected(subject, found.finding, found.why, reading.read, reading.tag)
                self.result.add(found, by_reading=reading.began)

            await for_each(subjects, inspect, at_once=OBJECTS_AT_ONCE)
        return self.result

    async def _inspect(self, subject: Subject, reading: "_Reading", opened: AsyncExitStack) -> Inspected:
        address = subject.address
        store = await self._store(address.place, opened)
        try:
            for last_try in (False, True):
                stored = await store.look(address.key)
                reading.tag = "" if stored is None else stored.tag
                if stored is None:
                    return Inspected(subject, Finding.MISSING, "it is not in its store")
                if subject.size is not None and stored.size != subject.size:
                    finding = Finding.TRUNCATED if stored.size < subject.size else Finding.CHANGED
                    return Inspected(subject, finding, f"{stored.size} bytes are stored of {subject.size}")
                if not self.full and _is_proven(store, stored, subject):
                    return Inspected(subject, Finding.PROVEN)
                try:
                    return await reading.compare(store, address.key, stored)
                except ObjectChanged:
                    if last_try:
                        raise
            raise AssertionError("the last try returns or raises")
        except (Transient, NeedsUser) as problem:
            if problem.reason is not Reason.ACCESS_DENIED:  # which may concern this object alone
                self._stores[address.place] = problem
            raise

    async def _store(self, place: str, opened: AsyncExitStack) -> ReadableStore:
        async with self._opening:
            if place not in self._stores:
                try:
                    self._stores[place] = await opened.enter_async_context(await self.open_store(place))
                except (NeedsUser, UsageProblem) as problem:
                    self._stores[place] = problem
        found = self._stores[place]
        if isinstance(found, PublisherError):
            raise found
        return found


class _Reading(Struct):
    """The reading of one object. read: bytes so far. tag: the version that is read."""

    inspector: Inspector
    subject: Subject
    slots: anyio.Semaphore
    read: int = 0
    began: bool = False
    tag: str = ""

    async def compare(self, store: ReadableStore, key: str, stored: StoredObject) -> Inspected:
        """Read what is not proven yet, and compare it. Raises ObjectChanged, and what the store raises."""
        self.began = True
        subject = self.subject
        known = await self._known(stored.tag)
        if WHOLE in known:
            return Inspected(subject, Finding.PROVEN)
        content = subject.content
        if content is None or len(content.part_blake3s) == 1:
            if await self._digest(store, key, stored, 0, stored.size) != subject.digest:
                return Inspected(subject, Finding.CHANGED, "its bytes have another digest")
        elif wrong := await self._wrong_parts(store, key, stored, content, known):
            of = f"of {len(content.part_blake3s)} parts, {len(wrong)} differ, the first at byte {wrong[0]}"
            return Inspected(subject, Finding.CHANGED, of)
        await self._keep(stored.tag, WHOLE)
        return Inspected(subject, Finding.PROVEN)

    async def _wrong_parts(
        self, store: ReadableStore, key: str, stored: StoredObject, content: Content, known: frozenset[int]
    ) -> list[int]:
        """Return the offsets of the parts that differ, in order."""
        wrong: list[int] = []

        async def check(number: int) -> None:
            offset, length = part_range(number, content.size, content.part_bytes)
            if await self._digest(store, key, stored, offset, length) == content.part_blake3s[number - 1]:
                await self._keep(stored.tag, number)
            else:
                wrong.append(offset)

        numbers = [number for number in range(1, len(content.part_blake3s) + 1) if number not in known]
        await for_each(numbers, check, at_once=PARTS_AT_ONCE)
        return sorted(wrong)

    async def _digest(self, store: ReadableStore, key: str, stored: StoredObject, offset: int, length: int) -> str:
        digest = blake3()
        for start in range(offset, offset + length, RANGE_BYTES):
            size = min(RANGE_BYTES, offset + length - start)
            async with self.slots:
                if self.inspector.pace is not None:
                    await self.inspector.pace.wait(size)
                digest.update(await store.read(key, start, size, stored))
            self.read += size
            self.inspector.result.bytes_read += size
        return digest.hexdigest()

    async def _known(self, tag: str) -> frozenset[int]:
        record = self.inspector.record
        if record is None:
            return frozenset()
        return await self.inspector._run_blocking(record.parts, self.subject.url, self.subject.digest, tag)

    async def _keep(self, tag: str, part: int) -> None:
        if (record := self.inspector.record) is not None:
            with anyio.CancelScope(shield=True):
                await self.inspector._run_blocking(record.add, self.subject.url, self.subject.digest, tag, part)


def _is_proven(store: ReadableStore, stored: StoredObject, subject: Subject) -> bool:
    """Return whether the store's own checksum proves the bytes."""
    if subject.content is None or not isinstance(store, ObjectStore):
        return False
    return store.proves(stored, subject.content, subject.tag)
