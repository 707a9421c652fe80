"""What every store keeps: what was sent, once, and resumable to the part."""

from collections.abc import Mapping
from hashlib import sha256
from json import dumps, loads
from pathlib import Path

import pytest
from msgspec.structs import asdict, replace

from roar_publisher.state.errors import LocalProblem, Rejected, UsageProblem
from roar_publisher.storage.digest import digest_file
from roar_publisher.storage.readable import StoredObject
from roar_publisher.storage.source import Content
from roar_publisher.storage.store import LOOKUPS_PER_PAGE, ObjectStore, Part, Upload, UploadVanished
from roar_publisher.storage.transfer import transfer
from tests.support.storage.memory import MemoryLedger, nothing, write_file
from tests.support.storage.proxy import Fault
from tests.unit.storage.conftest import PART_BYTES, Place

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("small_parts")]
LARGE = 5 * PART_BYTES // 2 + 12_345
"""Three parts, the last one short."""


async def content_of(path: str, store: ObjectStore) -> Content:
    return await digest_file(path, md5=store.needs_md5)


def bytes_of(path: str) -> bytes:
    return Path(path).read_bytes()


async def send(store: ObjectStore, key: str, content: Content, ledger: MemoryLedger | None = None) -> None:
    stored = await transfer(store, key, content, ledger or MemoryLedger(), parts_at_once=4, advance=nothing)
    assert store.matches(stored, content)


@pytest.mark.parametrize("size", [0, 1, 100_000, PART_BYTES, PART_BYTES + 1, LARGE])
async def test_what_is_sent_can_be_read_back(place: Place, tmp_path: Path, size: int) -> None:
    path = write_file(tmp_path / "source", size, seed=size)
    async with place.store() as store:
        content = await content_of(path, store)
        await send(store, "deep/er/object.bin", content)
        assert store.matches(await store.stat("deep/er/object.bin"), content)
    assert sha256(place.read("deep/er/object.bin")).digest() == sha256(bytes_of(path)).digest()


@pytest.mark.parametrize("key", ["naïve 日本語.txt", "a+b&c=d%20 e~'().bin", "two\nlines", "dot.d/..x", "é/é"])
async def test_a_key_may_be_any_file_name(place: Place, tmp_path: Path, key: str) -> None:
    if place.name == "s3-moto" and "\n" in key:
        pytest.skip("moto's routes take no newline")
    path = write_file(tmp_path / "source", 1000)
    async with place.store() as store:
        content = await content_of(path, store)
        await send(store, key, content)
    assert place.read(key) == bytes_of(path)


@pytest.mark.parametrize("key", ["", "..", "a/../b", "/abs", "a/./b", "x//y", "nul\0", "x" * 1025])
async def test_a_key_that_leaves_the_destination_is_refused(place: Place, tmp_path: Path, key: str) -> None:
    async with place.store() as store:
        content = await content_of(write_file(tmp_path / "source", 10), store)
        with pytest.raises(UsageProblem):
            await store.stat(key)
        with pytest.raises(UsageProblem):
            await store.begin(key, content)


async def test_a_name_that_is_not_utf8_is_reported(place: Place) -> None:
    async with place.store() as store:
        with pytest.raises(LocalProblem, match=r"\\udcff"):
            await store.stat("bad\udcff")


async def test_a_missing_object_is_not_found(place: Place, tmp_path: Path) -> None:
    async with place.store() as store:
        assert await store.stat("nothing") is None
        content = await content_of(write_file(tmp_path / "source", LARGE), store)
        upload = await store.begin("begun", content)
        assert await store.stat("begun") is None
        await store.put_part(upload, 1, content.part(1), lambda sent: None)
        assert await store.stat("begun") is None
        await store.abort(upload)


async def test_the_parts_of_a_new_upload_are_not_listed(s3_place: Place, tmp_path: Path) -> None:
    async with s3_place.store() as store:
        await send(store, "object", await content_of(write_file(tmp_path / "source", LARGE), store))
    assert s3_place.proxy is not None
    assert sorted(seen.method for seen in s3_place.proxy.seen) == ["HEAD", "POST", "POST", "PUT", "PUT", "PUT"]


async def test_a_stored_object_is_recognised_by_its_checksum_or_metadata(place: Place, tmp_path: Path) -> None:
    async with place.store() as store:
        content = await content_of(write_file(tmp_path / "source", 1000), store)
        checksum = store.checksum_of(content) or "sha256-parts:ours"
        kind = checksum.partition(":")[0]
        ours = StoredObject(1000, checksum, content.blake3)
        assert store.matches(ours, content, checksum)
        assert store.matches(replace(ours, checksum="crc32:AAAA"), content, checksum)
        assert not store.matches(replace(ours, checksum=f"{kind}:other"), content, checksum)
        assert not store.matches(replace(ours, checksum="", blake3=""), content, checksum)
        assert not store.matches(replace(ours, size=999), content, checksum)
        with pytest.raises(Rejected, match="not what was sent"):
            store.verified("object", replace(ours, checksum=f"{kind}:other"), content, checksum)


async def test_an_object_that_is_there_is_not_sent_again(place: Place, tmp_path: Path) -> None:
    for size in (1000, LARGE):
        async with place.store() as store:
            content = await content_of(write_file(tmp_path / "source", size), store)
            await send(store, "object", content)
            if place.proxy:
                place.proxy.seen.clear()
            await send(store, "object", content)
        if place.proxy:
            assert {seen.method for seen in place.proxy.seen} <= {"HEAD", "GET"}


@pytest.mark.parametrize("size", [1000, LARGE])
async def test_an_object_is_lost_once_it_is_deleted_or_replaced(place: Place, tmp_path: Path, size: int) -> None:
    async with place.store() as store:
        content = await content_of(write_file(tmp_path / "source", size), store)
        stored = await transfer(store, "object", content, MemoryLedger(), parts_at_once=4, advance=nothing)
        assert stored.tag
        assert not await store.is_lost("object", content, stored.tag)
        assert not await store.is_lost("object", content, ""), "its tag is unknown, its content is the same"
        other = await content_of(write_file(tmp_path / "other", size, seed=2), store)
        await send(store, "object", other)
        assert await store.is_lost("object", content, stored.tag), "another of the same size"
        await send(store, "object", content)
        assert not await store.is_lost("object", content, stored.tag), "the same, written once more"
        place.delete("object")
        assert await store.is_lost("object", content, stored.tag)


async def test_every_reply_gives_the_same_tag_for_an_object(place: Place, tmp_path: Path) -> None:
    """A listing is recognised without a request for each object."""
    async with place.store() as store:
        for key, size in (("small", 1000), ("large", LARGE)):
            content = await content_of(write_file(tmp_path / key, size), store)
            stored = await transfer(store, key, content, MemoryLedger(), parts_at_once=4, advance=nothing)
            if (place.name, key) == ("s3-rclone", "large"):
                continue  # its reply to a completion has another ETag: looked up by itself
            seen = await store.stat(key)
            assert seen is not None
            assert seen.tag == stored.tag
            if place.name != "file":
                listed = await store.list_tags({key, *map(str, range(LOOKUPS_PER_PAGE))})
                assert listed is not None
                assert listed[key] == stored.tag


@pytest.mark.parametrize("place", ["s3-rclone", "s3-moto", "gs"], indirect=True)
async def test_an_object_that_may_not_be_looked_at_is_not_lost(place: Place, tmp_path: Path) -> None:
    assert place.proxy is not None
    place.proxy.plan = lambda seen: Fault.DENIED
    async with place.store() as store:
        content = await content_of(write_file(tmp_path / "source", 10), store)
        assert not await store.is_lost("object", content, "tag")


async def test_another_object_of_the_same_size_is_replaced(place: Place, tmp_path: Path) -> None:
    for size in (1000, LARGE):
        async with place.store() as store:
            await send(store, "object", await content_of(write_file(tmp_path / "one", size, seed=1), store))
            content = await content_of(write_file(tmp_path / "two", size, seed=2), store)
            assert not store.matches(await store.stat("object"), content)
            await send(store, "object", content)
        assert place.read("object") == (tmp_path / "two").read_bytes()


class Died(BaseException):
    """Not an error of ours: no code may catch it."""


class Dying(MemoryLedger):
    """Dies, as a process does, after so many parts were acknowledged."""

    def __init__(self, parts: int) -> None:
        super().__init__()
        self.left = parts

    async def record_part(self, part: Part) -> None:
        if not self.left:
            raise Died
        self.left -= 1
        await super().record_part(part)


async def test_a_resumed_upload_sends_only_what_is_missing(place: Place, tmp_path: Path) -> None:
    path = write_file(tmp_path / "source", 5 * PART_BYTES)
    ledger = Dying(2)
    async with place.store() as store:
        content = await content_of(path, store)
        with pytest.raises(Died):
            await transfer(store, "object", content, ledger, parts_at_once=1, advance=nothing)
    ledger.left = 99
    if place.proxy:
        place.proxy.seen.clear()
    progress: dict[int, int] = {}
    async with place.store() as store:
        await transfer(store, "object", content, ledger, parts_at_once=1, advance=progress.__setitem__)
    if place.proxy:
        sent = [seen for seen in place.proxy.seen if seen.body_bytes >= PART_BYTES]
        assert len(sent) <= 3, "of five parts, two were acknowledged and one was under way"
    assert progress == dict.fromkeys(range(1, 6), PART_BYTES)
    assert place.read("object") == bytes_of(path)


@pytest.mark.parametrize("there", ["object", "twin"])
async def test_an_upload_that_is_not_needed_any_more_is_aborted(s3_place: Place, tmp_path: Path, there: str) -> None:
    """Another one stored the object, or one to copy it from. A store keeps for ever what is not aborted."""
    ledger = Dying(1)
    async with s3_place.store() as store:
        content = await content_of(write_file(tmp_path / "source", LARGE), store)
        with pytest.raises(Died):
            await transfer(store, "object", content, ledger, parts_at_once=1, advance=nothing)
        upload = await ledger.upload()
        assert upload is not None
        assert await store.parts(upload)
        await send(store, there, content)
        await transfer(store, "object", content, ledger, parts_at_once=1, advance=nothing, duplicate="twin")
        assert await store.parts(upload) is None
        assert store.matches(await store.stat("object"), content)


async def test_parts_may_come_again_and_in_any_order(place: Place, tmp_path: Path) -> None:
    path = write_file(tmp_path / "source", LARGE)
    async with place.store() as store:
        content = await content_of(path, store)
        upload = Upload(**loads(dumps(asdict(await store.begin("object", content)))))
        parts: Mapping[int, Part] = {}
        for number in [3, 1, 1, 2] if store.parallel_parts else [1, 1, 2, 3]:
            if len(parts) == 2:
                listed = await store.parts(upload) or {}
                assert {n: listed[n].size for n in parts} == {n: content.part(n).length for n in parts}
            part = await store.put_part(upload, number, content.part(number), lambda sent: None)
            parts = {**parts, number: Part(**loads(dumps(part, default=asdict)))}
        assert store.matches(await store.complete(upload, content, parts), content)
    assert place.read("object") == bytes_of(path)


async def test_completing_twice_is_completing_once(place: Place, tmp_path: Path) -> None:
    path = write_file(tmp_path / "source", LARGE)
    async with place.store() as store:
        content = await content_of(path, store)
        upload = await store.begin("object", content)
        parts = {n: await store.put_part(upload, n, content.part(n), lambda sent: None) for n in (1, 2, 3)}
        assert store.matches(await store.complete(upload, content, parts), content)
        assert store.matches(await store.complete(upload, content, parts), content)


async def test_an_upload_that_vanished_is_detected_and_restarted(place: Place, tmp_path: Path) -> None:
    path = write_file(tmp_path / "source", LARGE)
    ledger = MemoryLedger()
    async with place.store() as store:
        content = await content_of(path, store)
        upload = await store.begin("object", content)
        await ledger.record_upload(upload)
        await store.abort(upload)
        await store.abort(upload)
        assert await store.parts(upload) is None
        with pytest.raises(UploadVanished):
            await store.put_part(upload, 1, content.part(1), lambda sent: None)
        await send(store, "object", content, ledger)
    assert place.read("object") == bytes_of(path)


async def test_an_upload_without_a_part_is_never_completed(place: Place, tmp_path: Path) -> None:
    async with place.store() as store:
        content = await content_of(write_file(tmp_path / "source", LARGE), store)
        upload = await store.begin("object", content)
        parts = {n: await store.put_part(upload, n, content.part(n), lambda sent: None) for n in (1, 2)}
        parts[3] = replace(parts[2], number=3)
        with pytest.raises(UploadVanished):
            await store.complete(upload, content, parts)
        assert await store.stat("object") is None


async def test_the_repr_of_an_upload_does_not_show_its_id(place: Place, tmp_path: Path) -> None:
    async with place.store() as store:
        content = await content_of(write_file(tmp_path / "source", LARGE), store)
        upload = await store.begin("object", content)
        assert upload.id not in repr(upload)
        await store.abort(upload)


async def test_a_copy_has_the_same_content_or_is_not_made(place: Place, tmp_path: Path) -> None:
    path = write_file(tmp_path / "source", 1000)
    async with place.store() as store:
        content = await digest_file(path, md5=store.needs_md5)
        await store.put("a/first", content, lambda sent: None)
        copied = await store.copy("a/first", "the second ü", content)
        other = await digest_file(write_file(tmp_path / "other", 1000, seed=2), md5=store.needs_md5)
        assert await store.copy("a/first", "third", other) is None, "what is there is something else"
        assert await store.copy("missing", "fourth", content) is None
    assert (copied is None) == (place.name == "file")
    if copied is not None:
        assert store.matches(copied, content)
        assert place.read("the second ü") == bytes_of(path)


@pytest.mark.parametrize("size", [1000, LARGE])
async def test_content_that_cannot_be_copied_is_sent(place: Place, tmp_path: Path, size: int) -> None:
    path = write_file(tmp_path / "source", size)
    async with place.store() as store:
        content = await digest_file(path, md5=store.needs_md5)
        await transfer(store, "key", content, MemoryLedger(), parts_at_once=2, advance=nothing, duplicate="missing")
    assert place.read("key") == bytes_of(path)
