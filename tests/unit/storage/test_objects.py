"""The objects of a put, from a journal into a store: every crash, stop and failure leaves something to go on from."""

import json
import shutil
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from types import SimpleNamespace
from typing import ParamSpec, TypeVar, cast

import anyio
import pytest

from roar_publisher.blocking import RunBlocking
from roar_publisher.engine.journal import AsyncFiles, AsyncJournal
from roar_publisher.engine.run import Run
from roar_publisher.engine.staging import uploader
from roar_publisher.engine.staging.uploader import ObjectUploader, abandon, owner_of
from roar_publisher.report import Noted, ObjectsPlanned, ObjectStored, Report, Sent
from roar_publisher.state.errors import Interrupted, Rejected
from roar_publisher.state.objects import ObjectRow
from roar_publisher.state.paths import StateFolder
from roar_publisher.state.publish import OwnedPublish
from roar_publisher.storage.destinations import open_store
from roar_publisher.storage.digest import digest_file
from roar_publisher.storage.readable import StoredObject
from roar_publisher.storage.slices import OnSent
from roar_publisher.storage.source import Content, FileChanged, Slice
from roar_publisher.storage.store import LOOKUPS_PER_PAGE, ObjectStore, Part, Upload
from tests.support.blocking import inline
from tests.support.lineages import cut, plan_of
from tests.support.storage.memory import write_file
from tests.unit.storage.conftest import Place

pytestmark = pytest.mark.anyio
P = ParamSpec("P")
T = TypeVar("T")
PART_BYTES = 256 * 1024
PARTS = 3
LARGE = PART_BYTES * 2 + 1000
LARGE_KEY, SMALL_KEY = "in/large", "small"
MOST_POINTS = 200


class Crash(BaseException):
    """The process is gone: nothing that it would do afterwards happens."""


class Mortal:
    """Counts what a process does to its disk and its store, and ends it before or after the chosen one."""

    def __init__(self, last: int | None = None) -> None:
        self._last = last
        self.points = 0
        self.parts_sent = 0

    async def does(self, deed: Callable[[], Awaitable[T]]) -> T:
        self._point()
        result = await deed()
        self._point()
        return result

    async def on_disk(self, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        return await self.does(lambda: inline(call, *args, **kwargs))

    def _point(self) -> None:
        self.points += 1
        if self._last is not None and self.points > self._last:
            raise Crash


class MortalStore(ObjectStore):
    """A store that is reached by a mortal."""

    def __init__(self, store: ObjectStore, mortal: Mortal) -> None:
        super().__init__(store.destination)
        self._store = store
        self._mortal = mortal

    async def stat(self, key: str) -> StoredObject | None:
        return await self._mortal.does(lambda: self._store.stat(key))

    async def look(self, key: str) -> StoredObject | None:
        return await self._mortal.does(lambda: self._store.look(key))

    async def read(self, key: str, offset: int, length: int, stored: StoredObject) -> bytes:
        return await self._mortal.does(lambda: self._store.read(key, offset, length, stored))

    async def is_lost(self, key: str, content: Content, tag: str) -> bool:
        return await self._mortal.does(lambda: self._store.is_lost(key, content, tag))

    async def put(self, key: str, content: Content, sent: OnSent) -> StoredObject:
        return await self._mortal.does(lambda: self._store.put(key, content, sent))

    async def begin(self, key: str, content: Content) -> Upload:
        return await self._mortal.does(lambda: self._store.begin(key, content))

    async def parts(self, upload: Upload) -> dict[int, Part] | None:
        return await self._mortal.does(lambda: self._store.parts(upload))

    async def put_part(self, upload: Upload, number: int, slice_: Slice, sent: OnSent) -> Part:
        self._mortal.parts_sent += 1
        return await self._mortal.does(lambda: self._store.put_part(upload, number, slice_, sent))

    async def complete(self, upload: Upload, content: Content, parts: Mapping[int, Part]) -> StoredObject:
        return await self._mortal.does(lambda: self._store.complete(upload, content, parts))

    async def copy(self, source: str, key: str, content: Content) -> StoredObject | None:
        return await self._mortal.does(lambda: self._store.copy(source, key, content))

    async def abort_orphans(self, key: str, requested_at: float | None) -> None:
        await self._mortal.does(lambda: self._store.abort_orphans(key, requested_at))

    async def abort(self, upload: Upload) -> None:
        await self._mortal.does(lambda: self._store.abort(upload))

    def checksum_of(self, content: Content) -> str:
        return self._store.checksum_of(content)


class Put:
    """A publish with objects, drained as often as a test likes.  on_report: what a watcher does at each report."""

    def __init__(self, folder: Path, place: Place) -> None:
        self.place = place
        self.owned = OwnedPublish.create(StateFolder(folder))
        self.owned.journal.db.execute("PRAGMA synchronous = OFF")
        self.plan = replace(plan_of(cut([]), self.owned.paths.id), destination=place.url)
        self.reports: list[Report] = []
        self.stop = anyio.Event()
        self.on_report: Callable[[Report], None] = lambda report: None

    async def add(self, paths: Mapping[str, str]) -> None:
        async with self.place.store() as store:
            contents = {key: await digest_file(path, md5=store.needs_md5) for key, path in paths.items()}
            rows = [
                ObjectRow(seq, key, store.url(key), content.size, json.dumps(asdict(content)))
                for seq, (key, content) in enumerate(contents.items(), start=1)
            ]
        self.owned.journal.objects.add(rows)
        self.owned.journal.freeze(self.plan)

    async def drain(self, mortal: Mortal | None = None) -> None:
        await self._with_objects(ObjectUploader.drain, mortal)

    async def recheck(self) -> None:
        await self._with_objects(ObjectUploader.recheck)

    async def _with_objects(
        self, work: Callable[[ObjectUploader], Awaitable[None]], mortal: Mortal | None = None
    ) -> None:
        run_blocking: RunBlocking = mortal.on_disk if mortal else inline
        run = SimpleNamespace(
            journal=AsyncJournal(self.owned.journal, run_blocking),
            files=AsyncFiles(self.owned.paths, run_blocking),
            report=self._report,
            clock=time.time,
            stop=self.stop,
        )
        async with self.place.store(owner_of(self.plan)) as store:
            await work(ObjectUploader(cast(Run, run), MortalStore(store, mortal) if mortal else store))

    @property
    def uploads(self) -> list[int]:
        """The seq of each object whose upload is known."""
        folder = self.owned.paths.folder / "uploads"
        return sorted(int(path.name) for path in folder.iterdir()) if folder.exists() else []

    def acknowledged_parts(self, seq: int) -> set[int]:
        return {part.number for part in self.owned.journal.objects.parts(seq)}

    def _report(self, report: Report) -> None:
        self.reports.append(report)
        self.on_report(report)


@pytest.fixture(autouse=True)
def _small_parts_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("roar_publisher.storage.parts.SMALLEST_PART_BYTES", PART_BYTES)
    monkeypatch.setattr("roar_publisher.storage.parts.MIB", PART_BYTES)
    monkeypatch.setattr(uploader, "PARTS_AT_ONCE", 1)
    monkeypatch.setattr(uploader, "FILES_AT_ONCE", 1)


ANY_SIZE = pytest.mark.parametrize("place", ["file", "s3-rclone"], indirect=True)
"""Stores that take parts of any size."""


async def put_of_two(folder: Path, place: Place, under: str = "") -> tuple[Put, dict[str, str]]:
    """A put of one file in parts and one small one; gives their paths by key, too."""
    paths = {
        under + LARGE_KEY: write_file(folder / "large", LARGE),
        under + SMALL_KEY: write_file(folder / "sm\n all", 1000, seed=2),
    }
    put = Put(folder / "state", place)
    await put.add(paths)
    return put, paths


def check_stored(put: Put, paths: Mapping[str, str]) -> None:
    for key, path in paths.items():
        assert put.place.read(key) == Path(path).read_bytes()
    tally = put.owned.journal.objects.tally()
    assert tally.stored == tally.objects == len(paths)
    assert put.uploads == []


def raise_what_is_no_crash(error: BaseException) -> None:
    if isinstance(error, BaseExceptionGroup) and (others := error.split(Crash)[1]):
        raise others


@pytest.fixture
def as_the_process_is(place: Place, monkeypatch: pytest.MonkeyPatch) -> Place:
    """A place that is found by the process's own environment."""
    for name, value in place.environ.items():
        monkeypatch.setenv(name, value)
    return place


@ANY_SIZE
async def test_a_crash_at_any_point_costs_one_part_at_most(place: Place, tmp_path: Path) -> None:
    for point in range(MOST_POINTS):
        put, paths = await put_of_two(tmp_path / str(point), place, f"{point}/")
        first, second = Mortal(point), Mortal()
        try:
            await put.drain(first)
        except (Crash, BaseExceptionGroup) as error:
            raise_what_is_no_crash(error)
        else:
            assert point > 30, "every step of the way was a point to crash at"
            return
        await put.drain(second)
        check_stored(put, paths)
        assert first.parts_sent + second.parts_sent <= PARTS + 1, point
    raise AssertionError("it never came through")


@ANY_SIZE
async def test_what_is_stored_is_not_sent_again(place: Place, tmp_path: Path) -> None:
    put, paths = await put_of_two(tmp_path, place)
    await put.drain()
    put.reports.clear()
    await put.drain()
    check_stored(put, paths)
    size = LARGE + 1000
    assert put.reports == [ObjectsPlanned(2, 2, size, size)]


@pytest.mark.parametrize("place", ["file", "s3-rclone", "gs"], indirect=True)
async def test_a_stop_ends_at_once_and_keeps_the_parts(place: Place, tmp_path: Path) -> None:
    put, paths = await put_of_two(tmp_path, place)

    def stop_in_the_third_part(report: Report) -> None:
        if isinstance(report, Sent) and put.acknowledged_parts(1) == {1, 2}:
            put.stop.set()

    put.on_report = stop_in_the_third_part
    with pytest.raises(Interrupted):
        await put.drain()
    assert put.uploads == [1]
    assert not any(isinstance(report, ObjectStored) for report in put.reports)
    put.stop = anyio.Event()
    put.on_report = lambda report: None
    mortal = Mortal()
    await put.drain(mortal)
    check_stored(put, paths)


@ANY_SIZE
async def test_a_file_that_changes_once_it_is_stored_ends_the_put(place: Place, tmp_path: Path) -> None:
    put, paths = await put_of_two(tmp_path, place)

    def change_the_stored_one(report: Report) -> None:
        if isinstance(report, ObjectStored) and report.key == LARGE_KEY:
            with Path(paths[LARGE_KEY]).open("ab") as file:
                file.write(b"more")

    put.on_report = change_the_stored_one
    with pytest.raises(FileChanged, match="large"):
        await put.drain()
    with pytest.raises(FileChanged, match="large"):
        await put.drain()  # also when nothing is left to send


def restore(path: str) -> None:
    """A copy of a file takes its place."""
    shutil.copyfile(path, f"{path} copied")
    Path(f"{path} copied").replace(path)


@ANY_SIZE
async def test_a_restored_file_is_read_once_more(place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []

    async def counted(path: str) -> Content:
        read.append(path)
        return await digest_file(path)

    monkeypatch.setattr(uploader, "digest_file", counted)
    put, paths = await put_of_two(tmp_path, place)
    for path in paths.values():
        restore(path)
    await put.drain()
    check_stored(put, paths)
    assert sorted(read) == sorted(paths.values())
    await put.drain()
    assert len(read) == len(paths), "the journal has the files as they are now"


@ANY_SIZE
async def test_a_file_that_is_restored_after_it_was_stored_is_not_changed(place: Place, tmp_path: Path) -> None:
    put, paths = await put_of_two(tmp_path, place)

    def restore_the_stored_one(report: Report) -> None:
        if isinstance(report, ObjectStored) and report.key == LARGE_KEY:
            restore(paths[LARGE_KEY])

    put.on_report = restore_the_stored_one
    await put.drain()
    check_stored(put, paths)


@ANY_SIZE
async def test_shared_content_is_copied_however_often_it_is_interrupted(place: Place, tmp_path: Path) -> None:
    path = write_file(tmp_path / "large", LARGE)
    paths = {key: path for key in ("first", "in/second", "third")}
    mortals = [Mortal(point) for point in range(40, 100, 7)] + [Mortal()]
    put = Put(tmp_path / "state", place)
    await put.add(paths)
    for mortal in mortals:
        try:
            await put.drain(mortal)
        except (Crash, BaseExceptionGroup) as error:
            raise_what_is_no_crash(error)
    check_stored(put, paths)
    if place.proxy:
        assert sum(mortal.parts_sent for mortal in mortals) <= PARTS + len(mortals) - 1


@ANY_SIZE
async def test_a_store_that_refuses_ends_the_put_and_keeps_the_rest(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put, paths = await put_of_two(tmp_path, place)
    mortal = Mortal()
    put_part = MortalStore.put_part

    async def refuse_the_last(store: MortalStore, upload: Upload, number: int, slice_: Slice, sent: OnSent) -> Part:
        if number == PARTS:
            raise Rejected("the disk of the store is full")
        return await put_part(store, upload, number, slice_, sent)

    with monkeypatch.context() as patched:
        patched.setattr(MortalStore, "put_part", refuse_the_last)
        with pytest.raises(Rejected, match="disk of the store"):
            await put.drain(mortal)
    assert put.acknowledged_parts(1) == {1, 2}
    await put.drain(mortal)
    assert mortal.parts_sent == PARTS
    check_stored(put, paths)


@pytest.mark.parametrize("place", ["s3-rclone", "gs"], indirect=True)
async def test_many_new_objects_are_not_looked_up_one_by_one(place: Place, tmp_path: Path) -> None:
    count = LOOKUPS_PER_PAGE + 4
    paths = {f"{number}": write_file(tmp_path / f"{number}", 100, seed=number) for number in range(count)}
    assert place.proxy is not None
    for again in (False, True):
        put = Put(tmp_path / f"state {again}", place)
        await put.add(paths)
        place.proxy.seen.clear()
        await put.drain()
        sent, requests = sum(seen.body_bytes > 0 for seen in place.proxy.seen), len(place.proxy.seen)
        check_stored(put, paths)
        assert (sent, requests) == ((0, count + 1) if again else (count, count + 1))


async def write_another(place: Place, key: str, folder: Path, size: int) -> None:
    """As another client that writes to the same place would."""
    async with place.store() as store:
        content = await digest_file(write_file(folder / "theirs", size, seed=999), md5=store.needs_md5)
        await store.put(key, content, lambda sent: None)


@pytest.mark.parametrize("deleted", [True, False], ids=["deleted", "overwritten"])
@pytest.mark.parametrize("count", [4, LOOKUPS_PER_PAGE + 4])
async def test_objects_lost_since_they_were_stored_are_sent_again_and_reported(
    count: int, deleted: bool, place: Place, tmp_path: Path
) -> None:
    paths = {f"{number}": write_file(tmp_path / f"{number}", 100, seed=number) for number in range(count)}
    put = Put(tmp_path / "state", place)
    await put.add(paths)
    await put.drain()
    lost = list(paths)[1:3]
    for key in lost:
        if deleted:
            place.delete(key)
        else:
            await write_another(place, key, tmp_path, 100)
    put.reports.clear()
    await put.recheck()
    check_stored(put, paths)
    assert [report.key for report in put.reports if isinstance(report, ObjectStored) and report.sent] == lost
    assert [report.text for report in put.reports if isinstance(report, Noted)] == [uploader.LOST.format(2, count)]
    size = count * 100
    assert ObjectsPlanned(count, count - 2, size, size - 200) in put.reports
    put.reports.clear()
    await put.recheck()
    assert put.reports == [], "all is there, and nothing is said"


@pytest.mark.parametrize("place", ["s3-rclone"], indirect=True)
async def test_a_repeated_upload_is_known_to_be_in_progress(as_the_process_is: Place, tmp_path: Path) -> None:
    """Otherwise its upload would never be aborted."""
    place = as_the_process_is
    put, _ = await put_of_two(tmp_path, place)
    await put.drain()
    place.delete(LARGE_KEY)
    put.on_report = lambda report: put.stop.set() if put.acknowledged_parts(1) else None
    with pytest.raises(Interrupted):
        await put.recheck()
    assert put.uploads == [1]
    assert put.owned.journal.objects.tally().stored == 1
    assert await abandon(put.owned.paths, put.owned.journal, put.plan) == 0
    assert put.uploads == []


@pytest.mark.parametrize("place", ["s3-rclone", "gs"], indirect=True)
async def test_many_stored_objects_are_checked_by_a_listing(place: Place, tmp_path: Path) -> None:
    count = LOOKUPS_PER_PAGE + 4
    put = Put(tmp_path / "state", place)
    await put.add({f"{number}": write_file(tmp_path / f"{number}", 100, seed=number) for number in range(count)})
    await put.drain()
    assert place.proxy is not None
    place.proxy.seen.clear()
    await put.recheck()
    assert len(place.proxy.seen) == 1


async def test_an_unchanged_folder_is_not_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content = await digest_file(write_file(tmp_path / "source", 1000))
    async with await open_store(str(tmp_path / "stored"), {}) as store:
        stored = await store.put("key", content, lambda sent: None)

        async def read(path: str) -> Content:
            raise AssertionError("it is read")

        monkeypatch.setattr("roar_publisher.storage.file.digest_file", read)
        assert not await store.is_lost("key", content, stored.tag)


async def interrupted(folder: Path, place: Place) -> Put:
    """A put that was stopped when its first part was acknowledged and its second under way."""
    put, _ = await put_of_two(folder, place)
    put.on_report = lambda report: put.stop.set() if put.acknowledged_parts(1) else None
    with pytest.raises(Interrupted):
        await put.drain()
    assert put.uploads == [1]
    return put


async def test_an_abandoned_upload_is_aborted_in_its_store(as_the_process_is: Place, tmp_path: Path) -> None:
    put = await interrupted(tmp_path, as_the_process_is)
    text = put.owned.paths.read_upload(1)
    assert text is not None
    for _ in range(2):
        assert await abandon(put.owned.paths, put.owned.journal, put.plan) == 0
        assert put.uploads == []
    async with as_the_process_is.store() as store:
        assert await store.parts(Upload(**json.loads(text))) is None
        assert await store.stat(LARGE_KEY) is None


@pytest.mark.parametrize("place", ["s3-rclone"], indirect=True)
async def test_an_upload_that_cannot_be_aborted_stays_recorded(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put = await interrupted(tmp_path, place)
    monkeypatch.setattr(uploader, "ABANDON_SECONDS", 0.2)
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    assert await abandon(put.owned.paths, put.owned.journal, put.plan) == 1
    assert put.uploads == [1]


async def test_a_publish_without_objects_has_nothing_to_abandon(tmp_path: Path) -> None:
    owned = OwnedPublish.create(StateFolder(tmp_path))
    assert await abandon(owned.paths, owned.journal, plan_of(cut([]), owned.paths.id)) == 0
