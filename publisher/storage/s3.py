"""S3, and whatever speaks like it: multipart uploads whose every part the store verifies.

Which checksum?  SHA-256, because it is the one that nearly every endpoint verifies: as the signed payload hash (SigV4),
and where the endpoint knows the newer `x-amz-checksum-sha256` (it says so when an upload begins) as the part's checksum
too, which it keeps and tells again in ListParts and HEAD.  A CRC32 would be cheaper, but a second hash beside the
signed one.  An endpoint that does not answer with the newer header gets `Content-MD5` with each part as well: some
(`rclone serve s3`) compare nothing else.

The blake3 of everything is written beside each object, so that one that is there already is recognised even where
no comparable checksum is told.
"""

import hashlib
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from time import time
from urllib.parse import quote, urlencode

from roar_publisher.state.errors import Rejected
from roar_publisher.storage.checksums import checksums_of, in_base64
from roar_publisher.storage.http import FileBody, Reply, Request, Wire
from roar_publisher.storage.s3_account import UNRESERVED, Account, Credentials
from roar_publisher.storage.s3_errors import explain, is_expired, judge_s3
from roar_publisher.storage.s3_replies import (
    BLAKE3_HEADER,
    assembled_in,
    document_in,
    etag_of_parts,
    is_gone,
    listed_in,
    part_in,
    sha256_of_parts,
    stored_in,
    tag_in,
    text_in,
)
from roar_publisher.storage.s3_unheard import unheard_uploads
from roar_publisher.storage.s3_xml import completion, error_in
from roar_publisher.storage.slices import Sent
from roar_publisher.storage.source import Content, Slice, shown
from roar_publisher.storage.store import ObjectStore, Part, StoredObject, Upload, UploadVanished, check_key, pages

MAX_RENEWALS = 2
"""How often one request may renew its credentials."""
LARGEST_COPY_BYTES = 5 * 1024**3
"""What S3 copies in one request."""
SHA256, MD5 = "sha256", "md5"
NO_HEADERS: Mapping[str, str] = {}


class S3Store(ObjectStore):
    """Objects below `prefix` of one bucket.  prefix: without slashes at its ends, possibly empty."""

    def __init__(self, bucket: str, prefix: str, account: Account, wire: Wire) -> None:
        super().__init__(f"s3://{bucket}/{prefix}".rstrip("/"))
        self._bucket = bucket
        self._prefix = f"{prefix}/" if prefix else ""
        self._account = account
        self._wire = wire

    async def aclose(self) -> None:
        await self._wire.aclose()

    async def stat(self, key: str) -> StoredObject | None:
        reply = await self._head(key)
        if reply.status in (403, 404):  # S3 answers 403 for what is missing, to those who may not list
            return None
        return stored_in(self._accept(reply))

    async def lost(self, key: str, content: Content, tag: str) -> bool:
        reply = await self._head(key)
        if reply.status in (403, 404):
            return reply.status == 404
        return not self.remains(stored_in(self._accept(reply)), content, tag)

    async def glance(self, questions: int) -> Mapping[str, str] | None:
        found: dict[str, str] = {}
        query = {"encoding-type": "url", "list-type": "2", "prefix": self._prefix}
        for _ in pages(questions):
            reply = await self._ask("GET", self._account.place.base, query)
            if not reply.ok:  # writing may be allowed where listing is not
                return None
            root = document_in(reply)
            listed = map(listed_in, root.iterfind("Contents"))
            found.update((name.removeprefix(self._prefix), tag) for name, tag in listed)
            if root.findtext("IsTruncated") != "true":
                return found
            query["continuation-token"] = root.findtext("NextContinuationToken") or ""
        return None

    async def put(self, key: str, content: Content, sent: Sent) -> StoredObject:
        slice_ = content.whole()
        taken = await checksums_of(slice_, md5=True)
        sha256 = in_base64(taken.sha256)
        headers = {
            "Content-MD5": in_base64(taken.md5),
            "x-amz-checksum-sha256": sha256,
            BLAKE3_HEADER: content.blake3,
        }
        body = FileBody(slice_, sent, sha256=taken.sha256)
        reply = self._accept(await self._call("PUT", key, headers=headers, body=body))
        # The store read everything and compared two checksums before it answered: nothing is left to ask.
        return StoredObject(content.size, f"sha256:{sha256}", content.blake3, tag_in(reply.headers.get("etag")))

    async def copy(self, source: str, key: str, content: Content) -> StoredObject | None:
        if content.size > LARGEST_COPY_BYTES:
            return None
        path = quote(f"{self._bucket}/{self._prefix}{source}", safe="/" + UNRESERVED)
        reply = await self._call("PUT", key, headers={"x-amz-copy-source": path})
        if not reply.ok or error_in(reply.body).code:  # reading may be forbidden where writing is not
            return None
        stored = await self.stat(key)  # with the metadata of its source, the blake3 among it
        return stored if self.holds(stored, content) else None

    async def begin(self, key: str, content: Content) -> Upload:
        headers = {"x-amz-checksum-algorithm": "SHA256", BLAKE3_HEADER: content.blake3}
        asked, unheard = time(), False

        async def again() -> None:
            nonlocal unheard
            unheard = True

        reply = self._accept(await self._call("POST", key, {"uploads": ""}, headers=headers, before_retry=again))
        upload_id = text_in(reply, "UploadId")
        known = reply.headers.get("x-amz-checksum-algorithm", "").upper() == "SHA256"
        if unheard:
            await self._abort_unheard(key, asked, heard=upload_id)
        return Upload(key, upload_id, content.size, content.part_bytes, SHA256 if known else MD5)

    async def parts(self, upload: Upload) -> dict[int, Part] | None:
        found: dict[int, Part] = {}
        marker = 0
        while True:
            query = {"uploadId": upload.id} | ({"part-number-marker": str(marker)} if marker else {})
            reply = await self._call("GET", upload.key, query)
            if is_gone(reply):
                return None
            root = document_in(self._accept(reply))
            found.update((part.number, part) for part in map(part_in, root.iter("Part")))
            following = int(root.findtext("NextPartNumberMarker") or 0)
            if root.findtext("IsTruncated") != "true" or following <= marker:
                return found
            marker = following

    async def put_part(self, upload: Upload, number: int, slice_: Slice, sent: Sent) -> Part:
        taken = await checksums_of(slice_, md5=upload.checksum == MD5)
        if upload.checksum == MD5:
            headers = {"Content-MD5": in_base64(taken.md5)}
        else:
            headers = {"x-amz-checksum-sha256": in_base64(taken.sha256)}
        query = {"partNumber": str(number), "uploadId": upload.id}

        async def still_there() -> None:
            # An endpoint that refuses before it read the body may only be seen to break the connection.
            if is_gone(await self._call("GET", upload.key, {"max-parts": "1", "uploadId": upload.id})):
                raise _vanished(upload)

        body = FileBody(slice_, sent, sha256=taken.sha256)
        reply = await self._call("PUT", upload.key, query, headers=headers, body=body, before_retry=still_there)
        if is_gone(reply):
            raise _vanished(upload)
        return Part(number, slice_.length, self._accept(reply).headers.get("etag", ""), taken.sha256.hex())

    async def complete(self, upload: Upload, content: Content, parts: Mapping[int, Part]) -> StoredObject:
        checksums = {number: in_base64(bytes.fromhex(part.sha256)) for number, part in parts.items()}
        body = completion(parts, checksums if upload.checksum == SHA256 else {})
        headers = {"Content-Type": "application/xml"}
        reply = await self._call("POST", upload.key, {"uploadId": upload.id}, headers=headers, body=body)
        expected = sha256_of_parts(parts)
        if not is_gone(reply):
            checksum, tag = assembled_in(self._accept(reply))
            if checksum in (expected, etag_of_parts(parts)):
                return StoredObject(content.size, expected, content.blake3, tag)
            return self.verified(upload.key, await self.stat(upload.key), content, expected)
        stored = await self.stat(upload.key)
        if stored is None or not self.holds(stored, content, expected):
            await self.abort(upload)
            raise _vanished(upload)
        return stored  # an earlier completion went through, only its reply was lost

    async def clear(self, key: str, asked: float | None) -> None:
        if asked is not None:
            await self._abort_unheard(key, asked)

    async def abort(self, upload: Upload) -> None:
        reply = await self._call("DELETE", upload.key, {"uploadId": upload.id})
        if not is_gone(reply):
            self._accept(reply)

    async def _head(self, key: str) -> Reply:
        return await self._call("HEAD", key, headers={"x-amz-checksum-mode": "ENABLED"})

    async def _abort_unheard(self, key: str, asked: float, heard: str = "") -> None:
        """Abort what was begun for `key` since `asked` and whose name was not heard (`s3_unheard`)."""
        name = self._prefix + key
        listing = await self._ask("GET", self._account.place.base, {"prefix": name, "uploads": ""})
        for upload_id in unheard_uploads(listing, name, time() - asked):
            upload = Upload(key, upload_id, size=0, part_bytes=0)
            with suppress(Rejected):  # who may not list or give up may upload all the same
                if upload_id != heard and await self.parts(upload) == {}:
                    await self.abort(upload)

    async def _call(
        self,
        method: str,
        key: str,
        query: Mapping[str, str] | None = None,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes | FileBody = b"",
        before_retry: Callable[[], Awaitable[None]] | None = None,
    ) -> Reply:
        url = f"{self._account.place.base}/{quote(self._prefix + check_key(key), safe='/' + UNRESERVED)}"
        return await self._ask(method, url, query or {}, headers or {}, body, before_retry)

    async def _ask(
        self,
        method: str,
        url: str,
        query: Mapping[str, str],
        headers: Mapping[str, str] = NO_HEADERS,
        body: bytes | FileBody = b"",
        before_retry: Callable[[], Awaitable[None]] | None = None,
    ) -> Reply:
        """A final answer, with credentials renewed where they expired."""
        if query:
            url += "?" + urlencode(query, quote_via=quote, safe=UNRESERVED)
        sha256 = body.sha256 if isinstance(body, FileBody) else hashlib.sha256(body).digest()
        used: list[Credentials] = []

        async def attempt() -> Request:
            used.append(await self._account.current())
            signed = self._account.sign(used[-1], method, url, headers, sha256.hex())
            return Request(method, url, signed, body)

        for _ in range(MAX_RENEWALS):
            reply = await self._wire.call(attempt, judge_s3, before_retry=before_retry)
            if not is_expired(method, reply) or not await self._account.renew(used[-1]):
                return reply
        return await self._wire.call(attempt, judge_s3, before_retry=before_retry)

    def _accept(self, reply: Reply) -> Reply:
        if reply.ok and not error_in(reply.body).code:
            return reply
        raise explain(reply, self.destination, self._account.place.region)


def _vanished(upload: Upload) -> UploadVanished:
    return UploadVanished(f"the upload of {shown(upload.key)} is gone")
