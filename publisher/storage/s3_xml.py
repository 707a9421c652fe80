"""Reads and writes S3's XML. Reads documents without a document type only, so no entity is defined or expanded."""

from collections.abc import Mapping
from xml.etree.ElementTree import Element, SubElement, TreeBuilder, tostring  # nosec B405  # see parse()
from xml.parsers import expat

from msgspec import Struct

from roar_publisher.net.documents import one_line
from roar_publisher.storage.store import Part


class NotXml(ValueError):
    """A body that is not XML, or has a document type."""


class S3Error(Struct, frozen=True):
    """An error document. `code` is S3's stable name, empty if the body is not an error document."""

    code: str
    message: str
    region: str

    def __str__(self) -> str:
        """Return the code and the message for the user. Ceph sends no message."""
        return ": ".join(filter(None, (self.code, self.message)))


def parse(body: bytes, root: str = "") -> Element:
    """Return the root element, with names without their namespace.

    root: the name that the root element must have; empty for any. Nothing is read of a document with another one.
    White space may precede the document, with which stores keep a connection alive (`http.LONGEST_WORK_SECONDS`).
    Raises NotXml.
    """
    wanted = root

    def start(name: str, attributes: dict[str, str]) -> None:
        nonlocal wanted
        tag = name.rpartition("}")[2]
        if wanted not in ("", tag):
            raise NotXml(f"the document is <{tag}> and not <{wanted}>")
        wanted = ""  # only the first element is the root
        builder.start(tag, attributes)

    builder = TreeBuilder()
    parser = expat.ParserCreate(namespace_separator="}")
    parser.buffer_text = True
    parser.StartDoctypeDeclHandler = _refuse
    parser.StartElementHandler = start
    parser.EndElementHandler = lambda name: builder.end(name.rpartition("}")[2])
    parser.CharacterDataHandler = builder.data
    try:
        parser.Parse(body.lstrip(), True)
    except (expat.ExpatError, ValueError, LookupError) as error:  # the last two for encodings that it does not have
        raise NotXml(str(error)) from error
    return builder.close()


def error_in(body: bytes) -> S3Error:
    """Return the error document in `body`, or an empty one for anything else, such as a proxy's HTML.

    It is called for every reply, so of a listing with thousands of entries only the first element is read.
    """
    try:
        root = parse(body, "Error")
    except NotXml:
        return S3Error("", "", "")
    message = one_line(root.findtext("Message") or "")
    return S3Error(root.findtext("Code") or "", message, root.findtext("Region") or "")


def completion(parts: Mapping[int, Part], checksums: Mapping[int, str]) -> bytes:
    """Return the body of CompleteMultipartUpload.

    checksums: base64 SHA-256 by part number; empty if the store accepts none.
    """
    root = Element("CompleteMultipartUpload", xmlns="http://s3.amazonaws.com/doc/2006-03-01/")
    for number in sorted(parts):
        part = SubElement(root, "Part")
        if number in checksums:
            SubElement(part, "ChecksumSHA256").text = checksums[number]
        SubElement(part, "ETag").text = parts[number].tag.removeprefix("W/")  # a proxy's mark; see bare_tag
        SubElement(part, "PartNumber").text = str(number)
    document: bytes = tostring(root, encoding="utf-8", xml_declaration=True)
    return document


def _refuse(*declaration: object) -> None:
    raise NotXml("a document type is not accepted")
