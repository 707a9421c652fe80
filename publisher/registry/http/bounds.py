"""Bounds on the size of replies, and on how much of one is buffered for a client."""

import json
from collections.abc import Callable, Iterable
from typing import TypeVar

from starlette.types import ASGIApp, Message, Receive, Scope, Send

T = TypeVar("T")

REPLY_BYTES = 1024 * 1024
"""A list ends with the item that reaches this size. The client requests the rest separately."""
PIECE_BYTES = 32 * 1024
"""Bytes that are passed to a connection at a time. The next piece waits until the client has taken most of them."""


def json_bytes(document: object) -> int:
    """Return the approximate size of a document as JSON. Non-ASCII characters count as six bytes."""
    return len(json.dumps(document, separators=(",", ":")))


def up_to_size(items: Iterable[T], maximum: int, size: Callable[[T], int]) -> list[T]:
    """Return the first items, up to and with the one by which their sizes reach `maximum` together.

    Later items are not generated.
    """
    taken = []
    total = 0
    for item in items:
        taken.append(item)
        total += size(item)
        if total >= maximum:
            break
    return taken


class ChunkedReplies:
    """ASGI middleware that sends replies in pieces, so a client that does not read ties up at most one of them."""

    def __init__(self, app: ASGIApp, piece_bytes: int = PIECE_BYTES) -> None:
        self._app = app
        self._piece_bytes = piece_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_in_pieces(message: Message) -> None:
            body: bytes = message.get("body", b"")
            starts = range(0, len(body), self._piece_bytes)
            for start in starts[:-1]:
                piece = body[start : start + self._piece_bytes]
                await send({"type": "http.response.body", "body": piece, "more_body": True})
            await send({**message, "body": body[starts[-1] :]} if starts else message)

        await self._app(scope, receive, send_in_pieces)
