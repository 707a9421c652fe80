"""The hashes of files of every kind, and files that have none."""

import hashlib
import os
import socket
import subprocess
import sys
from json import dumps
from pathlib import Path

import anyio
import pytest
from anyio import from_thread
from blake3 import blake3
from msgspec.structs import asdict

from roar_publisher.engine.staging.uploader import content_of
from roar_publisher.state.errors import LocalProblem
from roar_publisher.state.objects import ObjectRow
from roar_publisher.storage.checksums import checksums_of
from roar_publisher.storage.digest import digest_file
from roar_publisher.storage.parts import MIB
from roar_publisher.storage.source import Content
from tests.support.storage.memory import write_file

pytestmark = pytest.mark.anyio


def check(content: Content, data: bytes) -> None:
    assert content.blake3 == blake3(data).hexdigest()
    step = content.part_bytes
    pieces = [data[start : start + step] for start in range(0, max(len(data), 1), step)]
    assert content.part_blake3s == tuple(blake3(piece).hexdigest() for piece in pieces)
    assert content.size == len(data)


@pytest.mark.parametrize("size", [0, 1, 4 * MIB, 4 * MIB + 1, 8 * MIB - 1, 8 * MIB, 8 * MIB + 1, 35 * MIB + 7])
async def test_the_hashes_are_those_of_the_bytes(tmp_path: Path, size: int) -> None:
    path = write_file(tmp_path / "file", size)
    read: list[int] = []
    content = await digest_file(path, read.append, md5=True)
    data = Path(path).read_bytes()  # noqa: ASYNC240 - nothing else runs
    check(content, data)
    assert content.md5 == hashlib.md5(data).hexdigest()
    assert sum(read) == size
    for number in range(1, len(content.part_blake3s) + 1):
        piece = data[(number - 1) * 8 * MIB : number * 8 * MIB]
        both = await checksums_of(content.part(number), md5=True)
        assert (both.sha256, both.md5) == (hashlib.sha256(piece).digest(), hashlib.md5(piece).digest())
        one = await checksums_of(content.part(number), md5=False)
        assert (one.sha256, one.md5) == (both.sha256, b"")


@pytest.mark.parametrize("segment", [3 * MIB, 5 * MIB, 16 * MIB])
async def test_parts_that_are_not_whole_segments_are_hashed_completely(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, segment: int
) -> None:
    monkeypatch.setattr("roar_publisher.storage.digest.SEGMENT_BYTES", segment)
    path = write_file(tmp_path / "file", 18 * MIB + 7)
    check(await digest_file(path), Path(path).read_bytes())  # noqa: ASYNC240 - nothing else runs


async def test_a_sparse_file_is_hashed_as_zeros(tmp_path: Path) -> None:
    check(await digest_file(sparse_file(tmp_path / "sparse", 20 * MIB)), bytes(20 * MIB))


def sparse_file(path: Path, size: int) -> str:
    with path.open("wb") as file:
        file.truncate(size)
    return str(path)


async def test_a_cancelled_digest_leaves_the_rest_unread(tmp_path: Path) -> None:
    path = sparse_file(tmp_path / "large", 4096 * MIB)
    read: list[int] = []
    with anyio.CancelScope() as scope:

        def cancel(bytes_read: int) -> None:
            read.append(bytes_read)
            from_thread.run_sync(scope.cancel)

        await digest_file(path, cancel)
    assert scope.cancelled_caught
    assert len(read) == 1


async def test_cancelled_checksums_leave_the_rest_unread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content = await digest_file(sparse_file(tmp_path / "large", 64 * MIB))
    pread, reads = os.pread, 0
    with anyio.CancelScope() as scope:

        def cancel(descriptor: int, length: int, offset: int) -> bytes:
            nonlocal reads
            reads += 1
            from_thread.run_sync(scope.cancel)
            return pread(descriptor, length, offset)

        monkeypatch.setattr(os, "pread", cancel)
        await checksums_of(content.part(1), md5=True)
    assert scope.cancelled_caught
    assert reads == 1


async def test_a_link_is_followed(tmp_path: Path) -> None:
    target = write_file(tmp_path / "target", 1000)
    link = tmp_path / "li\nnk"
    link.symlink_to(target)
    assert (await digest_file(str(link))).blake3 == (await digest_file(target)).blake3


async def test_any_name_is_read_and_survives_the_journal(tmp_path: Path) -> None:
    name = os.fsdecode(b"bad \xff\xfe name")
    content = await digest_file(write_file(tmp_path / name, 10))
    assert content_of(ObjectRow(1, "key", "url", content.size, dumps(content, default=asdict))) == content


async def test_an_unreadable_file_is_reported(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    (tmp_path / "dangling").symlink_to(tmp_path / "nothing")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / "socket"))
        for name in ("pipe", "loop", "dangling", "socket", "missing", "", "nul\0"):
            with pytest.raises(LocalProblem) as caught:
                await digest_file(str(tmp_path / name))
            assert "\0" not in caught.value.what


async def test_the_remedy_for_a_missing_file_is_to_restore_it(tmp_path: Path) -> None:
    with pytest.raises(LocalProblem, match="cannot be read") as caught:
        await digest_file(str(tmp_path / "moved" / "model.bin"))
    assert "put it back" in caught.value.next_step
    assert "a link from the old path to the new one" in caught.value.next_step


async def test_a_file_without_permission_is_reported(tmp_path: Path) -> None:
    if os.geteuid() == 0:
        path = Path("/proc/self/mem")  # it cannot be read from its start, by any user
    else:
        path = tmp_path / "secret"
        path.touch(mode=0)
    with pytest.raises(LocalProblem, match="cannot be read"):
        await digest_file(str(path))


FORKED = """
import os, signal, sys
from pathlib import Path
import anyio
from roar_publisher.lineage.content import file_digest
from roar_publisher.storage.digest import digest_file

def put(path):
    return anyio.run(digest_file, path).blake3

def publish(path):
    return file_digest(Path(path))

first, second, path = sys.argv[1:]
expected = globals()[first](path)
child = os.fork()
if child == 0:
    signal.alarm(60)
    os._exit(globals()[second](path) != expected)
_, status = os.waitpid(child, 0)
sys.exit(os.waitstatus_to_exitcode(status))
"""
"""Hashes a file as its first argument does, and again, as its second one does, in a fork."""


@pytest.mark.parametrize("second", ["put", "publish"])
@pytest.mark.parametrize("first", ["put", "publish"])
def test_a_fork_of_a_process_that_has_hashed_can_hash(tmp_path: Path, first: str, second: str) -> None:
    path = write_file(tmp_path / "file", 9 * MIB)
    done = subprocess.run([sys.executable, "-c", FORKED, first, second, path], check=False, timeout=120)
    assert done.returncode == 0
