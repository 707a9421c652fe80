"""The inspection of objects in a store that a test damages: found, distinguished, resumed, and nothing read in vain."""

import random
from collections.abc import Sequence
from pathlib import Path

import anyio
import anyio.lowlevel
import pytest
from blake3 import blake3

from roar_publisher.inspection import inspector as inspector_module
from roar_publisher.inspection.findings import Finding, Inspection
from roar_publisher.inspection.inspector import READS_AT_ONCE, Inspector
from roar_publisher.inspection.record import InspectionRecord, RecordProblem
from roar_publisher.inspection.subjects import Subject, merged, sample
from roar_publisher.net.pace import Pace
from roar_publisher.state.errors import NeedsUser, Rejected, Transient
from roar_publisher.state.reasons import Reason
from roar_publisher.storage import parts
from roar_publisher.storage.digest import digest_file
from roar_publisher.storage.ranges import ObjectChanged
from roar_publisher.storage.readable import ReadableStore, StoredObject
from roar_publisher.storage.s3 import S3Store
from tests.support import sampling

pytestmark = pytest.mark.anyio
NAMES = [f"file{number}" for number in range(6)]
PART_BYTES = 1000


class Killed(Exception):
    """The end of the process."""


class Shelf(ReadableStore):
    """Objects in memory.

    reads: what was read of them, in order. fail: raised by the next reads. most: reads before the process is killed.
    """

    def __init__(self, objects: dict[str, bytes]) -> None:
        self.objects = objects
        self.tags = dict.fromkeys(objects, "one")
        self.reads: list[tuple[str, int, int]] = []
        self.looks = 0
        self.fail: list[Exception] = []
        self.most: int | None = None

    async def look(self, key: str) -> StoredObject | None:
        self.looks += 1
        if key in self.objects:
            return StoredObject(len(self.objects[key]), "", tag=self.tags[key])
        return None

    async def read(self, key: str, offset: int, length: int, stored: StoredObject) -> bytes:
        if len(self.reads) == self.most:
            raise Killed
        self.reads.append((key, offset, length))
        if self.fail:
            raise self.fail.pop()
        return self.objects[key][offset : offset + length]


def content_of(number: int) -> bytes:
    return random.Random(number).randbytes(number * 700 + 1)


def shelf() -> Shelf:
    return Shelf({name: content_of(number) for number, name in enumerate(NAMES)})


def subjects(store: Shelf) -> list[Subject]:
    return [Subject(f"s3://bucket/{name}", blake3(content).hexdigest()) for name, content in store.objects.items()]


async def put_here(store: Shelf, folder: Path, monkeypatch: pytest.MonkeyPatch) -> list[Subject]:
    """Return the subjects with what a put on this machine knows of them, in parts of PART_BYTES."""
    monkeypatch.setattr(parts, "SMALLEST_PART_BYTES", PART_BYTES)
    monkeypatch.setattr(parts, "MIB", PART_BYTES)
    found = []
    for name, content in store.objects.items():
        path = folder / name
        await anyio.Path(path).write_bytes(content)
        described = await digest_file(str(path))
        found.append(Subject(f"s3://bucket/{name}", described.blake3, described, "one"))
    return found


async def inspected(store: ReadableStore, chosen: Sequence[Subject], **how: object) -> Inspection:
    async def open_store(place: str) -> ReadableStore:
        return store

    return await Inspector(open_store, **how).run(chosen)  # type: ignore[arg-type]


def problems(inspection: Inspection) -> dict[str, Finding]:
    return {each.subject.url.rpartition("/")[2]: each.finding for each in inspection.problems}


async def test_what_is_as_it_was_put_is_proven_by_reading(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = shelf()
    for chosen in (subjects(store), await put_here(store, tmp_path, monkeypatch)):
        found = await inspected(store, chosen)
        assert (found.counts[Finding.PROVEN], found.by_reading, found.wrong) == (len(NAMES), len(NAMES), 0)
        assert found.bytes_read == sum(map(len, store.objects.values()))


async def test_bytes_are_counted_while_an_object_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inspector_module, "RANGE_BYTES", 100)
    seen = []

    class Seen(Shelf):
        async def read(self, key: str, offset: int, length: int, stored: StoredObject) -> bytes:
            seen.append(inspector.result.bytes_read)
            return await super().read(key, offset, length, stored)

    store = Seen({"x": bytes(250)})

    async def open_store(place: str) -> ReadableStore:
        return store

    inspector = Inspector(open_store)
    await inspector.run(subjects(store))
    assert seen == [0, 100, 200]
    assert inspector.result.bytes_read == 250


async def test_missing_truncated_changed_and_unreadable_are_told_apart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = shelf()
    chosen = await put_here(store, tmp_path, monkeypatch)
    del store.objects["file1"]
    store.objects["file2"] = store.objects["file2"][:-1]
    store.objects["file3"] += b"x"
    store.objects["file5"] = bytes([store.objects["file5"][0] ^ 1]) + store.objects["file5"][1:]
    unsafe = Subject("nowhere", "0" * 64)
    found = await inspected(store, [*chosen, unsafe])
    assert problems(found) == {
        "file1": Finding.MISSING,
        "file2": Finding.TRUNCATED,
        "file3": Finding.CHANGED,
        "file5": Finding.CHANGED,
        "nowhere": Finding.UNREADABLE,
    }
    assert (found.total, found.wrong, found.counts[Finding.PROVEN]) == (7, 4, 2)
    assert "of 4 parts, 1 differ, the first at byte 0" in {each.why for each in found.problems}


@pytest.mark.parametrize("seed", sampling.sample("flipped bits of objects", range(1000), 40))
async def test_a_flipped_bit_is_found_and_nothing_else(seed: int) -> None:
    rng, store = random.Random(seed), shelf()
    chosen = subjects(store)
    assert problems(await inspected(store, chosen)) == {}, "no false alarm"
    name = rng.choice(NAMES)
    content = bytearray(store.objects[name])
    content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
    store.objects[name] = bytes(content)
    assert problems(await inspected(store, chosen)) == {name: Finding.CHANGED}


class Quick(S3Store):
    """S3's own judgement of what is looked at; nothing may be read."""

    def __init__(self, shelf: Shelf) -> None:
        self.destination, self.look = "s3://bucket", shelf.look  # type: ignore[method-assign]
        self.read = shelf.read  # type: ignore[method-assign]

    async def aclose(self) -> None:
        """There is nothing to close."""


async def test_an_unchanged_etag_proves_an_object_without_reading_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = shelf()
    chosen = await put_here(store, tmp_path, monkeypatch)
    found = await inspected(Quick(store), chosen)
    assert (found.counts[Finding.PROVEN], found.by_reading, store.reads) == (len(NAMES), 0, [])
    store.tags["file2"] = "another"
    found = await inspected(Quick(store), chosen)
    assert (found.by_reading, {key for key, *_ in store.reads}) == (1, {"file2"})
    store.reads.clear()
    assert (await inspected(Quick(store), chosen, full=True)).by_reading == len(NAMES)
    assert {key for key, *_ in store.reads} == set(NAMES)
    nothing_known = [Subject(each.url, each.digest) for each in chosen]
    assert (await inspected(Quick(store), nothing_known)).by_reading == len(NAMES), "an ETag alone proves nothing"


async def test_what_was_read_is_not_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = shelf()
    chosen = await put_here(store, tmp_path, monkeypatch)
    whole = sum(map(len, store.objects.values()))
    path = tmp_path / "verify.db"
    for already in range(1, 12, 3):
        first = store.reads = []
        store.most = already
        with InspectionRecord(path, "a", resume=False) as record, pytest.raises(Killed):
            await inspected(store, chosen, record=record)
        store.most, store.reads = None, []
        with InspectionRecord(path, "a", resume=True) as record:
            found = await inspected(store, chosen, record=record)
        assert found.counts[Finding.PROVEN] == len(NAMES)
        assert whole <= sum(length for _, _, length in first + store.reads) <= whole + 8 * PART_BYTES
    with InspectionRecord(path, "a", resume=True) as record:
        store.tags = dict.fromkeys(NAMES, "two")
        assert (await inspected(store, chosen, record=record)).bytes_read == whole, "it is another version"
        store.tags = dict.fromkeys(NAMES, "")
        await inspected(store, chosen, record=record)
        assert (await inspected(store, chosen, record=record)).bytes_read == whole, "it may be another version"
    with InspectionRecord(path, "a", resume=False) as record:
        assert (await inspected(store, chosen, record=record)).bytes_read == whole
    with InspectionRecord(path, "a", resume=True) as record:
        for number in range(1000):
            record.add(str(number), "", "one", 1)
    pages = path.read_bytes()
    path.write_bytes(pages[:8192] + b"x" * (len(pages) - 8192))
    with InspectionRecord(path, "a", resume=True) as record, pytest.raises(RecordProblem, match="cannot be used"):
        await inspected(store, chosen, record=record)
    path.write_bytes(b"damaged" * 1000)
    with InspectionRecord(path, "b", resume=True) as record:
        assert (await inspected(store, chosen, record=record)).bytes_read == whole


def test_no_object_waits_for_a_sync_of_the_record(tmp_path: Path) -> None:
    with InspectionRecord(tmp_path / "verify.db", "a", resume=False) as record:
        assert record._execute("PRAGMA synchronous") == [(0,)]


async def test_an_object_that_is_replaced_meanwhile_is_read_once_more() -> None:
    store = shelf()
    store.fail = [ObjectChanged("file5")]
    assert (await inspected(store, subjects(store))).counts[Finding.PROVEN] == len(NAMES)
    store.fail = [ObjectChanged("x"), ObjectChanged("x")]
    assert problems(await inspected(store, subjects(store)[5:])) == {"file5": Finding.UNREADABLE}


async def test_one_unreadable_object_is_one_and_a_store_that_is_away_is_asked_once() -> None:
    store = shelf()
    store.fail = [Rejected("no")]
    assert len(problems(await inspected(store, subjects(store)))) == 1
    store.fail = [NeedsUser("denied", reason=Reason.ACCESS_DENIED)]
    assert len(problems(await inspected(store, subjects(store)))) == 1, "it may concern this object alone"
    store.fail = [Transient("away", reason=Reason.OFFLINE)]
    store.looks = 0
    many = [Subject(f"s3://bucket/{name}", "0" * 64) for name in NAMES] * 5
    found = await inspected(store, many[:1])
    assert found.counts[Finding.UNREADABLE] == 1

    async def away(key: str, offset: int, length: int, stored: StoredObject) -> bytes:
        raise Transient("away", reason=Reason.OFFLINE)

    store.read = away  # type: ignore[method-assign]
    store.looks = 0
    found = await inspected(store, many)
    assert found.counts[Finding.UNREADABLE] == len(many)
    assert store.looks <= 8, "those that were under way"


async def test_few_ranges_are_in_memory_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Eight objects of five parts each would read four parts each."""
    store, now, most = Shelf({f"file{number}": random.Random(number).randbytes(4500) for number in range(8)}), 0, 0

    async def read(key: str, offset: int, length: int, stored: StoredObject) -> bytes:
        nonlocal now, most
        now += 1
        most = max(most, now)
        for _ in range(20):
            await anyio.lowlevel.checkpoint()
        now -= 1
        return store.objects[key][offset : offset + length]

    chosen = await put_here(store, tmp_path, monkeypatch)
    store.read = read  # type: ignore[method-assign]
    assert (await inspected(store, chosen)).wrong == 0
    assert most == READS_AT_ONCE


async def test_a_store_is_opened_once() -> None:
    store, opened = shelf(), []

    async def open_store(place: str) -> ReadableStore:
        opened.append(place)
        await anyio.lowlevel.checkpoint()
        return store

    await Inspector(open_store).run(subjects(store))
    assert opened == ["s3://bucket"]


async def test_reading_keeps_to_the_rate() -> None:
    class Counting(Pace):
        waited = 0

        async def wait(self, size: int) -> None:
            self.waited += size

    store, pace = shelf(), Counting(1)
    found = await inspected(store, subjects(store), pace=pace)
    assert pace.waited == found.bytes_read > 0


def test_a_sample_is_drawn_by_its_seed() -> None:
    many = [Subject(f"s3://bucket/{number:03}", "0" * 64) for number in range(101)]
    assert sample(many, 5, 7) == sample(many, 5, 7) != sample(many, 5, 8)
    assert [len(sample(many, percent, 1)) for percent in (0.001, 5, 50, 100)] == [1, 6, 51, 101]
    assert sample([], 5, 1) == []
    assert merged(many[:2], many[1:3]) == many[:3]
