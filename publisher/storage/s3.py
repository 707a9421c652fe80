"""S3, and whatever speaks like it: multipart uploads whose every part the store verifies.

Which checksum?  SHA-256, because it is the one that every endpoint verifies: as the signed payload hash (SigV4), and
where the endpoint knows the newer `x-amz-checksum-sha256` (it says so when an upload begins) as the part's checksum
too, which it keeps and tells again in ListParts and HEAD.  CRC32C would be cheaper for the store, but needs another
library and would be a second hash beside the signed one.  An endpoint that does not answer with the newer header gets
`Content-MD5` with each part, which costs one more read, from the page cache.

The blake3 of everything is written beside each object, so that one that is there already is recognised even where
no comparable checksum is told.
"""

import base64
import hashlib
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from time import time
from urllib.parse import quote, unquote_plus, urlencode
from xml.etree.ElementTree import Element

import anyio

from publisher.storage.digest import md5_of
from publisher.storage.http import FileBody, Reply, Request, Wire
from publisher.storage.s3_account import UNRESERVED, Account, Credentials
from publisher.storage.s3_errors import GONE_CODES, explain, is_expired, judge_s3
from publisher.storage.s3_unheard import unheard_uploads
from publisher.storage.s3_xml import NotXml, completion, error_in, parse
from publisher.storage.slices import Sent
from publisher.storage.source import Content, Slice, shown
from publisher.storage.store import GLANCE_PAGES, ObjectStore, Part, StoredObject, Upload, UploadVanished, check_key
from state.errors import Rejected, Transient

MAX_RENEWALS = 2
"""How often one request may renew its credentials."""
BLAKE3_HEADER = "x-amz-meta-blake3"
SHA256, MD5 = "sha256", "md5"
QUOTE = '"'
NO_HEADERS: Mapping[str, str] = {}


class S3Store(ObjectStore):
    """Objects below `prefix` of one bucket.  prefix: without slashes at its ends, possibly empty."""

    def __init__(self, bucket: str, prefix: str, account: Account, wire: Wire) -> None:
        super().__init__(f"s3://{bucket}/{prefix}".rstrip("/"))
        self._prefix = f"{prefix}/" if prefix else ""
        self._account = account
        self._wire = wire

    async def aclose(self) -> None:
        await self._wire.aclose()

    def checksum_of(self, content: Content) -> str:
        hashes = [bytes.fromhex(part) for part in content.parts]
        if content.size <= content.part_bytes:
            return f"sha256:{_base64(hashes[0])}"
        return f"sha256-parts:{_base64(hashlib.sha256(b''.join(hashes)).digest())}"

    async def stat(self, key: str) -> StoredObject | None:
        reply = await self._call("HEAD", key, headers={"x-amz-checksum-mode": "ENABLED"})
        if reply.status in (403, 404):  # S3 answers 403 for what is missing, to those who may not list
            return None
        return _stored(self._accept(reply))

    async def glance(self) -> frozenset[str] | None:
        keys: set[str] = set()
        query = {"encoding-type": "url", "list-type": "2", "prefix": self._prefix}
        for _ in range(GLANCE_PAGES):
            reply = await self._ask("GET", self._account.place.base, query)
            if not reply.ok:  # writing may be allowed where listing is not
                return None
            root = _document(reply)
            keys.update(
                unquote_plus(key.text or "").removeprefix(self._prefix) for key in root.iterfind("Contents/Key")
            )
            if root.findtext("IsTruncated") != "true":
                return frozenset(keys)
            query["continuation-token"] = root.findtext("NextContinuationToken") or ""
        return None

    async def put(self, key: str, content: Content, sent: Sent) -> StoredObject:
        slice_ = content.whole()
        md5 = await anyio.to_thread.run_sync(md5_of, slice_)
        headers = {
            "Content-MD5": _base64(md5),
            "x-amz-checksum-sha256": _base64(bytes.fromhex(slice_.sha256)),
            BLAKE3_HEADER: content.blake3,
        }
        self._accept(await self._call("PUT", key, headers=headers, body=FileBody(slice_, sent)))
        # The store read everything and compared two checksums before it answered: nothing is left to ask.
        return StoredObject(content.size, self.checksum_of(content), content.blake3)

    async def begin(self, key: str, content: Content) -> Upload:
        headers = {"x-amz-checksum-algorithm": "SHA256", BLAKE3_HEADER: content.blake3}
        asked, unheard = time(), False

        async def again() -> None:
            nonlocal unheard
            unheard = True

        reply = self._accept(await self._call("POST", key, {"uploads": ""}, headers=headers, before_retry=again))
        upload_id = _field(reply, "UploadId")
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
            if _is_gone(reply):
                return None
            root = _document(self._accept(reply))
            for element in root.iter("Part"):
                sha256 = base64.b64decode(element.findtext("ChecksumSHA256") or "").hex()
                number, size = int(element.findtext("PartNumber") or 0), int(element.findtext("Size") or 0)
                found[number] = Part(number, size, element.findtext("ETag") or "", sha256)
            following = int(root.findtext("NextPartNumberMarker") or 0)
            if root.findtext("IsTruncated") != "true" or following <= marker:
                return found
            marker = following

    async def put_part(self, upload: Upload, number: int, slice_: Slice, sent: Sent) -> Part:
        if upload.checksum == SHA256:
            headers = {"x-amz-checksum-sha256": _base64(bytes.fromhex(slice_.sha256))}
        else:
            headers = {"Content-MD5": _base64(await anyio.to_thread.run_sync(md5_of, slice_))}
        query = {"partNumber": str(number), "uploadId": upload.id}

        async def still_there() -> None:
            # An endpoint that refuses before it read the body may only be seen to break the connection.
            if _is_gone(await self._call("GET", upload.key, {"max-parts": "1", "uploadId": upload.id})):
                raise _vanished(upload)

        body = FileBody(slice_, sent)
        reply = await self._call("PUT", upload.key, query, headers=headers, body=body, before_retry=still_there)
        if _is_gone(reply):
            raise _vanished(upload)
        return Part(number, slice_.length, self._accept(reply).headers.get("etag", ""), slice_.sha256)

    async def complete(self, upload: Upload, content: Content, parts: Mapping[int, Part]) -> StoredObject:
        checksums = {number: _base64(bytes.fromhex(part.sha256)) for number, part in parts.items()}
        body = completion(parts, checksums if upload.checksum == SHA256 else {})
        headers = {"Content-Type": "application/xml"}
        reply = await self._call("POST", upload.key, {"uploadId": upload.id}, headers=headers, body=body)
        if not _is_gone(reply):
            expected = StoredObject(content.size, self.checksum_of(content), content.blake3)
            if _assembled(self._accept(reply)) in (expected.checksum, _etag_of(parts)):
                return expected
            return self.verified(upload.key, await self.stat(upload.key), content)
        stored = await self.stat(upload.key)
        if stored is None or not self.holds(stored, content):
            await self.abort(upload)
            raise _vanished(upload)
        return stored  # an earlier completion went through, only its reply was lost

    async def clear(self, key: str, asked: float | None) -> None:
        if asked is not None:
            await self._abort_unheard(key, asked)

    async def abort(self, upload: Upload) -> None:
        reply = await self._call("DELETE", upload.key, {"uploadId": upload.id})
        if not _is_gone(reply):
            self._accept(reply)

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
        sha256 = body.slice.sha256 if isinstance(body, FileBody) else hashlib.sha256(body).hexdigest()
        used: list[Credentials] = []

        async def attempt() -> Request:
            if used and before_retry is not None:
                await before_retry()
            used.append(await self._account.current())
            signed = self._account.sign(used[-1], method, url, headers, sha256)
            return Request(method, url, signed, body)

        for _ in range(MAX_RENEWALS):
            reply = await self._wire.call(attempt, judge_s3)
            if not is_expired(method, reply) or not await self._account.renew(used[-1]):
                return reply
        return await self._wire.call(attempt, judge_s3)

    def _accept(self, reply: Reply) -> Reply:
        if reply.ok and not error_in(reply.body).code:
            return reply
        raise explain(reply, self.destination, self._account.place.region)


def _stored(reply: Reply) -> StoredObject:
    """What HEAD tells.  The checksum of an object in parts is a hash of hashes, which only its ETag shows for sure."""
    headers = reply.headers
    in_parts = "-" in headers.get("etag", "")
    value = headers.get("x-amz-checksum-sha256", "").partition("-")[0]
    kind = "sha256-parts" if in_parts else "sha256"
    size = int(headers.get("content-length", "0"))
    return StoredObject(size, f"{kind}:{value}" if value else "", headers.get(BLAKE3_HEADER, ""))


def _assembled(reply: Reply) -> str:
    """The checksum of the whole object, where the reply to its completion tells one."""
    root = _document(reply)
    if value := root.findtext("ChecksumSHA256"):
        return f"sha256-parts:{value.partition('-')[0]}"
    return f"etag:{(root.findtext('ETag') or '').strip(QUOTE)}"


def _etag_of(parts: Mapping[int, Part]) -> str:
    """The ETag of the object that these parts make, where ETags are MD5s; it says which parts, in which order."""
    try:
        tags = [bytes.fromhex(parts[number].tag.strip(QUOTE)) for number in sorted(parts)]
    except ValueError:
        return "unknown"
    return f"etag:{hashlib.md5(b''.join(tags), usedforsecurity=False).hexdigest()}-{len(tags)}"


def _is_gone(reply: Reply) -> bool:
    return error_in(reply.body).code in GONE_CODES


def _document(reply: Reply) -> Element:
    try:
        return parse(reply.body)
    except NotXml:
        raise Transient("the object store answers, but not as S3 does", reason="not s3") from None


def _field(reply: Reply, name: str) -> str:
    text = _document(reply).findtext(name)
    if not text:
        raise Transient(f"the object store's answer lacks {name}", reason="not s3")
    return text


def _vanished(upload: Upload) -> UploadVanished:
    return UploadVanished(f"the upload of {shown(upload.key)} is gone")


def _base64(digest: bytes) -> str:
    return base64.b64encode(digest).decode("ascii")
