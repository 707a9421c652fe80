"""A connection to one registry: its HTTP connections, its request limit and its gate state.

The daemon has one per registry, shared by all its publishes. Together they send no more requests than one publish would
alone. While the network is away they wait together, and one of them probes.
"""

from typing import Self

import httpx2

from roar_publisher.net.exchange import Exchange
from roar_publisher.net.gate import GateState
from roar_publisher.net.limit import AdaptiveLimit
from roar_publisher.net.route import Route
from roar_publisher.state.descriptors import connections_that_fit
from roar_publisher.state.limits import MOST_REQUESTS


class RegistryConnection:
    """A connection to one registry, as an async context manager."""

    def __init__(
        self,
        registry: str,
        *,
        most_requests: int = MOST_REQUESTS,
        transport: httpx2.AsyncBaseTransport | None = None,
        route: Route | None = None,
    ) -> None:
        most_requests = connections_that_fit(most_requests)
        self.exchange = Exchange(registry, connections=most_requests, transport=transport, route=route)
        self.limit = AdaptiveLimit(most_requests)
        self.gate_state = GateState()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.exchange.aclose()
