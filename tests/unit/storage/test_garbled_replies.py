"""Stores whose replies have the right form and the wrong content: a publish waits or ends with an error for people.

A MinIO of one's own, an emulator, or a gateway before the store answer so, not only an attacker.
"""

import json
import random
from contextlib import suppress
from pathlib import Path

import pytest

from roar_publisher.state.errors import PublisherError, Transient
from roar_publisher.state.reasons import Reason
from roar_publisher.storage.destinations import open_store
from roar_publisher.storage.digest import digest_file
from roar_publisher.storage.readable import StoredObject
from roar_publisher.storage.source import Content
from roar_publisher.storage.store import Part, Upload
from tests.support.net.servers import Asked, Server

pytestmark = pytest.mark.anyio
UPLOAD = Upload("x", "id", 10, 5)
TOO_LONG = "9" * 5000
WANTED = {"x", *map(str, range(100))}
"""Worth some pages of a listing."""
"""A number that Python refuses to read."""


@pytest.fixture
async def content(tmp_path: Path) -> Content:
    (tmp_path / "file").write_bytes(b"0123456789")
    return await digest_file(str(tmp_path / "file"), md5=True)


def answering(server: Server, body: object, status: int = 200, **headers: str) -> None:
    found = body if isinstance(body, bytes) else json.dumps(body).encode()
    server.answer = lambda asked: (status, headers, found)


# ---------------------------------------------------------------- Google

OBJECTS: list[object] = [
    [],
    None,
    "text",
    {"size": "large"},
    {"size": -1},
    {"size": TOO_LONG + "x"},
    {"size": 1.5},
    {"size": {}},
    {"metadata": []},
    {"metadata": {"blake3": 3}},
    {"md5Hash": 3},
    {"generation": []},
]


@pytest.mark.parametrize("document", OBJECTS, ids=lambda found: json.dumps(found)[:20])
async def test_an_object_that_google_would_not_describe_so(server: Server, content: Content, document: object) -> None:
    answering(server, document)
    async with await open_store("gs://bucket", patience=1.0) as store:
        for operation in (store.look, store.stat, lambda key: store.is_lost(key, content, "1")):
            with pytest.raises(Transient) as caught:
                await operation("x")
            assert caught.value.reason is Reason.NOT_GCS


@pytest.mark.parametrize("document", [{"items": {}}, {"items": [3]}, {"nextPageToken": 3}, []])
async def test_a_listing_that_google_would_not_write(server: Server, document: object) -> None:
    answering(server, document)
    async with await open_store("gs://bucket", patience=1.0) as store:
        with pytest.raises(Transient) as caught:
            await store.list_objects("", WANTED)
    assert caught.value.reason is Reason.NOT_GCS


@pytest.mark.parametrize("document", [{"totalBytesRewritten": "many"}, {"done": "x"}, {"rewriteToken": 3}, []])
async def test_a_copy_that_google_would_not_report(server: Server, content: Content, document: object) -> None:
    answering(server, document)
    async with await open_store("gs://bucket", patience=1.0) as store:
        with pytest.raises(Transient) as caught:
            await store.copy("y", "x", content)
    assert caught.value.reason is Reason.NOT_GCS


async def test_numbers_of_google_are_texts_and_those_of_an_emulator_may_be_numbers(server: Server) -> None:
    async with await open_store("gs://bucket", patience=1.0) as store:
        for size, generation in (("10", "7"), (10, 7)):
            answering(server, {"size": size, "generation": generation, "metadata": None, "more": [1]})
            assert await store.look("x") == StoredObject(10, "", "", "7")
        answering(server, {})
        assert await store.look("x") == StoredObject(0, "", "", "")


@pytest.mark.parametrize(
    ("stated", "parts"),
    [("bytes=0-524287", 2), ("0-262143", 1), ("bytes=0-0", 0), ("bytes=0-²", 0), ("0-" + "9" * 5000, 0), ("x", 0)],
)
async def test_what_a_session_says_that_it_has(server: Server, stated: str, parts: int) -> None:
    answering(server, b"", 308, Range=stated)
    upload = Upload("x", f"{server.url}/session", 600_000, 262_144)
    async with await open_store("gs://bucket", patience=1.0) as store:
        found = await store.parts(upload)
    assert found is not None
    assert list(found) == list(range(1, parts + 1))


# ---------------------------------------------------------------- S3


def listing_of_parts(number: str = "1", size: str = "5", checksum: str = "", following: str = "") -> bytes:
    return (
        f"<ListPartsResult><Part><PartNumber>{number}</PartNumber><Size>{size}</Size><ETag>one</ETag>"
        f"<ChecksumSHA256>{checksum}</ChecksumSHA256></Part>"
        f"<NextPartNumberMarker>{following}</NextPartNumberMarker></ListPartsResult>"
    ).encode()


@pytest.mark.parametrize(
    "wrong",
    [
        {"number": "one"},
        {"number": "-1"},
        {"number": TOO_LONG},
        {"size": "1.5"},
        {"size": "²"},
        {"checksum": "x"},
        {"checksum": "ü"},
        {"following": "next"},
    ],
    ids=lambda found: str(found)[:20],
)
async def test_parts_that_s3_would_not_list(server: Server, wrong: dict[str, str]) -> None:
    async with await open_store("s3://bucket", patience=1.0) as store:
        answering(server, listing_of_parts())
        assert await store.parts(UPLOAD) == {1: Part(1, 5, "one", "")}
        answering(server, listing_of_parts(**wrong))
        with pytest.raises(Transient) as caught:
            await store.parts(UPLOAD)
    assert caught.value.reason is Reason.NOT_S3


@pytest.mark.parametrize("size", ["", "many", TOO_LONG, "-1"])
async def test_objects_that_s3_would_not_list(server: Server, size: str) -> None:
    answering(
        server, f"<ListBucketResult><Contents><Key>x</Key><Size>{size}</Size></Contents></ListBucketResult>".encode()
    )
    async with await open_store("s3://bucket", patience=1.0) as store:
        if not size:
            assert await store.list_objects("", WANTED) == {"x": StoredObject(0, "")}
        else:
            with pytest.raises(Transient):
                await store.list_objects("", WANTED)


# ---------------------------------------------------------------- anything

WORDS = [
    *("size", "items", "name", "md5Hash", "metadata", "generation", "done", "nextPageToken", "error", "code", "errors"),
    *(
        "<Part>",
        "</Part>",
        "<Size>",
        "</Size>",
        "<Contents>",
        "<Upload>",
        "<Initiated>",
        "<UploadId>",
        "<Error>",
        "<Code>",
    ),
]


def garbled(rng: random.Random) -> bytes:
    """Return a reply that no store sends: JSON or XML of the right words in the wrong places, or neither."""

    def value(depth: int) -> object:
        simple = [None, True, -1, 10**30, 1.5, "", "text", TOO_LONG, rng.choice(WORDS)]
        if depth == 0 or rng.random() < 0.4:
            return rng.choice(simple)
        if rng.random() < 0.5:
            return [value(depth - 1) for _ in range(rng.randrange(3))]
        return {rng.choice(WORDS): value(depth - 1) for _ in range(rng.randrange(4))}

    if rng.random() < 0.6:
        return json.dumps(value(4)).encode()
    body = "".join(rng.choice([*WORDS, "1", "x", TOO_LONG]) for _ in range(rng.randrange(12))).encode()
    return b"<Result>" + body + rng.choice([b"</Result>", b""])


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("scheme", ["gs", "s3"])
async def test_no_reply_ends_as_a_defect(server: Server, content: Content, scheme: str, seed: int) -> None:
    rng = random.Random(seed)

    def answer(asked: Asked) -> tuple[int, dict[str, str], bytes]:
        status = rng.choice([200, 200, 200, 201, 206, 308, 400, 404])
        return status, {"Location": f"{server.url}/session", "ETag": rng.choice(['"one"', "W/", ""])}, garbled(rng)

    server.answer = answer
    upload = Upload("x", f"{server.url}/session" if scheme == "gs" else "id", 10, 5)
    stored = StoredObject(10, "", "", "1")
    async with await open_store(f"{scheme}://bucket", patience=0.0) as store:
        for operation in (
            lambda: store.look("x"),
            lambda: store.stat("x"),
            lambda: store.read("x", 0, 10, stored),
            lambda: store.list_objects("", WANTED),
            lambda: store.is_lost("x", content, "1"),
            lambda: store.copy("y", "x", content),
            lambda: store.put("x", content, lambda count: None),
            lambda: store.begin("x", content),
            lambda: store.parts(upload),
            lambda: store.complete(upload, content, {1: Part(1, 10, "one", "00" * 32)}),
            lambda: store.abort(upload),
        ):
            with suppress(PublisherError):
                await operation()
