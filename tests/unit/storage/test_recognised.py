"""An object that is there already: stored by the note beside it, but proven only by what its store computed."""

from hashlib import md5
from pathlib import Path

import pytest

from roar_publisher.inspection.findings import Finding
from roar_publisher.inspection.inspector import Inspector
from roar_publisher.inspection.subjects import Subject
from roar_publisher.storage.destinations import open_readable, open_store
from roar_publisher.storage.digest import digest_file
from roar_publisher.storage.transfer import transfer
from tests.support.net.servers import Answer, Asked, Server
from tests.support.storage.memory import MemoryLedger, nothing, write_file

pytestmark = pytest.mark.anyio


async def test_bytes_that_were_exchanged_below_their_note_are_read_by_a_verification(
    server: Server, tmp_path: Path
) -> None:
    """s3fs, goofys and `rclone mount` keep the metadata of an object that is edited in place."""
    content = await digest_file(write_file(tmp_path / "source", 10))
    wrong = b"0123456789"

    def answer(asked: Asked) -> Answer:
        headers = {"ETag": f'"{md5(wrong).hexdigest()}"', "x-amz-meta-blake3": content.blake3}
        if asked.method == "GET":
            return 206, {**headers, "Content-Range": "bytes 0-9/10"}, wrong
        return 200, {**headers, "Content-Length": "10"}, b""

    server.answer = answer
    async with await open_store("s3://bucket", patience=1.0) as store:
        stored = await transfer(store, "x", content, MemoryLedger(), parts_at_once=1, advance=nothing)
    assert {asked.method for asked in server.asked} == {"HEAD"}, "it is not sent again"
    subject = Subject("s3://bucket/x", content.blake3, content, stored.tag)
    inspection = await Inspector(open_readable).run([subject])
    assert (inspection.counts[Finding.CHANGED], inspection.bytes_read) == (1, 10)
