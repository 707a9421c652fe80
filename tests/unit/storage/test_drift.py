"""A file that changes, at any offset and any time since its digest, never becomes an object that is taken for it."""

import os
import random
from collections.abc import Callable
from pathlib import Path

import pytest
from msgspec.structs import replace

from roar_publisher.state.errors import LocalProblem
from roar_publisher.storage.digest import confirm, digest_file
from roar_publisher.storage.source import Content, FileChanged
from roar_publisher.storage.store import Part
from roar_publisher.storage.transfer import transfer
from tests.support.sampling import sample
from tests.support.storage.memory import MemoryLedger, nothing, write_file
from tests.unit.storage.conftest import PART_BYTES, Place

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("small_parts")]
LARGE = 5 * PART_BYTES // 2
PARTS = 3
SEEDS = sample("changes of files", range(3), 1)
Mutation = Callable[[Path, random.Random], None]


def append(path: Path, rng: random.Random) -> None:
    with path.open("ab") as file:
        file.write(rng.randbytes(rng.randint(1, 100)))


def truncate(path: Path, rng: random.Random) -> None:
    os.truncate(path, rng.randrange(path.stat().st_size))


def rewrite(path: Path, rng: random.Random) -> None:
    """One byte in place, and the modification time as it was."""
    before = path.stat()
    with path.open("r+b") as file:
        offset = rng.randrange(before.st_size)
        file.seek(offset)
        old = file.read(1)
        file.seek(offset)
        file.write(bytes([old[0] ^ rng.randint(1, 255)]))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def substitute(path: Path, rng: random.Random) -> None:
    """Another file of the same size and time in its place."""
    before = path.stat()
    other = path.with_name("other")
    other.write_bytes(rng.randbytes(before.st_size))
    os.utime(other, ns=(before.st_atime_ns, before.st_mtime_ns))
    other.replace(path)


def rename(path: Path, rng: random.Random) -> None:
    path.rename(path.with_name("renamed"))


class MutatingLedger(MemoryLedger):
    """Changes the file once so many parts are acknowledged."""

    def __init__(self, after: int, change: Callable[[], None]) -> None:
        super().__init__()
        self._left = after
        self._change = change

    async def record_part(self, part: Part) -> None:
        await super().record_part(part)
        self._left -= 1
        if self._left == 0:
            self._change()


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("mutate", [append, truncate, rewrite, substitute, rename], ids=lambda m: m.__name__)
async def test_a_change_is_caught_whenever_it_comes(place: Place, tmp_path: Path, mutate: Mutation, seed: int) -> None:
    rng = random.Random(f"{seed} {mutate.__name__}")  # the test's id names both
    path = Path(write_file(tmp_path / "source", LARGE))
    after = rng.randint(0, PARTS)
    ledger = MutatingLedger(after, lambda: mutate(path, rng))
    async with place.store() as store:
        content = await digest_file(str(path), md5=store.needs_md5)
        if not after:
            mutate(path, rng)
        with pytest.raises(LocalProblem, match="source") as caught:
            await transfer(store, "object", content, ledger, parts_at_once=1, advance=nothing)
        assert caught.value.reason == ("unreadable" if mutate is rename else "file changed")
        # GCS makes the object visible with its last part; what it is then, is what the digest says.
        stored = await store.stat("object")
        assert stored is None or (store.needs_md5 and store.matches(stored, content))


@pytest.mark.parametrize("mutate", [append, truncate, rewrite, substitute], ids=lambda m: m.__name__)
async def test_a_change_within_a_small_file_is_caught(place: Place, tmp_path: Path, mutate: Mutation) -> None:
    path = Path(write_file(tmp_path / "source", 50_000))
    async with place.store() as store:
        content = await digest_file(str(path), md5=store.needs_md5)
        mutate(path, random.Random(1))
        with pytest.raises(FileChanged):
            await transfer(store, "object", content, MemoryLedger(), parts_at_once=1, advance=nothing)
        assert await store.stat("object") is None


async def test_an_empty_file_that_fills_is_caught(place: Place, tmp_path: Path) -> None:
    path = Path(write_file(tmp_path / "source", 0))
    async with place.store() as store:
        content = await digest_file(str(path), md5=store.needs_md5)
        append(path, random.Random(1))
        with pytest.raises(FileChanged):
            await transfer(store, "object", content, MemoryLedger(), parts_at_once=1, advance=nothing)
        # A request without a body is sent before its body is looked at; what it made is what the digest says.
        stored = await store.stat("object")
        assert stored is None or store.matches(stored, content)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("mutate", [truncate, rewrite, substitute], ids=lambda m: m.__name__)
async def test_a_change_while_a_part_is_being_sent_is_caught(
    place: Place, tmp_path: Path, mutate: Mutation, seed: int
) -> None:
    rng = random.Random(f"{seed} {mutate.__name__} within")
    path = Path(write_file(tmp_path / "source", 10 * PART_BYTES))
    left = rng.randint(1, 8)  # of the fewest reports: one of each part that is sent from memory

    def advance(part: int, sent: int) -> None:
        nonlocal left
        left -= 1
        if left == 0:
            mutate(path, rng)

    async with place.store() as store:
        content = await digest_file(str(path), md5=store.needs_md5)
        with pytest.raises(FileChanged):
            await transfer(store, "object", content, MemoryLedger(), parts_at_once=2, advance=advance)


async def test_an_upload_continues_after_its_file_was_restored(place: Place, tmp_path: Path) -> None:
    path = Path(write_file(tmp_path / "source", LARGE))
    ledger = MutatingLedger(1, lambda: rename(path, random.Random(1)))
    async with place.store() as store:
        content = await digest_file(str(path), md5=store.needs_md5)
        with pytest.raises(LocalProblem):
            await transfer(store, "object", content, ledger, parts_at_once=1, advance=nothing)
        os.rename(tmp_path / "renamed", path)
        await transfer(store, "object", content, ledger, parts_at_once=1, advance=nothing)
        assert place.read("object") == path.read_bytes()  # noqa: ASYNC240 - nothing else runs


async def test_a_harmless_touch_only_costs_a_second_read(tmp_path: Path) -> None:
    path = write_file(tmp_path / "source", 50_000)
    content = await digest_file(path)
    os.chmod(path, 0o600)
    await confirm(content)
    await confirm(replace(content, fence=replace(content.fence, ctime_ns=0)))
    with pytest.raises(FileChanged):
        await confirm(replace(content, blake3="00" * 32, fence=replace(content.fence, ctime_ns=0)))


async def test_a_file_that_grows_while_it_is_digested_is_caught(tmp_path: Path) -> None:
    path = Path(write_file(tmp_path / "source", LARGE))
    with pytest.raises(FileChanged):
        await digest_file(str(path), lambda read: append(path, random.Random(1)))


async def test_a_file_that_is_truncated_while_it_is_digested_is_caught(tmp_path: Path) -> None:
    path = Path(write_file(tmp_path / "source", LARGE))
    with pytest.raises(FileChanged, match="has changed since it was read"):
        await digest_file(str(path), lambda read: os.truncate(path, read))


async def test_nothing_of_a_changed_part_stays_in_a_store(s3_place: Place, tmp_path: Path) -> None:
    path = Path(write_file(tmp_path / "source", LARGE))
    async with s3_place.store() as store:
        content: Content = await digest_file(str(path))
        upload = await store.begin("object", content)
        rewrite_at = random.Random(1)
        with path.open("r+b") as file:  # noqa: ASYNC230 - nothing else runs
            file.seek(PART_BYTES + rewrite_at.randrange(PART_BYTES))
            file.write(b"\0\0\0\0")
        os.utime(path, ns=(content.fence.mtime_ns, content.fence.mtime_ns))
        await store.put_part(upload, 1, content.part(1), lambda sent: None)
        with pytest.raises(FileChanged):
            await store.put_part(upload, 2, content.part(2), lambda sent: None)
        assert list(await store.parts(upload) or {}) == [1]
        await store.abort(upload)
