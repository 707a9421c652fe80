"""The objects of a put, from a journal into a store: every crash, stop and failure leaves something to go on from."""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path

import anyio
import pytest

from roar_publisher.engine.staging import uploader
from roar_publisher.engine.staging.uploader import abandon
from roar_publisher.report import Noted, ObjectsPlanned, ObjectStored, Report, Sent
from roar_publisher.state.errors import Interrupted, Rejected
from roar_publisher.state.paths import StateFolder
from roar_publisher.state.publish import OwnedPublish
from roar_publisher.state.reasons import Reason
from roar_publisher.storage.destinations import open_store
from roar_publisher.storage.digest import digest_file
from roar_publisher.storage.file import FileStore
from roar_publisher.storage.slices import OnSent
from roar_publisher.storage.source import Content, FileChanged, Slice
from roar_publisher.storage.store import LOOKUPS_PER_PAGE, Part, Upload
from tests.support.lineages import cut, plan_of
from tests.support.sampling import EXHAUSTIVE, chosen
from tests.support.storage.memory import write_file
from tests.unit.storage.conftest import Place
from tests.unit.storage.mortal import Crash, Mortal, MortalStore, Put

pytestmark = pytest.mark.anyio
PART_BYTES = 256 * 1024
PARTS = 3
LARGE = PART_BYTES * 2 + 1000
LARGE_KEY, SMALL_KEY = "in/large", "small"
MOST_POINTS = 200
APART = 1 if EXHAUSTIVE else 3
"""How far the points are apart at which a drain is ended."""


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
    for point in range(chosen("first point of a drain", range(APART)), MOST_POINTS, APART):
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


@pytest.mark.parametrize("place", ["file"], indirect=True)
async def test_a_folder_that_takes_two_names_for_one_loses_no_file_in_silence(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On CIFS, APFS or vfat, `Model` and `model` are one file. FileStore stands for one that is on such a disk."""
    path_of = FileStore._path
    monkeypatch.setattr(FileStore, "_path", lambda store, key: path_of(store, key.casefold()))
    put = Put(tmp_path / "state", place)
    await put.add({name: write_file(tmp_path / f"{number}", 100, seed=number) for number, name in enumerate("aAb")})
    await put.drain()
    with pytest.raises(Rejected, match="ignore case") as caught:
        await put.recheck()
    assert caught.value.reason is Reason.STORED_OBJECT_DIFFERS
