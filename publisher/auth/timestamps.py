"""Signature timestamps: equal requests never get the same second, because most keys would give the same signature.

A registry refuses a signature that it has seen, as a replay (protocol.md §3 rejects old ones; ours refuses used ones).
Two equal requests in one second, such as a poll or a retry, are legitimate. The second one is dated one second back,
which is well within every registry's window.
"""

from collections import deque
from hashlib import blake2b

REMEMBERED_SECONDS = 10
"""How far back a date may be moved, and therefore how long assigned dates are remembered."""


class Timestamps:
    """Assigns timestamps to requests, different ones to equal requests."""

    def __init__(self) -> None:
        self._given: set[tuple[int, bytes]] = set()
        self._order: deque[tuple[int, tuple[int, bytes]]] = deque()  # (when, what was given), oldest first

    def for_request(self, method: str, path: str, body: bytes | None, now: int) -> int:
        """Return the Unix second to sign with: `now`, or the latest one before it that no equal request was given."""
        while self._order and self._order[0][0] < now - REMEMBERED_SECONDS:
            self._given.discard(self._order.popleft()[1])
        request = blake2b(f"{method}\0{path}\0".encode() + (body or b""), digest_size=16).digest()
        second = now
        while (second, request) in self._given:
            second -= 1
        self._given.add((second, request))
        self._order.append((now, (second, request)))
        return second
