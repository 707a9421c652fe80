"""Parses destinations: a bucket of one of the `kinds`, such as `s3://bucket/prefix`, or a folder of this machine.

Objects are stored below the destination or not at all. HTTP libraries, proxies, servers and file systems resolve `..`,
`.` and `//` in different ways, so an object with such a path could be stored in one place and recorded in another. Such
paths are refused: in destinations here, in keys by `store.check_key`.
"""

import os
import re
from ipaddress import IPv6Address
from urllib.parse import unquote_to_bytes, urlsplit

from msgspec import Struct

from roar_publisher.state.errors import UsageProblem
from roar_publisher.storage.kinds import STORES

BUCKET = re.compile(r"[A-Za-z0-9._-]{1,255}")
ACCESS_POINT = re.compile(
    r"arn:aws[a-z-]*:(?:"
    r"s3:[a-z0-9-]*:[0-9]{12}:accesspoint[:/][A-Za-z0-9.-]+"
    r"|s3-outposts:[a-z0-9-]+:[0-9]{12}:outpost[:/][A-Za-z0-9-]+[:/]accesspoint[:/][A-Za-z0-9-]+"
    r")"
)
"""Access points of S3 and of S3 on Outposts, as AWS writes them. One without a region is a multi-region one."""
FORMS = f"{', '.join(store.form for store in STORES.values())}, file:///folder, or an absolute path"
"""The forms of a destination, for the user."""
FOLDER = "file"
WEB = "https"
"""Objects of any web server. They are read, never stored."""
_AUTHORITY = re.compile(r"(?:[A-Za-z0-9.-]{1,253}|\[(?P<ip>[0-9A-Fa-f:.]{2,45})\])(?::(?P<port>[0-9]{1,5}))?")
LARGEST_PORT = 65535


class Destination(Struct, frozen=True):
    """A parsed destination.

    scheme: of `kinds.STORES`, or FOLDER. bucket: its name, or an access point's ARN; empty for a folder.
    path: the prefix without leading and trailing slashes, possibly empty; for a folder its absolute path.
    """

    scheme: str
    bucket: str
    path: str

    @property
    def is_folder(self) -> bool:
        return self.scheme == FOLDER

    @property
    def place(self) -> str:
        """For the address of an object: the bucket, server or folder that has it (`destinations.open_readable`)."""
        return (self.path.rpartition("/")[0] or "/") if self.is_folder else f"{self.scheme}://{self.bucket}"

    @property
    def key(self) -> str:
        """For the address of an object: its key there."""
        return self.path.rpartition("/")[2] if self.is_folder else self.path


def parse_destination(text: str) -> Destination:
    """Parse a destination.

    Raises UsageProblem if `text` is not a destination, and if the object might be stored elsewhere than the text says:
    dot segments, empty segments, control characters. The message does not repeat what may be a credential.
    """
    if any(character < " " or character == "\x7f" for character in text):
        raise _control_character()
    scheme, separator, rest = text.partition("://")
    if text.startswith("/"):
        return _folder(text)
    if separator and scheme == FOLDER:
        return _file_url(text)
    if not separator or scheme not in STORES:
        raise UsageProblem("destinations of this kind are not supported", next_step=FORMS)
    if any(mark in rest for mark in "?#"):
        raise UsageProblem(
            "the destination contains a '?' or a '#', which end the path in a URL",
            next_step="give the path without '?' and '#'",
        )
    if scheme == "s3" and rest.startswith("arn:"):
        return _access_point(rest)
    bucket, _, prefix = rest.partition("/")
    if "@" in bucket:
        raise _user_name()
    if not bucket:
        raise UsageProblem("the destination names no bucket", next_step=FORMS)
    if not BUCKET.fullmatch(bucket) or not bucket.strip("."):
        raise UsageProblem(
            "the destination's bucket is not a bucket name (letters, digits, '.', '_' and '-')",
            next_step=FORMS,
        )
    return Destination(scheme, bucket, _checked(prefix))


def parse_object(url: str) -> Destination:
    """Parse the address of one object, as a lineage records it. The path is its whole name in its bucket or server.

    In a bucket, a name is literal: `?`, `#` and `%` mean nothing. Raises UsageProblem as `parse_destination`, and for
    a web address with a user name.
    """
    _check_utf8(url)
    scheme, _, rest = url.partition("://")
    if scheme == WEB and not any(character <= " " or character == "\x7f" for character in rest):
        authority, _, path = rest.partition("#")[0].partition("/")
        if "@" in authority:
            raise _user_name()
        if not is_authority(authority):
            raise UsageProblem("the address names no server", next_step="https://HOST/PATH")
        name, mark, query = path.partition("?")
        return Destination(WEB, authority, _checked(name) + ("/" if name.endswith("/") else "") + mark + query)
    if scheme not in STORES:
        found = parse_destination(url)
        if found.path == "/":
            raise _no_object()
        return found
    access_point = ACCESS_POINT.match(rest) if scheme == "s3" else None
    bucket = access_point.group() if access_point else rest.partition("/")[0]
    name = rest[len(bucket) + 1 :]
    if not name or name.endswith("/"):
        raise _no_object()
    found = parse_destination(f"{scheme}://{bucket}")
    return Destination(scheme, found.bucket, _checked(name))


def is_authority(text: str) -> bool:
    """Return whether a text is a host, with or without a port, that a web address can name. It has no user name."""
    found = _AUTHORITY.fullmatch(text)
    if found is None or not 0 < int(found["port"] or LARGEST_PORT) <= LARGEST_PORT:
        return False
    try:
        return found["ip"] is None or bool(IPv6Address(found["ip"]))
    except ValueError:
        return False


def _access_point(rest: str) -> Destination:
    found = ACCESS_POINT.match(rest)
    if not found or rest[found.end() :][:1] not in ("", "/"):
        raise UsageProblem(
            "the destination's ARN is not that of an S3 access point",
            next_step="s3://arn:aws:s3:REGION:ACCOUNT:accesspoint/NAME/prefix, or its alias as the bucket",
        )
    return Destination("s3", found.group(), _checked(rest[found.end() :].removeprefix("/")))


def _file_url(text: str) -> Destination:
    _check_utf8(text)
    try:
        parts = urlsplit(text)
    except ValueError:
        raise _not_a_folder() from None
    if parts.netloc not in ("", "localhost") or not parts.path.startswith("/") or parts.query or parts.fragment:
        raise _not_a_folder()
    return _folder(os.fsdecode(unquote_to_bytes(parts.path)))


def _folder(path: str) -> Destination:
    if "\0" in path:
        raise _control_character()
    folder = "/" + _checked(path[1:], utf8=False)
    return Destination(FOLDER, "", folder)


def _checked(path: str, *, utf8: bool = True) -> str:
    """Return a path without its trailing slash. Raise UsageProblem unless every store takes it literally."""
    path = path.removesuffix("/")
    segments = path.split("/") if path else []
    if any(segment in (".", "..") for segment in segments):
        raise UsageProblem(
            "the destination contains a '.' or '..' segment: it could be stored elsewhere than the lineage says",
            next_step="give the path without '.' and '..'",
        )
    if "" in segments:
        raise UsageProblem(
            "the destination contains an empty segment ('//')", next_step="give the path with single slashes"
        )
    _check_utf8(path, errors="strict" if utf8 else "surrogateescape")
    return path


def _check_utf8(text: str, errors: str = "strict") -> None:
    try:
        text.encode(errors=errors)
    except UnicodeEncodeError:
        raise UsageProblem("the destination is not valid UTF-8") from None


def _control_character() -> UsageProblem:
    return UsageProblem("the destination contains a control character (a tab, a line break)", next_step=FORMS)


def _not_a_folder() -> UsageProblem:
    return UsageProblem("the destination is not the address of a folder of this machine", next_step=FORMS)


def _user_name() -> UsageProblem:
    return UsageProblem(
        "the address contains a user name or a password ('@')",
        next_step="give it without; credentials are configured separately",
    )


def _no_object() -> UsageProblem:
    return UsageProblem("the address names no object", next_step="give the address of one object")
