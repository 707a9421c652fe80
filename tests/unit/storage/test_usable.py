"""Which parts of an upload that was begun before need not be sent again."""

from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path

import pytest
from msgspec.structs import replace

from roar_publisher.storage.digest import digest_file
from roar_publisher.storage.parts import MIB
from roar_publisher.storage.source import Content
from roar_publisher.storage.store import Part
from roar_publisher.storage.transfer import usable_parts
from tests.support.storage.memory import write_file

pytestmark = pytest.mark.anyio
PART_BYTES = 8 * MIB
SIZE = PART_BYTES + 1000
ETAG = '"an etag"'
OTHER = sha256(b"other").hexdigest()


@pytest.fixture
async def content(tmp_path: Path) -> Content:
    return await digest_file(write_file(tmp_path / "source", SIZE))


@pytest.fixture
def known(content: Content) -> Part:
    """The first part, as a store that keeps hashes took it."""
    data = Path(content.path).read_bytes()[:PART_BYTES]
    return Part(1, PART_BYTES, ETAG, sha256(data).hexdigest())


async def numbers(content: Content, listed: Part, remembered: Mapping[int, Part]) -> set[int]:
    return set(await usable_parts(content, {1: listed}, remembered))


async def test_a_recorded_part_is_recognised_by_its_tag(content: Content, known: Part) -> None:
    for listed in (known, replace(known, sha256="")):
        assert await usable_parts(content, {1: listed}, {1: known}) == {1: known}
    assert not await numbers(content, replace(known, tag='"another"', sha256=""), {1: known})


@pytest.mark.parametrize("etag", [ETAG.strip('"'), f"W/{ETAG}"])
async def test_an_etag_is_the_same_with_and_without_its_quotes(content: Content, known: Part, etag: str) -> None:
    """Listings of some stores omit them, and a proxy marks those of replies as weak."""
    listed = replace(known, sha256="")
    assert await usable_parts(content, {1: replace(listed, tag=etag)}, {1: known}) == {1: known}
    assert await numbers(content, listed, {1: replace(known, tag=etag)}) == {1}


async def test_an_unrecorded_part_is_recognised_by_its_listed_hash(content: Content, known: Part) -> None:
    assert await usable_parts(content, {1: known}, {}) == {1: known}
    assert not await numbers(content, replace(known, sha256=""), {}), "its content is unknown"
    assert not await numbers(content, replace(known, sha256=OTHER), {})


async def test_a_listed_hash_takes_precedence_over_the_record(content: Content, known: Part) -> None:
    assert not await numbers(content, replace(known, sha256=OTHER), {1: known})


async def test_a_tag_that_is_the_hash_needs_no_record(content: Content) -> None:
    listed = Part(1, PART_BYTES, content.part_blake3s[0], "")
    assert await numbers(content, listed, {}) == {1}
    assert not await numbers(content, replace(listed, tag=content.part_blake3s[1]), {})


async def test_a_part_of_another_size_is_not_ours(content: Content, known: Part) -> None:
    assert not await numbers(content, replace(known, size=PART_BYTES - 1), {1: known})
    assert await usable_parts(content, {3: known}, {3: known}) == {}
