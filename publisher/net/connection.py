"""A line to one registry: its connections, how many requests may be under way, and the door of its gate.

One process has one line to a registry, however many publishes it works on: together they send no more than one of them
would alone, wait together while the network is away, and one of them knocks.
"""

from types import TracebackType
from typing import Self

import httpx2

from roar_publisher.net.exchange import Exchange
from roar_publisher.net.gate import Door
from roar_publisher.net.limit import AdaptiveLimit
from roar_publisher.state.descriptors import fitting

MOST_REQUESTS = 64
"""Requests under way at once, at the most; the limit in force adapts below it."""


class Line:
    """Use it as an async context manager."""

    def __init__(
        self, registry: str, *, most_requests: int = MOST_REQUESTS, transport: httpx2.AsyncBaseTransport | None = None
    ) -> None:
        most_requests = fitting(most_requests)
        self.exchange = Exchange(registry, connections=most_requests, transport=transport)
        self.limit = AdaptiveLimit(most_requests)
        self.door = Door()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.exchange.__aexit__(kind, error, trace)
