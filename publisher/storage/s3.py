"""S3 and compatible stores: multipart uploads in which the store verifies every part.

The checksum is SHA-256, because nearly every endpoint verifies it as the signed payload hash (SigV4). Endpoints that
support the newer `x-amz-checksum-sha256`, as their reply to the start of an upload says, also use it as the part's
checksum, store it, and return it in ListParts and HEAD. A CRC32 would be cheaper, but it would be a second hash beside
the signed one. Other endpoints also get `Content-MD5` with each part, because some (`rclone serve s3`) compare nothing
else.

The blake3 of the whole object is stored in its metadata, so that an existing object is recognised even if the store
returns no comparable checksum.
"""

from collections.abc import Collection, Mapping
from contextlib import suppress
from time import time

from blake3 import blake3

from roar_publisher.net.exchange import Reply
from roar_publisher.state.errors import NeedsUser, PublisherError, Rejected
from roar_publisher.storage.checksums import in_base64, read_to_send
from roar_publisher.storage.http import FileBody, StoreConnection
from roar_publisher.storage.ranges import CHANGED, PARTIAL, ObjectChanged, range_header, range_in
from roar_publisher.storage.readable import StoredObject
from roar_publisher.storage.refusals import may_not_read, no_bucket_to_read
from roar_publisher.storage.s3_account import AwsAccount
from roar_publisher.storage.s3_errors import NO_BUCKET, is_success
from roar_publisher.storage.s3_orphans import orphaned_uploads
from roar_publisher.storage.s3_replies import (
    BLAKE3_HEADER,
    assembled_in,
    document_in,
    etag_of_parts,
    is_gone,
    listed_in,
    number_in,
    part_in,
    sha256_of_parts,
    stored_in,
    tag_in,
    text_in,
)
from roar_publisher.storage.s3_requests import ALGORITHM_HEADER, MODE_HEADER, SHA256_HEADER, S3Requests, escaped
from roar_publisher.storage.s3_xml import completion, error_in
from roar_publisher.storage.slices import OnSent
from roar_publisher.storage.source import Content, Slice, shown
from roar_publisher.storage.store import ObjectStore, Part, PartsNotListed, Upload, UploadVanished, pages

LARGEST_COPY_BYTES = 5 * 1024**3
"""The largest object that S3 copies in one request."""
SHA256, MD5 = "sha256", "md5"
NOT_LISTED = frozenset({403, 404, 405, 501})
"""Statuses with which S3-compatible stores refuse to list the parts of an upload."""
READ_BACK_BYTES = 1024 * 1024
"""Bytes requested at once to read an object back. Each reply is held in memory."""


class S3Store(ObjectStore):
    """Objects below `prefix` of one bucket. prefix: without leading and trailing slashes, possibly empty."""

    def __init__(self, bucket: str, prefix: str, account: AwsAccount, connection: StoreConnection) -> None:
        super().__init__(f"s3://{bucket}/{prefix}".rstrip("/"), prefix)
        # As the source of a copy, an access point's objects have different names.
        self._source = f"{bucket}/object" if bucket.startswith("arn:") else bucket
        self._has_bucket = False  # whether it is known that the bucket exists
        self._budget = connection.budget
        self._requests = S3Requests(self.destination, account, connection)
        self._ask, self._accept = self._requests.ask, self._requests.accept

    async def aclose(self) -> None:
        await self._requests.aclose()

    async def stat(self, key: str) -> StoredObject | None:
        reply = await self._head(key)
        if reply.status in (403, 404):  # S3 answers 403 for a missing object if listing is not allowed
            return None
        return stored_in(self._accept(reply))

    async def look(self, key: str) -> StoredObject | None:
        reply = await self._head(key)
        if reply.status == 403:
            raise await self._why_hidden(key)
        if reply.status == 404:
            await self._require_bucket(key)
            return None
        if "content-length" not in self._accept(reply).headers:
            raise Rejected(f"{shown(self.url(key))}: the store does not say how large it is")
        return stored_in(reply)

    async def _require_bucket(self, key: str) -> None:
        """Raise Rejected if not the object is missing but its bucket: only the reply to a GET says it. Asks once."""
        if not self._has_bucket:
            reply = await self._ask("GET", self.name(key), headers={"Range": range_header(0, 1)})
            if error_in(reply.body).code == NO_BUCKET:
                raise no_bucket_to_read(self.destination, "AWS_ENDPOINT_URL")
            self._has_bucket = True

    async def _why_hidden(self, key: str) -> PublisherError:
        """Return why the store refuses to show an object: only the reply to a GET says it."""
        reply = await self._ask("GET", self.name(key), headers={"Range": range_header(0, 1)})
        return may_not_read(self.url(key)) if reply.ok else self._requests.explain_unread(reply, self.url(key))

    def proves(self, stored: StoredObject, content: Content, tag: str) -> bool:
        """Return whether it is the object that was stored and verified: the ETag is a checksum that S3 made of it."""
        return tag != "" and (stored.size, stored.tag) == (content.size, tag)

    async def read(self, key: str, offset: int, length: int, stored: StoredObject) -> bytes:
        headers = {"Range": range_header(offset, length)} | ({"If-Match": f'"{stored.tag}"'} if stored.tag else {})
        reply = await self._ask("GET", self.name(key), headers=headers)
        if reply.status in CHANGED or (reply.ok and tag_in(reply.headers.get("etag")) != stored.tag):
            raise ObjectChanged(self.url(key))
        if not reply.ok:  # the body of a success is not examined for an S3 error, because it may be any XML
            raise self._requests.explain_unread(reply, self.url(key))
        return range_in(reply, self.url(key), offset, length, stored.size)

    async def is_lost(self, key: str, content: Content, tag: str) -> bool:
        reply = await self._head(key)
        if reply.status in (403, 404):
            return reply.status == 404
        return not self.is_unchanged(stored_in(self._accept(reply)), content, tag)

    async def list_objects(self, prefix: str, wanted: Collection[str]) -> Mapping[str, StoredObject] | None:
        found: dict[str, StoredObject] = {}
        query = {"encoding-type": "url", "list-type": "2", "prefix": self.prefix + prefix}
        for _ in pages(len(wanted)):
            reply = await self._ask("GET", query=query)
            if not reply.ok:  # listing may not be allowed
                return None
            root = document_in(reply)
            listed = map(listed_in, root.iterfind("Contents"))
            keys = ((name.removeprefix(self.prefix), stored) for name, stored in listed)
            found.update((key, stored) for key, stored in keys if key in wanted)
            if root.findtext("IsTruncated") != "true":
                return found
            query["continuation-token"] = root.findtext("NextContinuationToken") or ""
        return None

    async def put(self, key: str, content: Content, sent: OnSent) -> StoredObject:
        slice_ = content.whole()
        async with read_to_send(slice_, self._budget, md5=True) as (sums, held):
            sha256 = in_base64(sums.sha256)
            headers = {"Content-MD5": in_base64(sums.md5), SHA256_HEADER: sha256, BLAKE3_HEADER: content.blake3}
            body = FileBody(slice_, sent, sha256=sums.sha256, held=held)
            reply = self._accept(await self._ask("PUT", self.name(key), headers=headers, body=body))
        tag = tag_in(reply.headers.get("etag"))
        if not self._requests.sends_sha256:
            if tag != sums.md5.hex():
                await self._read_back(key, content)
            return StoredObject(content.size, "", content.blake3, tag)
        # The store compared two checksums of the whole body before it answered, so no further check is needed.
        return StoredObject(content.size, f"sha256:{sha256}", content.blake3, tag)

    async def copy(self, source: str, key: str, content: Content) -> StoredObject | None:
        if content.size > LARGEST_COPY_BYTES:
            return None
        path = escaped(f"{self._source}/{self.name(source)}")
        reply = await self._ask("PUT", self.name(key), headers={"x-amz-copy-source": path})
        if not is_success(reply):  # writing may be allowed without reading
            return None
        stored = await self.stat(key)  # with the metadata of its source, including the blake3
        return stored if self.matches(stored, content) else None

    async def begin(self, key: str, content: Content) -> Upload:
        headers = {ALGORITHM_HEADER: "SHA256", BLAKE3_HEADER: content.blake3}
        requested_at, was_repeated = time(), False

        async def again() -> None:
            nonlocal was_repeated
            was_repeated = True

        reply = self._accept(
            await self._ask("POST", self.name(key), {"uploads": ""}, headers=headers, before_retry=again)
        )
        upload_id = text_in(reply, "UploadId")
        known = reply.headers.get(ALGORITHM_HEADER, "").upper() == "SHA256"
        if was_repeated:
            await self._abort_orphans(key, requested_at, known=upload_id)
        return Upload(key, upload_id, content.size, content.part_bytes, SHA256 if known else MD5)

    async def parts(self, upload: Upload) -> dict[int, Part] | None:
        found: dict[int, Part] = {}
        marker = 0
        while True:
            query = {"uploadId": upload.id} | ({"part-number-marker": str(marker)} if marker else {})
            reply = await self._ask("GET", self.name(upload.key), query)
            if is_gone(reply):
                return None
            if reply.status in NOT_LISTED and error_in(reply.body).code:
                raise PartsNotListed(f"{self.destination}: the store does not list the parts of an upload")
            root = document_in(self._accept(reply))
            found.update((part.number, part) for part in map(part_in, root.iter("Part")))
            following = number_in(root, "NextPartNumberMarker")
            if root.findtext("IsTruncated") != "true" or following <= marker:
                return found
            marker = following

    async def put_part(self, upload: Upload, number: int, slice_: Slice, sent: OnSent) -> Part:
        with_md5 = upload.checksum == MD5 or not self._requests.sends_sha256
        query = {"partNumber": str(number), "uploadId": upload.id}

        async def still_there() -> None:
            # If an endpoint refuses before it has read the body, the client may only see a broken connection.
            if is_gone(await self._ask("GET", self.name(upload.key), {"max-parts": "1", "uploadId": upload.id})):
                raise _vanished(upload)

        async with read_to_send(slice_, self._budget, md5=with_md5) as (sums, held):
            headers = {"Content-MD5": in_base64(sums.md5)} if with_md5 else {}
            if upload.checksum == SHA256:
                headers[SHA256_HEADER] = in_base64(sums.sha256)
            body = FileBody(slice_, sent, sha256=sums.sha256, held=held)
            reply = await self._ask(
                "PUT", self.name(upload.key), query, headers=headers, body=body, before_retry=still_there
            )
        if is_gone(reply):
            raise _vanished(upload)
        return Part(number, slice_.length, self._accept(reply).headers.get("etag", ""), sums.sha256.hex())

    async def complete(self, upload: Upload, content: Content, parts: Mapping[int, Part]) -> StoredObject:
        checksums = {number: in_base64(bytes.fromhex(part.sha256)) for number, part in parts.items()}
        known = upload.checksum == SHA256 and self._requests.sends_sha256
        body = completion(parts, checksums if known else {})
        headers = {"Content-Type": "application/xml"}
        reply = await self._ask("POST", self.name(upload.key), {"uploadId": upload.id}, headers=headers, body=body)
        expected = sha256_of_parts(parts)
        if not is_gone(reply):
            checksum, tag = assembled_in(self._accept(reply))
            if checksum in (expected, etag_of_parts(parts)):
                return StoredObject(content.size, expected, content.blake3, tag)
            head = await self._head(upload.key)
            if head.status == 403:  # writing may be allowed without looking: the checks of each part have to suffice
                return StoredObject(content.size, "", content.blake3, tag)
            found = None if head.status == 404 else stored_in(self._accept(head))
            whole = self.verified(upload.key, found, content, expected)
            if not known and not whole.checksum:
                await self._read_back(upload.key, content)
            return whole
        stored = await self.stat(upload.key)
        if stored is None or not self.matches(stored, content, expected):
            await self.abort(upload)
            raise _vanished(upload)
        return stored  # an earlier completion succeeded and only its reply was lost

    async def abort_orphans(self, key: str, requested_at: float | None) -> None:
        if requested_at is not None:
            await self._abort_orphans(key, requested_at)

    async def abort(self, upload: Upload) -> None:
        reply = await self._ask("DELETE", self.name(upload.key), {"uploadId": upload.id})
        if not is_gone(reply):
            self._accept(reply)

    async def _head(self, key: str) -> Reply:
        return await self._ask("HEAD", self.name(key), headers={MODE_HEADER: "ENABLED"})

    async def _abort_orphans(self, key: str, requested_at: float, known: str = "") -> None:
        """Abort uploads of `key` that began since `requested_at` and whose names were not received (`s3_orphans`)."""
        name = self.name(key)
        listing = await self._ask("GET", query={"prefix": name, "uploads": ""})
        for upload_id in orphaned_uploads(listing, name, time() - requested_at):
            upload = Upload(key, upload_id, size=0, part_bytes=0)
            with suppress(Rejected, NeedsUser):  # uploading may be allowed without listing or aborting
                if upload_id != known and await self.parts(upload) == {}:
                    await self.abort(upload)

    async def _read_back(self, key: str, content: Content) -> None:
        """Raise Rejected unless the whole object, read back, is this content.

        For a store that returns no comparable checksum. If reading or ranges are not allowed, the Content-MD5 that was
        sent has to suffice.
        """
        digest = blake3()
        for offset in range(0, content.size, READ_BACK_BYTES):
            last = min(offset + READ_BACK_BYTES, content.size) - 1
            reply = await self._ask("GET", self.name(key), headers={"Range": f"bytes={offset}-{last}"})
            if reply.status != PARTIAL and (reply.ok or reply.status == 403):
                return
            digest.update(self._accept(reply).body)
        found = StoredObject(content.size, f"blake3:{digest.hexdigest()}")
        self.verified(key, found, content, f"blake3:{content.blake3}")


def _vanished(upload: Upload) -> UploadVanished:
    return UploadVanished(f"the upload of {shown(upload.key)} is gone")
