"""Reading a range of an object over HTTP, and what may be wrong with the reply."""

import re

from roar_publisher.net.exchange import Reply
from roar_publisher.state.errors import Rejected
from roar_publisher.state.reasons import Reason
from roar_publisher.storage.source import shown

RANGE_BYTES = 4 * 1024 * 1024
"""Bytes requested at once: fewer and larger requests cost less. Each reply is held in memory, and what a store sends
beyond it is not read to its end."""
WHOLE, PARTIAL = 200, 206
CHANGED = frozenset({404, 410, 412, 416})
"""Statuses for an object that was there a moment ago: gone, replaced, or shorter."""
_CONTENT_RANGE = re.compile(r"bytes (\d{1,19})-(\d{1,19})/(\d{1,19})")


class ObjectChanged(Rejected):
    """An object is gone or was replaced while it was read. Reading from its beginning may succeed."""

    def __init__(self, where: str) -> None:
        super().__init__(f"{shown(where)} was changed or deleted meanwhile", reason=Reason.STORED_OBJECT_DIFFERS)


def range_header(offset: int, length: int) -> str:
    """Return the value of the `Range` header."""
    return f"bytes={offset}-{offset + length - 1}"


def size_in(reply: Reply) -> int | None:
    """Return the size of the whole object that a reply with a range states, or None if it states none."""
    found = _CONTENT_RANGE.fullmatch(reply.headers.get("content-range", ""))
    return int(found[3]) if found else None


def range_in(reply: Reply, where: str, offset: int, length: int, size: int) -> bytes:
    """Return the body of a successful reply, if it is exactly this range of an object of `size` bytes.

    Raises Rejected otherwise: an intermediary or a hostile store may answer with any other bytes.
    """
    stated = reply.headers.get("content-range", "")
    if reply.status == PARTIAL or (reply.status == WHOLE and stated):  # rclone answers 200 to a range
        found = _CONTENT_RANGE.fullmatch(stated)
        right = found is not None and tuple(map(int, found.groups())) == (offset, offset + length - 1, size)
    else:
        right = reply.status == WHOLE and (offset, length) == (0, size)
    if not right or len(reply.body) != length:
        raise Rejected(f"{shown(where)}: the store did not send the range that was asked for")
    return reply.body
