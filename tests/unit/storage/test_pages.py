"""Listings of more than one page, from real servers."""

from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

import anyio
import pytest
from blake3 import blake3
from msgspec.structs import replace

from roar_publisher.net.exchange import Reply
from roar_publisher.storage.digest import digest_file
from roar_publisher.storage.s3_requests import NOTHING, S3Requests
from roar_publisher.storage.source import Content
from roar_publisher.storage.store import LOOKUPS_PER_PAGE
from tests.support.sampling import EXHAUSTIVE
from tests.support.storage.memory import write_file
from tests.unit.storage.conftest import Place

pytestmark = pytest.mark.anyio
PAGE = 1000 if EXHAUSTIVE else 20
"""How many entries a server puts into a page: a thousand, which it is asked to lower."""
MORE_THAN_A_PAGE = PAGE + 3
QUESTIONS = 2 * LOOKUPS_PER_PAGE
"""Worth two pages."""
MANY_PAGES = 102
AT_ONCE = 16


@pytest.fixture(autouse=True)
def _pages(monkeypatch: pytest.MonkeyPatch) -> None:
    ask = S3Requests.ask

    async def in_pages(
        requests: S3Requests, method: str, name: str = "", query: Mapping[str, str] = NOTHING, **more: Any
    ) -> Reply:
        page = {"list-type": "max-keys", "uploadId": "max-parts"}
        sizes = {page[listed]: str(PAGE) for listed in page if listed in query} if method == "GET" else {}
        return await ask(requests, method, name, sizes | dict(query), **more)

    monkeypatch.setattr(S3Requests, "ask", in_pages)


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """A page has one entry."""
    monkeypatch.setattr("tests.unit.storage.test_pages.PAGE", 1)


async def for_each(work: Callable[[int], Awaitable[object]], count: int = MORE_THAN_A_PAGE) -> None:
    """`work` for every number from 1, several at once."""
    left = iter(range(1, count + 1))

    async def some() -> None:
        for number in left:
            await work(number)

    async with anyio.create_task_group() as tasks:
        for _ in range(AT_ONCE):
            tasks.start_soon(some)


async def test_more_parts_than_a_page_holds_are_all_listed(s3_place: Place, tmp_path: Path) -> None:
    path = write_file(tmp_path / "source", MORE_THAN_A_PAGE)
    whole = await digest_file(path)
    data = Path(path).read_bytes()  # noqa: ASYNC240 - nothing else runs
    pieces = [bytes([byte]) for byte in data]
    content: Content = replace(
        whole,
        part_bytes=1,
        part_blake3s=tuple(blake3(piece).hexdigest() for piece in pieces),
    )
    async with s3_place.store() as store:
        upload = await store.begin("object", content)
        await for_each(lambda n: store.put_part(upload, n, content.part(n), lambda sent: None))
        listed = await store.parts(upload)
        await store.abort(upload)
    assert listed is not None
    assert sorted(listed) == list(range(1, MORE_THAN_A_PAGE + 1))
    assert {part.size for part in listed.values()} == {1}


async def test_a_listing_has_every_wanted_key_and_no_other(place: Place, tmp_path: Path) -> None:
    content = await digest_file(write_file(tmp_path / "source", 10), md5=True)
    async with place.store() as store:
        count = 3 if place.name == "gs" else MORE_THAN_A_PAGE  # the emulator is slow, and has one page
        wanted = {f"a b/{n}é+%.txt" for n in range(max(count, QUESTIONS))}
        first = await store.list_tags(wanted)
        if place.name == "file":
            assert first is None
            return
        assert first == {}
        await for_each(lambda n: store.put(f"a b/{n}é+%.txt", content, lambda sent: None), count)
        await store.put("a b/1 unwanted", content, lambda sent: None)
        found = await store.list_tags(wanted)
        begun = await store.list_objects("a b/1", wanted)
    assert begun is not None
    assert {(key.startswith("a b/1"), stored.size) for key, stored in begun.items()} == {(True, 10)}
    assert set(begun) <= wanted
    assert found is not None
    assert set(found) == wanted & {f"a b/{n}é+%.txt" for n in range(1, count + 1)}


async def test_a_listing_takes_fewer_requests_than_it_saves(s3_place: Place, tmp_path: Path) -> None:
    content = await digest_file(write_file(tmp_path / "source", 10))
    assert s3_place.proxy is not None
    async with s3_place.store() as store:
        await for_each(lambda n: store.put(f"{n}", content, lambda sent: None))
        for lookups in (0, LOOKUPS_PER_PAGE - 1, LOOKUPS_PER_PAGE, 2 * LOOKUPS_PER_PAGE - 1):
            s3_place.proxy.seen.clear()
            assert await store.list_tags([str(number) for number in range(lookups)]) is None
            assert len(s3_place.proxy.seen) == lookups // LOOKUPS_PER_PAGE


async def test_a_listing_is_as_long_as_what_it_saves(s3_place: Place, tmp_path: Path, small: None) -> None:
    """A put of a million files may read thousands of pages, instead of asking for each file."""
    content = await digest_file(write_file(tmp_path / "source", 10))
    async with s3_place.store() as store:
        await for_each(lambda n: store.put(f"{n}", content, lambda sent: None), MANY_PAGES)
        found = await store.list_tags([str(n) for n in range(MANY_PAGES * LOOKUPS_PER_PAGE)])
    assert found is not None
    assert len(found) == MANY_PAGES
