"""No request is signed twice with the same second: most keys would give the same signature, and that is a replay.

A registry refuses a signature that it has seen (protocol.md §3 rejects old ones; ours refuses used ones).  Two equal
requests in one second, a poll or a retry, are honest all the same: the second one is dated a second back, which is well
inside of every registry's window.
"""

from collections import deque
from hashlib import blake2b

REMEMBERED_SECONDS = 10
"""How far back a date may be moved, and so how long the dates that were given are remembered."""


class Timestamps:
    """Dates requests, each one differently from an equal one before it."""

    def __init__(self) -> None:
        self._given: set[tuple[int, bytes]] = set()
        self._order: deque[tuple[int, tuple[int, bytes]]] = deque()  # (when, what was given), oldest first

    def for_request(self, method: str, path: str, body: bytes | None, now: int) -> int:
        """The second (Unix) to sign with: `now`, or the latest before it that was given to no equal request."""
        while self._order and self._order[0][0] < now - REMEMBERED_SECONDS:
            self._given.discard(self._order.popleft()[1])
        request = blake2b(f"{method}\0{path}\0".encode() + (body or b""), digest_size=16).digest()
        second = now
        while (second, request) in self._given:
            second -= 1
        self._given.add((second, request))
        self._order.append((now, (second, request)))
        return second
