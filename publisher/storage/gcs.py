"""Google Cloud Storage: resumable sessions of the JSON API.

A session accepts one stream, so parts are sent in order, each as a chunk (a multiple of 256 KiB). If a chunk's reply is
lost, the session reports how much it has (308 with `Range`), and only the rest is sent. A session verifies only the
whole object: the MD5 is sent when the session begins, and Google refuses the last chunk if the received bytes differ.
MD5 is used rather than CRC32C because the standard library computes it.

References: https://cloud.google.com/storage/docs/performing-resumable-uploads and .../json_api/v1/status-codes.
"""

import base64
import json
from collections.abc import Collection, Mapping
from urllib.parse import quote

from roar_publisher.net.exchange import Reply
from roar_publisher.net.policy import MAX_ATTEMPTS
from roar_publisher.state.errors import Transient
from roar_publisher.state.reasons import Reason
from roar_publisher.storage.gcs_account import EMULATOR, GoogleAccount
from roar_publisher.storage.gcs_replies import (
    INCOMPLETE,
    NO_BUCKET,
    Page,
    Resource,
    Rewriting,
    bytes_in,
    explain,
    judge_gcs,
    not_gcs,
    read,
    words_in,
)
from roar_publisher.storage.http import FileBody, StoreConnection, StoreRequest
from roar_publisher.storage.parts import part_count, part_range
from roar_publisher.storage.ranges import CHANGED, ObjectChanged, range_header, range_in
from roar_publisher.storage.readable import StoredObject
from roar_publisher.storage.refusals import may_not_read, no_bucket_to_read
from roar_publisher.storage.slices import OnSent
from roar_publisher.storage.source import Content, Slice, shown
from roar_publisher.storage.store import ObjectStore, Part, Upload, UploadVanished, pages

GONE = frozenset({404, 410})
ABORTED = 499
"""Google's status for a cancelled session; no other server uses it."""
GRANULE_BYTES = 256 * 1024
"""A session keeps whole granules until its end. An emulator's `Range` of one byte means none."""
BOUNDARY = "roar-object-and-its-metadata"


class GcsStore(ObjectStore):
    """Objects below `prefix` of one bucket. prefix: without leading and trailing slashes, possibly empty."""

    parallel_parts = False
    needs_md5 = True

    def __init__(self, bucket: str, prefix: str, account: GoogleAccount, connection: StoreConnection) -> None:
        super().__init__(f"gs://{bucket}/{prefix}".rstrip("/"), prefix)
        self._bucket = f"b/{quote(bucket, safe='')}/o"
        self._objects = f"{account.base}/storage/v1/{self._bucket}"
        self._uploads = f"{account.base}/upload/storage/v1/{self._bucket}"
        self._account = account
        self._connection = connection
        self._persisted: dict[str, int] = {}  # bytes a session has, by its id; written by parts and put_part

    async def aclose(self) -> None:
        await self._connection.aclose()

    def checksum_of(self, content: Content) -> str:
        return f"md5:{_base64(content.md5)}"

    async def look(self, key: str) -> StoredObject | None:
        reply = await self._ask_about(key)
        if reply.status == 403:
            raise may_not_read(self.url(key), words_in(reply))
        if reply.status == 404 and NO_BUCKET in words_in(reply):
            raise no_bucket_to_read(self.destination, EMULATOR)
        return None if reply.status == 404 else self._stored(reply)

    async def read(self, key: str, offset: int, length: int, stored: StoredObject) -> bytes:
        url = f"{self._objects}/{self._name(key)}?alt=media&generation={stored.tag}"
        # If gzip is not accepted, an object with `Content-Encoding: gzip` is sent uncompressed, and whole.
        reply = await self._call("GET", url, {"Range": range_header(offset, length), "Accept-Encoding": "gzip"})
        if reply.status in CHANGED:
            raise ObjectChanged(self.url(key))
        if reply.status == 403:
            raise may_not_read(self.url(key), words_in(reply))
        return range_in(self._accept(reply), self.url(key), offset, length, stored.size)

    async def stat(self, key: str) -> StoredObject | None:
        reply = await self._ask_about(key)
        return None if reply.status in (403, 404) else self._stored(reply)

    async def is_lost(self, key: str, content: Content, tag: str) -> bool:
        reply = await self._ask_about(key)
        if reply.status in (403, 404):
            return reply.status == 404
        return not self.is_unchanged(self._stored(reply), content, tag)

    async def list_objects(self, prefix: str, wanted: Collection[str]) -> Mapping[str, StoredObject] | None:
        found: dict[str, StoredObject] = {}
        page = ""
        fields = "fields=items(name,size,generation),nextPageToken&maxResults=1000"
        for _ in pages(len(wanted)):
            url = f"{self._objects}?prefix={quote(self.prefix + prefix, safe='')}&{fields}{page}"
            reply = await self._call("GET", url)
            if not reply.ok:  # listing may not be allowed
                return None
            listed = read(reply, Page)
            keys = ((item.name.removeprefix(self.prefix), item) for item in listed.items or ())
            found.update((key, item.stored()) for key, item in keys if key in wanted)
            if not listed.next_page_token:
                return found
            page = "&pageToken=" + quote(listed.next_page_token, safe="")
        return None

    async def put(self, key: str, content: Content, sent: OnSent) -> StoredObject:
        head = (
            f"--{BOUNDARY}\r\nContent-Type: application/json; charset=UTF-8\r\n\r\n{_metadata(content)}\r\n"
            f"--{BOUNDARY}\r\nContent-Type: application/octet-stream\r\n\r\n"
        )
        body = FileBody(content.whole(), sent, head=head.encode(), tail=f"\r\n--{BOUNDARY}--\r\n".encode())
        url = f"{self._uploads}?uploadType=multipart&name={self._name(key)}"
        headers = {"Content-Type": f"multipart/related; boundary={BOUNDARY}"}
        stored = self._stored(await self._call("POST", url, headers, body))
        return self.verified(key, stored, content)

    async def copy(self, source: str, key: str, content: Content) -> StoredObject | None:
        url = f"{self._objects}/{self._name(source)}/rewriteTo/{self._bucket}/{self._name(key)}"
        token, rewritten = "", -1
        while True:
            reply = await self._call("POST", url + token)
            if not reply.ok:  # writing may be allowed without reading
                return None
            answer = read(reply, Rewriting)
            if answer.done:
                break
            before, rewritten = rewritten, answer.total_bytes_rewritten
            if rewritten <= before:  # a large object takes several calls, each of which must make progress
                return None
            token = "?rewriteToken=" + quote(answer.rewrite_token, safe="")
        stored = await self.stat(key)
        return stored if self.matches(stored, content) else None

    async def begin(self, key: str, content: Content) -> Upload:
        url = f"{self._uploads}?uploadType=resumable&name={self._name(key)}"
        headers = {"Content-Type": "application/json; charset=UTF-8", "X-Upload-Content-Length": str(content.size)}
        reply = self._accept(await self._call("POST", url, headers, _metadata(content).encode()))
        session = reply.headers.get("location", "")
        if not session.startswith(("https://", f"{self._account.base}/")):
            raise not_gcs()
        return Upload(key, session, content.size, content.part_bytes)

    async def parts(self, upload: Upload) -> dict[int, Part] | None:
        persisted = await self._persisted_now(upload)
        if persisted is None:
            return None
        self._persisted[upload.id] = persisted
        found = {}
        for number in range(1, part_count(upload.size, upload.part_bytes) + 1):
            offset, length = part_range(number, upload.size, upload.part_bytes)
            if offset + length <= persisted:
                found[number] = Part(number, length, "", "")
        return found

    async def put_part(self, upload: Upload, number: int, slice_: Slice, sent: OnSent) -> Part:
        end = slice_.offset + slice_.length
        persisted = self._persisted.get(upload.id, slice_.offset)
        in_vain = 0
        while persisted < end:
            if persisted < slice_.offset:
                raise _vanished(upload)  # the session lost bytes that it had
            reply = await self._send_rest(upload, slice_, sent, persisted)
            now = self._bytes_in(reply, upload)
            if now is not None and now < persisted:
                now = await self._persisted_now(upload)  # one reply to a part in millions lacks its Range
            if now is None and end == upload.size:
                break  # it may be gone because it is complete; `complete` finds out
            if now is None:
                raise _vanished(upload)
            in_vain = 0 if now > persisted else in_vain + 1
            if in_vain >= MAX_ATTEMPTS:
                raise Transient("the object store accepts no more data of an upload", reason=Reason.SERVER_FAILING)
            persisted = self._persisted[upload.id] = now
        sent(slice_.length)
        return Part(number, slice_.length, "", "")

    async def complete(self, upload: Upload, content: Content, parts: Mapping[int, Part]) -> StoredObject:
        """Check the result of the upload, which the last part has completed."""
        reply = await self._connection.call(lambda: _query(upload), judge_gcs)
        self._persisted.pop(upload.id, None)
        seen = await self._ask_about(upload.key)
        if reply.ok and seen.status == 403:
            # Creating may be allowed without looking. The session has compared the MD5 before it was complete.
            return StoredObject(content.size, self.checksum_of(content), content.blake3)
        stored = None if seen.status in (403, 404) else self._stored(seen)
        if reply.ok:
            return self.verified(upload.key, stored, content)
        if stored is None or not self.matches(stored, content):
            raise _vanished(upload)
        return stored

    async def abort(self, upload: Upload) -> None:
        self._persisted.pop(upload.id, None)
        await self._connection.call(lambda: _cancellation(upload), judge_gcs)

    async def _ask_about(self, key: str) -> Reply:
        return await self._call("GET", f"{self._objects}/{self._name(key)}?fields=size,md5Hash,metadata,generation")

    async def _send_rest(self, upload: Upload, slice_: Slice, sent: OnSent, persisted: int) -> Reply:
        """Send the rest of a part once. Without a reply, ask the session how many bytes it has."""
        attempted = False

        async def attempt() -> StoreRequest:
            nonlocal attempted
            if attempted:
                return await _query(upload)
            attempted = True
            last = slice_.offset + slice_.length - 1
            headers = {"Content-Range": f"bytes {persisted}-{last}/{upload.size}"}
            return StoreRequest("PUT", upload.id, headers, FileBody(slice_, sent, skip=persisted - slice_.offset))

        return await self._connection.call(attempt, judge_gcs)

    async def _persisted_now(self, upload: Upload) -> int | None:
        """Ask a session how many bytes it has. Returns None as `_bytes_in`."""
        return self._bytes_in(await self._connection.call(lambda: _query(upload), judge_gcs), upload)

    def _bytes_in(self, reply: Reply, upload: Upload) -> int | None:
        """Return how many bytes a session has, by its reply, or None if it is gone or refuses the bytes it received."""
        if reply.status == INCOMPLETE:
            return bytes_in(reply) // GRANULE_BYTES * GRANULE_BYTES
        if reply.status in GONE or reply.status == ABORTED or reply.status == 400:
            return None
        self._accept(reply)
        return upload.size

    async def _call(
        self, method: str, url: str, headers: Mapping[str, str] | None = None, body: bytes | FileBody = b""
    ) -> Reply:
        rejected = ""
        used: dict[str, str] = {}

        async def authorize() -> None:
            used.update(await self._account.headers(renew=rejected))

        async def attempt() -> StoreRequest:
            await authorize()
            return StoreRequest(method, url, {**(headers or {}), **used}, body)

        reply = await self._connection.call(attempt, judge_gcs, authorize=authorize)
        if reply.status == 401 and used:
            rejected = used["Authorization"]
            reply = await self._connection.call(attempt, judge_gcs, authorize=authorize)
        return reply

    def _name(self, key: str) -> str:
        return quote(self.name(key), safe="")

    def _stored(self, reply: Reply) -> StoredObject:
        return read(self._accept(reply), Resource).stored()

    def _accept(self, reply: Reply) -> Reply:
        if reply.ok:
            return reply
        raise explain(reply, self.destination)


async def _query(upload: Upload) -> StoreRequest:
    return StoreRequest("PUT", upload.id, {"Content-Range": f"bytes */{upload.size}"})


async def _cancellation(upload: Upload) -> StoreRequest:
    return StoreRequest("DELETE", upload.id, {})


def _metadata(content: Content) -> str:
    return json.dumps({"md5Hash": _base64(content.md5), "metadata": {"blake3": content.blake3}})


def _vanished(upload: Upload) -> UploadVanished:
    return UploadVanished(f"the upload of {shown(upload.key)} is gone")


def _base64(hexadecimal: str) -> str:
    return base64.b64encode(bytes.fromhex(hexadecimal)).decode("ascii")
