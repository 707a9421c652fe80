"""Parses S3's replies about objects, uploads and parts, and computes the checksums of objects in parts."""

import base64
import hashlib
import re
from collections.abc import Mapping
from urllib.parse import unquote_plus
from xml.etree.ElementTree import Element  # nosec B405  # a type only

from roar_publisher.net.exchange import Reply
from roar_publisher.storage.checksums import in_base64
from roar_publisher.storage.parts import bare_tag
from roar_publisher.storage.readable import StoredObject
from roar_publisher.storage.s3_errors import GONE_CODES, not_s3
from roar_publisher.storage.s3_xml import NotXml, error_in, parse
from roar_publisher.storage.store import Part

BLAKE3_HEADER = "x-amz-meta-blake3"
_NUMBER = re.compile(r"[0-9]{1,19}")


def stored_in(reply: Reply) -> StoredObject:
    """Return the object in a HEAD reply. Only its ETag shows reliably whether its checksum is a hash of part hashes."""
    headers = reply.headers
    in_parts = "-" in headers.get("etag", "")
    value = headers.get("x-amz-checksum-sha256", "").partition("-")[0]
    kind = "sha256-parts" if in_parts else "sha256"
    size = int(headers.get("content-length", "0"))
    checksum = f"{kind}:{value}" if value else ""
    return StoredObject(size, checksum, headers.get(BLAKE3_HEADER, ""), tag_in(headers.get("etag")))


def listed_in(element: Element) -> tuple[str, StoredObject]:
    """Return the key of one object of a URL-encoded listing, with its size and tag."""
    stored = StoredObject(number_in(element, "Size"), "", tag=tag_in(element.findtext("ETag")))
    return unquote_plus(element.findtext("Key") or ""), stored


def tag_in(etag: str | None) -> str:
    """Return the bare ETag of a reply, which may have none."""
    return bare_tag(etag or "")


def part_in(element: Element) -> Part:
    """Return one part of a listing."""
    try:
        sha256 = base64.b64decode(element.findtext("ChecksumSHA256") or "").hex()
    except ValueError:
        raise not_s3() from None
    number, size = number_in(element, "PartNumber"), number_in(element, "Size")
    return Part(number, size, element.findtext("ETag") or "", sha256)


def number_in(element: Element, name: str) -> int:
    """Return the number in an element, 0 if it is missing. Raises Transient if the text is not a number."""
    text = element.findtext(name) or "0"
    if not _NUMBER.fullmatch(text):
        raise not_s3()
    return int(text)


def assembled_in(reply: Reply) -> tuple[str, str]:
    """Return the checksum of the whole object, if the reply to its completion contains one, and its tag."""
    root = document_in(reply)
    tag = tag_in(root.findtext("ETag"))
    value = root.findtext("ChecksumSHA256")
    return f"sha256-parts:{value.partition('-')[0]}" if value else f"etag:{tag}", tag


def sha256_of_parts(parts: Mapping[int, Part]) -> str:
    """Return the checksum of the object with these parts, as a store that keeps SHA-256s computes it."""
    hashes = b"".join(bytes.fromhex(parts[number].sha256) for number in sorted(parts))
    return f"sha256-parts:{in_base64(hashlib.sha256(hashes).digest())}"


def etag_of_parts(parts: Mapping[int, Part]) -> str:
    """Return the ETag of the object with these parts, if ETags are MD5s. It determines the parts and their order."""
    try:
        tags = [bytes.fromhex(bare_tag(parts[number].tag)) for number in sorted(parts)]
    except ValueError:
        return "unknown"
    return f"etag:{hashlib.md5(b''.join(tags), usedforsecurity=False).hexdigest()}-{len(tags)}"


def is_gone(reply: Reply) -> bool:
    """Return whether S3 no longer knows the upload or a part of it."""
    return error_in(reply.body).code in GONE_CODES


def document_in(reply: Reply) -> Element:
    """Return the XML document in a reply. Raises Transient if there is none."""
    try:
        return parse(reply.body)
    except NotXml:
        raise not_s3() from None


def text_in(reply: Reply, name: str) -> str:
    """Return the text of an element. Raises Transient if it is missing."""
    text = document_in(reply).findtext(name)
    if not text:
        raise not_s3(f"does not contain {name}")
    return text
