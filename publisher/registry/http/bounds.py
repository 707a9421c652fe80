"""How large an answer may be, and how it leaves: never more at once than the client takes."""

import json
from collections.abc import Callable, Iterable
from typing import TypeVar

from starlette.types import ASGIApp, Message, Receive, Scope, Send

T = TypeVar("T")

ANSWER_BYTES = 1024 * 1024
"""A list ends with the item that reaches this; the client asks for the rest with another request."""
PIECE_BYTES = 32 * 1024
"""Bytes that are handed to a connection at a time.  The next piece waits until the client has taken most of them."""


def json_bytes(document: object) -> int:
    """How long a document is as JSON, about: letters outside ASCII count as six bytes."""
    return len(json.dumps(document, separators=(",", ":")))


def within(items: Iterable[T], most: int, size: Callable[[T], int]) -> list[T]:
    """The first items, up to the one that brings their sizes to `most`; further ones are not even made."""
    taken = []
    total = 0
    for item in items:
        taken.append(item)
        total += size(item)
        if total >= most:
            break
    return taken


class InPieces:
    """Middleware that hands an answer over in pieces, so that a client which does not read holds one of them."""

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
