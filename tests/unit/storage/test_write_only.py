"""Credentials that may write and not look, and stores that do not list what an upload has."""

import base64
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from roar_publisher.state.errors import Rejected
from roar_publisher.storage.destinations import open_store
from roar_publisher.storage.digest import digest_file
from roar_publisher.storage.transfer import transfer
from tests.support.net.servers import Answer, Asked, serving
from tests.support.storage.memory import MemoryLedger, nothing, write_file
from tests.unit.storage.conftest import PART_BYTES
from tests.unit.storage.test_lessons import UNKNOWN_HEADERS, Store, checksum_headers, error, put

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("small_parts")]
LARGE = 5 * PART_BYTES // 2


@pytest.fixture
def s3() -> Iterator[Store]:
    with serving() as server:
        found = Store(server)
        server.answer = found.answer
        yield found


async def test_without_permission_to_look_the_checks_of_each_part_suffice(s3: Store, tmp_path: Path) -> None:
    def refuses(asked: Asked) -> Answer | None:
        if asked.method in ("GET", "HEAD"):
            return 403, {}, error("AccessDenied")
        return UNKNOWN_HEADERS["B2"] if checksum_headers(asked) else None

    s3.refuses, s3.tags = refuses, False
    path = await put(s3, tmp_path, LARGE)
    assert s3.objects[path] == (tmp_path / "source").read_bytes()


@pytest.mark.parametrize(
    "answer",
    [
        (403, {}, error("AccessDenied")),  # another session of a role that may only write
        (404, {}, error("NoSuchKey")),  # lakeFS
        (405, {}, error("ERRLakeFSNotSupported")),
    ],
)
async def test_parts_that_a_store_does_not_list_are_those_that_it_acknowledged(
    answer: Answer, s3: Store, tmp_path: Path
) -> None:
    content = await digest_file(write_file(tmp_path / "source", LARGE))
    s3.blake3 = content.blake3
    ledger = MemoryLedger()
    interrupted = False

    def refuses(asked: Asked) -> Answer | None:
        if asked.method == "GET" and "uploadId" in asked.target:
            return answer
        return None if interrupted or "partNumber=3" not in asked.target else (400, {}, error("Odd"))

    s3.refuses = refuses

    async def upload() -> None:
        async with await open_store("s3://bucket/run", {"AWS_ENDPOINT_URL": s3.server.url}) as opened:
            await transfer(opened, "object", content, ledger, parts_at_once=1, advance=nothing)

    with pytest.raises(Rejected, match="Odd"):
        await upload()
    interrupted = True
    s3.server.asked.clear()
    await upload()
    assert s3.objects["/bucket/run/object"] == (tmp_path / "source").read_bytes()
    sent = [asked.target for asked in s3.server.asked if asked.method == "PUT"]
    assert ["partNumber=3" in target for target in sent] == [True]


@pytest.mark.parametrize("size", [1000, LARGE])
@pytest.mark.parametrize("status", [403, 404])
async def test_a_creator_that_may_not_look_stores_in_gcs(status: int, size: int, tmp_path: Path) -> None:
    """Google's role Storage Object Creator has no other permission. An object that is missing is still noticed."""
    content = await digest_file(write_file(tmp_path / "source", size), md5=True)
    md5 = base64.b64encode(bytes.fromhex(content.md5)).decode()
    resource = {"size": str(size), "md5Hash": md5, "generation": "7", "metadata": {"blake3": content.blake3}}
    received = 0
    with serving() as server:

        def answer(asked: Asked) -> Answer:
            nonlocal received
            if asked.method == "GET":
                return status, {}, json.dumps({"error": {"code": status, "message": "no"}}).encode()
            if "uploadType=resumable" in asked.target:
                return 200, {"Location": f"{server.url}/session"}, b""
            received += len(asked.body)
            if received < size:
                return 308, {"Range": f"bytes=0-{received - 1}"} if received else {}, b""
            return 200, {}, json.dumps(resource).encode()

        server.answer = answer
        async with await open_store("gs://bucket/run", {"STORAGE_EMULATOR_HOST": server.url}) as opened:
            upload = transfer(opened, "object", content, MemoryLedger(), parts_at_once=1, advance=nothing)
            if status == 404 and size == LARGE:
                with pytest.raises(Rejected, match="it cannot be found"):
                    await upload
            else:
                assert opened.matches(await upload, content)
