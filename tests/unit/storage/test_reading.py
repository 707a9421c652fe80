"""Reading ranges back: the same of every store, and what a store must not get away with."""

import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from threading import Barrier

import httpcore2
import pytest
from anyio import to_thread
from msgspec.structs import replace

from roar_publisher.net.exchange import Reply
from roar_publisher.state.errors import LocalProblem, Rejected, UsageProblem
from roar_publisher.storage.addresses import parse_object
from roar_publisher.storage.destinations import open_readable
from roar_publisher.storage.digest import digest_file
from roar_publisher.storage.http import RECEIVED_BYTES
from roar_publisher.storage.ranges import ObjectChanged, range_in
from roar_publisher.storage.readable import ReadableStore, StoredObject
from roar_publisher.storage.transfer import transfer
from roar_publisher.tasks import for_each
from tests.support.net.servers import SETTINGS, Answer, Asked, Server, authority, serving
from tests.support.storage.memory import MemoryLedger, nothing
from tests.support.storage.proxy import Fault
from tests.unit.storage.conftest import Place

pytestmark = pytest.mark.anyio
CONTENT = b"0123456789"
KEY = "deep/naïve %20?#.bin"


async def stored_at(place: Place, path: Path, content: bytes = CONTENT) -> str:
    """Store a file, and return the address that the lineage records."""
    await to_thread.run_sync(path.write_bytes, content)
    async with place.store() as store:
        described = await digest_file(str(path), md5=store.needs_md5)
        await transfer(store, KEY, described, MemoryLedger(), parts_at_once=1, advance=nothing)
        return store.url(KEY)


async def test_ranges_are_read(place: Place, tmp_path: Path) -> None:
    address = parse_object(await stored_at(place, tmp_path / "source"))
    async with await open_readable(address.place, place.environ, patience=2.0) as store:
        found = await store.look(address.key)
        assert found is not None
        assert found.size == len(CONTENT)
        for offset, length in ((0, 10), (0, 1), (3, 4), (9, 1)):
            assert await store.read(address.key, offset, length, found) == CONTENT[offset : offset + length]
        assert await store.look("nothing") is None


class Received(httpcore2.AsyncMockStream):
    """A network stream that remembers how much was asked of it at once."""

    def __init__(self, buffer: list[bytes]) -> None:
        super().__init__(buffer)
        self.asked: list[int] = []

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ASYNC109  # the library's
        self.asked.append(max_bytes)
        return await super().read(max_bytes, timeout)


async def test_a_body_is_received_in_large_pieces() -> None:
    stream = Received([b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n", b"abc"])
    origin = httpcore2.Origin(b"http", b"localhost", 80)
    async with httpcore2.AsyncHTTP11Connection(origin, stream) as connection:
        reply = await connection.request("GET", "http://localhost/")
    assert reply.content == b"abc"
    assert set(stream.asked) == {RECEIVED_BYTES}


async def test_a_replaced_object_is_noticed_between_two_ranges(place: Place, tmp_path: Path) -> None:
    address = parse_object(await stored_at(place, tmp_path / "source"))
    async with await open_readable(address.place, place.environ, patience=2.0) as store:
        found = await store.look(address.key)
        assert found is not None
        await store.read(address.key, 0, 5, found)
        await stored_at(place, tmp_path / "other", b"abcdefghij")
        if place.name == "gs":  # the emulator serves any generation; Google answers 404 to one that is gone
            assert place.proxy is not None
            asked = [seen.path for seen in place.proxy.seen if "alt=media" in seen.path]
            assert asked
            assert all(path.endswith(f"generation={found.tag}") for path in asked)
        else:
            with pytest.raises(ObjectChanged):
                await store.read(address.key, 5, 5, found)
        place.delete(KEY)
        with pytest.raises(ObjectChanged):
            await store.read(address.key, 5, 5, found)


async def test_an_object_that_may_not_be_read_is_not_a_missing_one(s3_place: Place, tmp_path: Path) -> None:
    address = parse_object(await stored_at(s3_place, tmp_path / "source"))
    assert s3_place.proxy is not None
    s3_place.proxy.plan = lambda seen: Fault.DENIED
    async with await open_readable(address.place, s3_place.environ, patience=2.0) as store:
        with pytest.raises(Rejected, match="may not be read"):
            await store.look(address.key)


async def test_only_regular_files_are_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    async with await open_readable(str(tmp_path)) as store:
        for name in ("pipe", ".roar"):
            (tmp_path / ".roar").mkdir(exist_ok=True)
            with pytest.raises(Rejected):
                await store.look(name)
        (tmp_path / "link").symlink_to("link")
        with pytest.raises(LocalProblem):
            await store.look("link")


@pytest.mark.parametrize(
    ("status", "content_range", "body"),
    [
        (206, "bytes 0-3/10", b"abcd"),
        (206, "bytes 2-5/11", b"abcd"),
        (206, "bytes 2-5/*", b"abcd"),
        (206, "", b"abcd"),
        (206, f"bytes 2-5/{'9' * 5000}", b"abcd"),
        (206, "bytes 2-5/10", b"abc"),
        (206, "bytes 2-5/10", b"abcde"),
        (200, "", b"0123456789"),
        (200, "bytes 0-3/10", b"abcd"),
        (204, "", b""),
    ],
)
def test_another_range_than_the_one_asked_for_is_refused(status: int, content_range: str, body: bytes) -> None:
    with pytest.raises(Rejected):
        range_in(Reply(status, {"content-range": content_range}, body), "s3://bucket/x", 2, 4, 10)


def test_the_right_range_is_taken() -> None:
    assert range_in(Reply(206, {"content-range": "bytes 2-5/10"}, b"abcd"), "x", 2, 4, 10) == b"abcd"
    assert range_in(Reply(200, {"content-range": "bytes 2-5/10"}, b"abcd"), "x", 2, 4, 10) == b"abcd"
    assert range_in(Reply(200, {}, b"abcd"), "x", 0, 4, 4) == b"abcd"


@pytest.mark.parametrize(
    ("url", "place", "key"),
    [
        ("s3://bucket/a/b?c#d%20", "s3://bucket", "a/b?c#d%20"),
        ("gs://bucket/x", "gs://bucket", "x"),
        ("file:///folder/a%20b", "/folder", "a b"),
        ("/folder/x", "/folder", "x"),
        ("/x", "/", "x"),
        ("https://host:8443/a/b?q=1&r=/../#part", "https://host:8443", "a/b?q=1&r=/../"),
        ("https://[::1]:8443/a/", "https://[::1]:8443", "a/"),
    ],
)
def test_an_objects_address_is_its_place_and_its_key(url: str, place: str, key: str) -> None:
    address = parse_object(url)
    assert (address.place, address.key) == (place, key)


@pytest.mark.parametrize(
    "url",
    (
        "http://host/x https://user:word@host/x https://host/../x https:///x https://h\tost/x / file:/// hf://a/b x"
        " s3://bucket s3://bucket/ s3://bucket/a/ s3://bucket/a/../b s3://user@bucket/x"
    ).split(" "),
)
def test_what_is_no_objects_address_is_refused(url: str) -> None:
    with pytest.raises(UsageProblem):
        parse_object(url)


# ---------------------------------------------------------------- https


@pytest.fixture
def web(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    for name in SETTINGS:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("SSL_CERT_FILE", str(authority().file))
    with serving(authority().context) as server:
        yield server


def serves(content: bytes, tag: str = '"one"') -> Callable[[Asked], Answer]:
    """Return an answer that serves ranges as RFC 9110 says."""

    def answer(asked: Asked) -> Answer:
        if asked.headers.get("if-match", tag) != tag:
            return 412, {}, b""
        first, last = map(int, asked.headers["range"].removeprefix("bytes=").split("-"))
        if first >= len(content):
            return 416, {"Content-Range": f"bytes */{len(content)}"}, b""
        piece = content[first : last + 1]
        return 206, {"ETag": tag, "Content-Range": f"bytes {first}-{first + len(piece) - 1}/{len(content)}"}, piece

    return answer


async def opened(server: Server) -> ReadableStore:
    return await open_readable(server.url, patience=2.0)


async def test_a_web_servers_object_is_read_without_credentials(web: Server) -> None:
    web.answer = serves(CONTENT)
    async with await opened(web) as store:
        found = await store.look("a b?q=é")
        assert found == StoredObject(10, "", tag='"one"')
        assert await store.read("a b?q=é", 2, 4, found) == b"2345"
        web.answer = serves(CONTENT, '"two"')
        with pytest.raises(ObjectChanged):
            await store.read("a b?q=é", 6, 4, found)
    assert {asked.target for asked in web.asked} == {"/a%20b?q=%C3%A9"}
    assert not any("authorization" in asked.headers or "cookie" in asked.headers for asked in web.asked)


async def test_an_empty_object_and_a_server_without_ranges(web: Server) -> None:
    web.answer = serves(b"")
    async with await opened(web) as store:
        assert (await store.look("x")) == StoredObject(0, "")
        web.answer = lambda asked: (200, {"Last-Modified": "then"}, CONTENT)
        found = await store.look("x")
        assert found == StoredObject(10, "", tag="then")
        assert await store.read("x", 0, 10, found) == CONTENT
        with pytest.raises(Rejected, match="range"):
            await store.read("x", 0, 5, found)
        with pytest.raises(ObjectChanged):
            await store.read("x", 0, 10, replace(found, tag="before"))


@pytest.mark.parametrize("encoding", ["x-gzip", "aws-chunked"])
async def test_an_encoding_that_is_stated_for_a_range_changes_nothing(web: Server, encoding: str) -> None:
    """Apache states one for any .gz file, and sends its bytes as they are."""
    serve = serves(CONTENT)

    def answer(asked: Asked) -> Answer:
        status, headers, body = serve(asked)
        return status, {**headers, "Content-Encoding": encoding}, body

    web.answer = answer
    async with await opened(web) as store:
        found = await store.look("x")
        assert found is not None
        assert found.size == len(CONTENT)
        assert await store.read("x", 0, 10, found) == CONTENT


@pytest.mark.parametrize(
    ("status", "headers"),
    [(200, {"Content-Encoding": "gzip"}), (206, {"Content-Range": "bytes 0-0/*"}), (418, {}), (401, {}), (403, {})],
)
async def test_a_reply_that_proves_nothing_is_refused(web: Server, status: int, headers: Mapping[str, str]) -> None:
    web.answer = lambda asked: (status, headers, b"0")
    async with await opened(web) as store:
        with pytest.raises(Rejected):
            await store.look("x")


@pytest.mark.parametrize("status", [400, 403, 404])
async def test_a_redirect_is_remembered_until_it_is_refused(web: Server, status: int) -> None:
    serve = serves(CONTENT)
    valid = ["/signed1"]

    def answer(asked: Asked) -> Answer:
        if asked.target == "/x":
            return 302, {"Location": valid[0]}, b""
        return serve(asked) if asked.target == valid[0] else (status, {}, b"")

    web.answer = answer
    async with await opened(web) as store:
        found = await store.look("x")
        assert found is not None
        await store.read("x", 0, 5, found)
        valid[0] = "/signed2"
        assert await store.read("x", 5, 5, found) == b"56789"
    assert [a.target for a in web.asked] == ["/x", "/signed1", "/signed1", "/signed1", "/x", "/signed2"]


async def test_reads_at_once_follow_a_redirect_anew_that_is_refused_to_all(web: Server) -> None:
    serve = serves(CONTENT)
    valid = ["/signed1"]
    refused = Barrier(3, timeout=60)

    def answer(asked: Asked) -> Answer:
        if asked.target == "/x":
            return 302, {"Location": valid[0]}, b""
        if asked.target == valid[0]:
            return serve(asked)
        refused.wait()
        return 403, {}, b""

    web.answer = answer
    async with await opened(web) as store:
        found = await store.look("x")
        assert found is not None
        valid[0] = "/signed2"
        read: list[bytes] = []

        async def take(offset: int) -> None:
            read.append(await store.read("x", offset, 1, found))

        await for_each(range(3), take, at_once=3)
    assert sorted(read) == [b"0", b"1", b"2"]


@pytest.mark.parametrize(
    "location",
    [
        "http://127.0.0.1:1/x",
        "https://user:word@127.0.0.1:1/x",
        "https://127.0.0.1:65536/x",
        "https://127.0.0.1:-1/x",
        "https://[:::::]?x",
        "file:///etc/passwd",
        "https://[x",
        "//[x",
    ],
)
async def test_a_redirect_elsewhere_than_https_is_not_followed(web: Server, location: str) -> None:
    web.answer = lambda asked: (302, {"Location": location}, b"")
    async with await opened(web) as store:
        with pytest.raises(Rejected, match="redirects"):
            await store.look("x")


async def test_redirects_end(web: Server) -> None:
    web.answer = lambda asked: (302, {"Location": asked.target + "x"}, b"")
    async with await opened(web) as store:
        with pytest.raises(Rejected, match="302"):
            await store.look("x")
    assert len(web.asked) == 6
