"""Parts that stay in memory from their checksum until they are sent: read once, sent once, never if they changed."""

import hashlib
import os
from contextlib import aclosing
from pathlib import Path

import anyio
import pytest

from roar_publisher.net.budget import HeldMemory, UploadBudget
from roar_publisher.storage.checksums import LARGEST_PIECE_BYTES, read_to_send
from roar_publisher.storage.digest import digest_file
from roar_publisher.storage.parts import MIB
from roar_publisher.storage.slices import SEND_BYTES, HeldSlice, OnSent, chunks
from roar_publisher.storage.source import FileChanged, Slice
from roar_publisher.storage.transfer import transfer
from tests.support.storage.memory import MemoryLedger, nothing, write_file
from tests.unit.storage.conftest import Place

pytestmark = pytest.mark.anyio
SIZE = 11 * MIB + 12_345
SECOND = SIZE - 8 * MIB


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return Path(write_file(tmp_path / "source", SIZE))


def budget(held_bytes: int) -> UploadBudget:
    return UploadBudget(anyio.CapacityLimiter(1), held=HeldMemory(held_bytes))


def ignore(so_far: int) -> None:
    """Ignore progress."""


async def sent_of(slice_: Slice, held: HeldSlice | None, *, skip: int = 0, sent: OnSent = ignore) -> list[bytes]:
    async with aclosing(chunks(slice_, sent, skip=skip, held=held)) as pieces:
        return [piece async for piece in pieces]


@pytest.mark.parametrize("md5", [True, False])
async def test_what_is_held_is_the_slice_with_its_checksums(path: Path, *, md5: bool) -> None:
    data = path.read_bytes()  # noqa: ASYNC240 - nothing else runs
    content = await digest_file(str(path))
    for number, expected in ((1, data[: 8 * MIB]), (2, data[8 * MIB :])):
        async with read_to_send(content.part(number), budget(8 * MIB), md5=md5) as (taken, held):
            assert held is not None
            assert b"".join(held.pieces) == expected
            assert len(held.pieces[0]) == SEND_BYTES
            assert max(map(len, held.pieces)) <= LARGEST_PIECE_BYTES
            assert taken.sha256 == hashlib.sha256(expected).digest()
            assert taken.md5 == (hashlib.md5(expected).digest() if md5 else b"")
            assert b"".join(await sent_of(content.part(number), held)) == expected
            assert held.pieces == []
            assert b"".join(await sent_of(content.part(number), held)) == expected  # another attempt, from the file


async def test_what_is_skipped_is_not_sent_from_memory(path: Path) -> None:
    slice_ = (await digest_file(str(path))).part(2)
    async with read_to_send(slice_, budget(SIZE), md5=False) as (_, held):
        sent = b"".join(await sent_of(slice_, held, skip=MIB))
        assert sent == path.read_bytes()[8 * MIB + MIB :]  # noqa: ASYNC240 - nothing else runs


async def test_memory_bounds_what_is_held_and_is_given_back(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("roar_publisher.net.budget.HELD_SECONDS", 0.0)
    slice_ = (await digest_file(str(path))).part(2)
    most = budget(2 * SECOND - 1)
    for _ in range(3):
        async with (
            read_to_send(slice_, most, md5=False) as (one, held),
            read_to_send(slice_, most, md5=False) as (other, not_held),
        ):
            assert one == other
            assert held is not None
            assert not_held is None


async def test_memory_is_given_back_as_soon_as_a_part_is_sent(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("roar_publisher.net.budget.HELD_SECONDS", 0.0)
    slice_ = (await digest_file(str(path))).part(2)
    most = budget(SECOND)
    async with read_to_send(slice_, most, md5=False) as (_, held):
        await sent_of(slice_, held)  # its reply may take long
        assert await most.held.take(SECOND)
    assert not await most.held.take(1)


async def test_a_part_waits_for_memory(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("roar_publisher.net.budget.HELD_SECONDS", 3600.0)
    slice_ = (await digest_file(str(path))).part(2)
    most = budget(SECOND)
    was_held = []

    async def read() -> None:
        async with read_to_send(slice_, most, md5=False) as (_, held):
            was_held.append(held is not None)

    async with anyio.create_task_group() as tasks:
        for _ in range(5):
            tasks.start_soon(read)
    assert was_held == [True] * 5
    assert not await most.held.take(SECOND + 1)  # never: does not wait for it


async def test_a_part_that_changed_since_its_digest_is_not_held(path: Path) -> None:
    slice_ = (await digest_file(str(path))).part(2)
    most = budget(SECOND)
    status = path.stat()  # noqa: ASYNC240 - nothing else runs
    with path.open("r+b") as file:
        file.seek(SIZE - 1)
        file.write(bytes([path.read_bytes()[-1] ^ 1]))  # noqa: ASYNC240 - nothing else runs
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    with pytest.raises(FileChanged):
        async with read_to_send(slice_, most, md5=False):
            raise AssertionError("it was read")
    assert await most.held.take(SECOND)


async def test_a_truncated_part_is_a_changed_file(path: Path) -> None:
    slice_ = (await digest_file(str(path))).part(2)
    os.truncate(path, SIZE - 1)
    with pytest.raises(FileChanged):
        async with read_to_send(slice_, budget(SECOND), md5=False):
            raise AssertionError("it was read")


async def test_the_last_piece_is_withheld_if_the_file_changes_meanwhile(path: Path) -> None:
    slice_ = (await digest_file(str(path))).part(2)
    sent = 0

    def truncate(so_far: int) -> None:
        nonlocal sent
        sent = so_far
        os.truncate(path, SIZE - 1)

    async with read_to_send(slice_, budget(SECOND), md5=False) as (_, held):
        with pytest.raises(FileChanged):
            await sent_of(slice_, held, sent=truncate)
    assert 0 < sent < SECOND


async def test_a_slow_network_gets_small_pieces(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    slice_ = (await digest_file(str(path))).part(2)
    now = 0.0
    monkeypatch.setattr(anyio, "current_time", lambda: now)
    sizes = []
    async with read_to_send(slice_, budget(SECOND), md5=False) as (_, held):
        assert held is not None
        whole = [len(piece) for piece in held.pieces]
        async with aclosing(chunks(slice_, ignore, held=held)) as pieces:
            async for piece in pieces:
                sizes.append(len(piece))
                now += 1.0
    assert max(whole) > SEND_BYTES
    assert max(sizes) == SEND_BYTES
    assert sum(sizes) == SECOND


async def test_a_part_is_read_once(s3_place: Place, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read, pread = 0, os.pread

    def counted(descriptor: int, length: int, offset: int) -> bytes:
        nonlocal read
        data = pread(descriptor, length, offset)
        read += len(data)
        return data

    async with s3_place.store() as store:
        content = await digest_file(str(path))
        monkeypatch.setattr(os, "pread", counted)
        await transfer(store, "object", content, MemoryLedger(), parts_at_once=2, advance=nothing)
    assert read == SIZE
