"""Objects of any web server, read without credentials over https.

A redirect is followed to https alone, and what it leads to is remembered: addresses that are signed for a short time
are looked up again once they are refused.
"""

import re
from urllib.parse import quote, urljoin

from roar_publisher.net.exchange import Reply
from roar_publisher.state.errors import Rejected, Transient
from roar_publisher.state.reasons import Reason
from roar_publisher.storage.addresses import is_authority
from roar_publisher.storage.http import StoreConnection, StoreRequest
from roar_publisher.storage.ranges import CHANGED, PARTIAL, ObjectChanged, range_header, range_in, size_in
from roar_publisher.storage.readable import ReadableStore, StoredObject
from roar_publisher.storage.refusals import may_not_read
from roar_publisher.storage.source import shown

SCHEME = "https://"
MOST_REDIRECTS = 5
REDIRECTS = frozenset({301, 302, 303, 307, 308})
MISSING = frozenset({404, 410})
HIDDEN = frozenset({401, 403})
EXPIRED = frozenset({400})
"""How S3 answers an address that was signed with temporary credentials, once these have expired."""
NO_RANGE = 416
"""Answers the request for the first byte of an empty object, which has none."""
_AFTER_AUTHORITY = re.compile("[/?]")
AS_IN_URLS = "!#$%&'()*+,/:;=?@[]~"
"""Characters that are left as they are: a URL is recorded as it is typed, mostly encoded."""


class HttpsStore(ReadableStore):
    """Objects of one server. origin: `https://` and its authority. A key is a path with its query."""

    def __init__(self, origin: str, connection: StoreConnection) -> None:
        self._origin = origin
        self._connection = connection
        self._places: dict[str, str] = {}  # where redirects led, by key

    async def aclose(self) -> None:
        await self._connection.aclose()

    async def look(self, key: str) -> StoredObject | None:
        """Ask for the first byte: unlike HEAD, that is what a signed address allows."""
        reply = await self._ask(key, {"Range": range_header(0, 1)})
        if reply.status in MISSING:
            return None
        if reply.status in HIDDEN:
            raise may_not_read(self._origin)
        stated = reply.headers.get("content-length", "")
        if reply.status == NO_RANGE:
            size: int | None = 0
        elif reply.status == PARTIAL:
            size = size_in(reply)
        else:
            size = int(stated) if self._accept(reply) and stated.isdigit() and len(stated) < 20 else None
        # Apache states an encoding for any .gz file. A range and its size are of the bytes as they are sent (RFC 9110
        # §14.4). Only a whole reply may have been compressed for this request alone.
        encoded = reply.headers.get("content-encoding", "identity") != "identity"
        if size is None or (encoded and reply.status != PARTIAL):
            raise Rejected(f"{shown(self._origin)} does not say how large the object is")
        return StoredObject(size, "", tag=_tag_in(reply))

    async def read(self, key: str, offset: int, length: int, stored: StoredObject) -> bytes:
        unchanged = {"If-Match": stored.tag} if stored.tag.startswith('"') else {}
        reply = await self._ask(key, {"Range": range_header(offset, length), **unchanged})
        if reply.status in CHANGED or (reply.ok and _tag_in(reply) != stored.tag):
            raise ObjectChanged(self._origin)
        return range_in(self._accept(reply), self._origin, offset, length, stored.size)

    async def _ask(self, key: str, headers: dict[str, str]) -> Reply:
        remembered = self._places.get(key)
        url = remembered or quote(f"{self._origin}/{key}", safe=AS_IN_URLS)
        reply = await self._get(url, headers)
        if remembered and reply.status in HIDDEN | MISSING | EXPIRED:
            self._places.pop(key, None)  # another read may have been refused first
            return await self._ask(key, headers)
        for _ in range(MOST_REDIRECTS):
            if reply.status not in REDIRECTS:
                break
            url = _redirected(url, reply)
            if not url.startswith(SCHEME) or not is_authority(_AFTER_AUTHORITY.split(url.removeprefix(SCHEME))[0]):
                raise Rejected(f"{shown(self._origin)} redirects to an address that is not read")
            self._places[key] = url
            reply = await self._get(url, headers)
        return reply

    async def _get(self, url: str, headers: dict[str, str]) -> Reply:
        if "/" not in url.removeprefix(SCHEME):
            url = f"{url}/"

        async def prepare() -> StoreRequest:
            return StoreRequest("GET", url, headers)

        return await self._connection.call(prepare)

    def _accept(self, reply: Reply) -> Reply:
        if reply.ok:
            return reply
        if 300 <= reply.status < 500:
            raise Rejected(f"{shown(self._origin)} refused: HTTP {reply.status}")
        raise Transient(f"{shown(self._origin)} fails: HTTP {reply.status}", reason=Reason.SERVER_FAILING)


def _redirected(url: str, reply: Reply) -> str:
    """Return where a reply leads; empty if that is no address."""
    try:
        return quote(urljoin(url, reply.headers.get("location", "")).partition("#")[0], safe=AS_IN_URLS)
    except ValueError:
        return ""


def _tag_in(reply: Reply) -> str:
    """Return the strong ETag with its quotes, or else the time of the last write, or nothing."""
    tag = reply.headers.get("etag", "")
    return tag if tag.startswith('"') else reply.headers.get("last-modified", "")
