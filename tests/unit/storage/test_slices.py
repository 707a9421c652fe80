"""Reading a slice to send it: exactly its bytes, and never its last ones if it is not what it was."""

import random
from collections.abc import Callable
from contextlib import aclosing
from pathlib import Path

import pytest
from msgspec.structs import replace

from roar_publisher.state.errors import LocalProblem
from roar_publisher.storage.digest import digest_file
from roar_publisher.storage.parts import MIB
from roar_publisher.storage.slices import SEND_BYTES, chunks
from roar_publisher.storage.source import FileChanged, Slice, file_stamp
from tests.support.storage.memory import write_file

pytestmark = pytest.mark.anyio
SIZE = 11 * MIB + 12_345
FIRST, SECOND = 8 * MIB, 3 * MIB + 12_345
"""Bytes of its parts."""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return Path(write_file(tmp_path / "source", SIZE))


class Reader:
    """Reads a slice as a request does; `meanwhile` happens after its first chunk."""

    def __init__(self, slice_: Slice, skip: int = 0, meanwhile: Callable[[], object] = lambda: None) -> None:
        self._slice, self._skip, self._meanwhile = slice_, skip, meanwhile
        self.got = b""
        self.sent: list[int] = []

    async def read(self) -> None:
        async with aclosing(chunks(self._slice, self.sent.append, skip=self._skip)) as pieces:
            async for piece in pieces:
                if not self.got:
                    self._meanwhile()
                self.got += piece


@pytest.mark.parametrize("skip", [0, 1, SEND_BYTES - 1, SEND_BYTES, 5 * SEND_BYTES + 7, MIB, SECOND - 1, SECOND])
async def test_a_slice_is_its_bytes_from_anywhere_on(path: Path, skip: int) -> None:
    content = await digest_file(str(path))
    reader = Reader(content.part(2), skip)
    await reader.read()
    assert reader.got == path.read_bytes()[FIRST + skip :]  # noqa: ASYNC240 - nothing else runs
    assert reader.sent == sorted(set(reader.sent))
    assert reader.sent[-1:] == ([SECOND] if skip < SECOND else [])


@pytest.mark.parametrize("skip", [0, MIB])
async def test_a_changed_byte_anywhere_withholds_the_last_chunk(path: Path, skip: int) -> None:
    content = await digest_file(str(path))
    with path.open("r+b") as file:
        file.seek(FIRST + random.Random(skip).randrange(SECOND - 4))
        file.write(b"\0\0\0\0")
    reader = Reader(replace(content.part(2), fence=file_stamp(str(path))), skip)
    with pytest.raises(FileChanged):
        await reader.read()
    assert len(reader.got) < SECOND - skip


@pytest.mark.parametrize("replaced", [True, False])
async def test_a_path_that_points_elsewhere_meanwhile_is_detected(path: Path, *, replaced: bool) -> None:
    def elsewhere() -> None:
        path.rename(path.with_name("aside"))
        if replaced:
            write_file(path, SIZE, seed=2)

    reader = Reader((await digest_file(str(path))).part(2), meanwhile=elsewhere)
    with pytest.raises(FileChanged if replaced else LocalProblem):
        await reader.read()
    assert len(reader.got) < SECOND
