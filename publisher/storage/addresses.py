"""Parses destinations: `s3://bucket/prefix`, `gs://bucket/prefix`, `file:///folder` or an absolute path.

Objects are stored below the destination or not at all. HTTP libraries, proxies, servers and file systems resolve `..`,
`.` and `//` in different ways, so an object with such a path could be stored in one place and recorded in another. Such
paths are refused: in destinations here, in keys by `store.check_key`.
"""

import os
import re
from dataclasses import dataclass
from enum import Enum
from urllib.parse import unquote_to_bytes, urlsplit

from roar_publisher.state.errors import UsageProblem

BUCKET = re.compile(r"[A-Za-z0-9._-]{1,255}")
ACCESS_POINT = re.compile(
    r"arn:aws[a-z-]*:(?:"
    r"s3:[a-z0-9-]*:[0-9]{12}:accesspoint[:/][A-Za-z0-9.-]+"
    r"|s3-outposts:[a-z0-9-]+:[0-9]{12}:outpost[:/][A-Za-z0-9-]+[:/]accesspoint[:/][A-Za-z0-9-]+"
    r")"
)
"""Access points of S3 and of S3 on Outposts, as AWS writes them. One without a region is a multi-region one."""
KNOWN = "s3://bucket/prefix, gs://bucket/prefix, file:///folder, or an absolute path"


class Kind(Enum):
    """The kind of store of a destination."""

    S3 = "s3"
    GCS = "gs"
    FOLDER = "file"


@dataclass(frozen=True, slots=True)
class Address:
    """A parsed destination.

    bucket: its name, or an access point's ARN; empty for a folder.
    path: the prefix without leading and trailing slashes, possibly empty; for a folder its absolute path.
    """

    kind: Kind
    bucket: str
    path: str


def parse_address(text: str) -> Address:
    """Parse a destination.

    Raises UsageProblem if `text` is not a destination, and if the object might be stored elsewhere than the text says:
    dot segments, empty segments, control characters. The message does not repeat what may be a credential.
    """
    if any(character < " " or character == "\x7f" for character in text):
        raise UsageProblem("the destination holds a control character (a tab, a line break)", next_step=KNOWN)
    scheme, separator, rest = text.partition("://")
    if text.startswith("/"):
        return _folder(text)
    if separator and scheme == "file":
        return _file_url(text)
    if not separator or scheme not in ("s3", "gs"):
        raise _unknown()
    if any(mark in rest for mark in "?#"):
        raise UsageProblem(
            "the destination holds a '?' or a '#', which end the path in a URL",
            next_step="give the path without '?' and '#'",
        )
    if scheme == "s3" and rest.startswith("arn:"):
        return _access_point(rest)
    bucket, _, prefix = rest.partition("/")
    if "@" in bucket or not bucket:
        raise _unknown()
    if not BUCKET.fullmatch(bucket) or not bucket.strip("."):
        raise UsageProblem(
            "the destination's bucket is no bucket's name: letters, digits, '.', '_' and '-' make one", next_step=KNOWN
        )
    return Address(Kind(scheme), bucket, _checked(prefix))


def _access_point(rest: str) -> Address:
    found = ACCESS_POINT.match(rest)
    if not found or rest[found.end() :][:1] not in ("", "/"):
        raise UsageProblem(
            "the destination's ARN is none of an S3 access point",
            next_step="s3://arn:aws:s3:REGION:ACCOUNT:accesspoint/NAME/prefix, or its alias as the bucket",
        )
    return Address(Kind.S3, found.group(), _checked(rest[found.end() :].removeprefix("/")))


def _file_url(text: str) -> Address:
    try:
        parts = urlsplit(text)
    except ValueError:
        raise _unknown() from None
    if parts.netloc not in ("", "localhost") or not parts.path.startswith("/") or parts.query or parts.fragment:
        raise _unknown()
    return _folder(os.fsdecode(unquote_to_bytes(parts.path)))


def _folder(path: str) -> Address:
    if "\0" in path:
        raise _unknown()
    folder = "/" + _checked(path[1:], utf8=False)
    return Address(Kind.FOLDER, "", folder)


def _checked(path: str, *, utf8: bool = True) -> str:
    """Return a path without its trailing slash. Raise UsageProblem unless every store takes it literally."""
    path = path.removesuffix("/")
    segments = path.split("/") if path else []
    if any(segment in (".", "..") for segment in segments):
        raise UsageProblem(
            "the destination holds a '.' or '..' segment: what is stored could end up elsewhere than the lineage says",
            next_step="give the path without '.' and '..'",
        )
    if "" in segments:
        raise UsageProblem(
            "the destination holds an empty segment ('//')", next_step="give the path with single slashes"
        )
    try:
        path.encode() if utf8 else os.fsencode(path)
    except UnicodeEncodeError:
        raise UsageProblem("the destination is not valid UTF-8") from None
    return path


def _unknown() -> UsageProblem:
    return UsageProblem("this kind of destination is not supported", next_step=KNOWN)
