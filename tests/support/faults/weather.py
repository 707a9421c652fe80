"""A network and a registry that misbehave: a transport that loses, delays, cuts and forges replies, by a seed."""

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from email.utils import formatdate
from enum import Enum

import anyio
import httpx2

HTML = b"<html><body><h1>Bad gateway</h1></body></html>"


class Fault(Enum):
    """What may happen to one exchange."""

    NONE = "nothing"
    LOST_BEFORE = "the request never arrives"
    LOST_AFTER = "the server does it, the reply is lost"
    SILENT_BEFORE = "the request never arrives, without an error"
    SILENT_AFTER = "the server does it and the reply never comes"
    FAILED_BEFORE = "500, nothing done"
    FAILED_AFTER = "a gateway's 502, after the server did it"
    UNAVAILABLE = "503, with Retry-After"
    UNAVAILABLE_UNTIL = "503, with a date"
    THROTTLED = "429"
    HTML = "200 and a page, nothing done"
    TRUNCATED = "half of the reply's JSON, after the server did it"
    EMPTY = "200 and nothing, after the server did it"


MOST_EXCHANGES = 100_000
"""Of one life. Virtual time need not pass between two, so a client that never waits would run for ever."""


@dataclass
class Weather:
    """How likely each exchange goes wrong, and when the network is away altogether.

    storm: probability of a fault.  kinds: which faults.  slowness: longest delay of a reply, seconds.
    away: (from, to) in virtual seconds, when nothing arrives.
    """

    rng: random.Random
    storm: float = 0.0
    kinds: tuple[Fault, ...] = tuple(fault for fault in Fault if fault is not Fault.NONE)
    slowness: float = 0.0
    away: list[tuple[float, float]] = field(default_factory=list)
    exchanges: int = 0

    def fault(self) -> Fault:
        """What happens to the next exchange."""
        self.exchanges += 1
        assert self.exchanges < MOST_EXCHANGES, "it asks on and on"
        now = anyio.current_time()
        if any(start <= now < end for start, end in self.away):
            return Fault.LOST_BEFORE
        return self.rng.choice(self.kinds) if self.rng.random() < self.storm else Fault.NONE


class FaultyTransport(httpx2.AsyncBaseTransport):
    """Hands requests to the registry's app through a weather.

    now: Unix seconds, for dates.  before, after: called with (path, body) around each delivery to the registry.
    """

    def __init__(
        self,
        registry: httpx2.AsyncBaseTransport,
        weather: Weather,
        *,
        now: Callable[[], float],
        before: Callable[[str, bytes], None],
        after: Callable[[str, int], None],
    ) -> None:
        self._registry = registry
        self._weather = weather
        self._now = now
        self._before = before
        self._after = after

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        fault = self._weather.fault()
        self._before(request.url.path, await request.aread() if request.method == "POST" else b"")
        await anyio.sleep(self._weather.rng.uniform(0, self._weather.slowness))
        match fault:
            case Fault.LOST_BEFORE:
                raise httpx2.ConnectError("the network is away")
            case Fault.SILENT_BEFORE:
                await anyio.sleep(60)
                raise httpx2.ReadTimeout("silence")
            case Fault.FAILED_BEFORE:
                return httpx2.Response(500, content=HTML)
            case Fault.UNAVAILABLE:
                return httpx2.Response(503, headers={"Retry-After": str(self._weather.rng.randint(0, 90))})
            case Fault.UNAVAILABLE_UNTIL:
                until = formatdate(self._now() + self._weather.rng.randint(-10, 90), usegmt=True)
                return httpx2.Response(503, headers={"Retry-After": until})
            case Fault.THROTTLED:
                return httpx2.Response(429, json={"detail": "slow down"})
            case Fault.HTML:
                return httpx2.Response(200, content=HTML)
        response = await self._registry.handle_async_request(request)
        body = await response.aread()
        self._after(request.url.path, response.status_code)
        await anyio.sleep(self._weather.rng.uniform(0, self._weather.slowness))
        match fault:
            case Fault.LOST_AFTER:
                raise httpx2.ReadError("the connection broke")
            case Fault.SILENT_AFTER:
                await anyio.sleep(60)
                raise httpx2.ReadTimeout("silence")
            case Fault.FAILED_AFTER:
                return httpx2.Response(502, content=HTML)
            case Fault.TRUNCATED:
                return httpx2.Response(response.status_code, content=body[: len(body) // 2])
            case Fault.EMPTY:
                return httpx2.Response(response.status_code)
        return httpx2.Response(response.status_code, headers=response.headers, content=body)
