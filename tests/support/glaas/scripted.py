"""A registry that answers from a script: a transport for calls, one after the other."""

import random
from collections.abc import Callable, Iterable, Sequence

import anyio
import httpx2

from roar_publisher.glaas.client import HEALTH, RegistryClient
from roar_publisher.glaas.replies import Receipt
from roar_publisher.net.connection import RegistryConnection
from roar_publisher.report import Report, Reporter

Answer = httpx2.Response | Exception
NOW = 1_700_000_000.0
MOST_REPORTS = 100_000
"""More than any scenario has: a day of knocking is a quarter of it."""
OK = b'{"hash": "%s"}' % (b"a" * 64)


class Script(httpx2.AsyncBaseTransport):
    """Answers each request with the next of `answers`, then with `default` for ever.

    health: the answer to probes (default: healthy).
    """

    def __init__(
        self,
        answers: Iterable[Answer],
        *,
        default: Callable[[], Answer] = lambda: reply(200, OK),
        health: Callable[[], Answer] = lambda: reply(200, b"{}"),
    ) -> None:
        self._answers = iter(list(answers))
        self._default = default
        self._health = health
        self.requests: list[httpx2.Request] = []
        self.times: list[float] = []
        self.probes = 0

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        if request.url.path.endswith(HEALTH):
            self.probes += 1
            answer: Answer = self._health()
        else:
            await request.aread()
            self.requests.append(request)
            self.times.append(anyio.current_time())
            answer = next(self._answers, None) or self._default()
        if isinstance(answer, Exception):
            raise answer
        return answer


class Calls:
    """A RegistryClient over a script, or over a transport in its place, with what it reported."""

    def __init__(
        self,
        script: Script,
        *,
        patience: float = 300.0,
        most: int = 4,
        report: Reporter | None = None,
        transport: httpx2.AsyncBaseTransport | None = None,
        registry: str = "http://registry.localhost/glaas",
    ) -> None:
        self.script = script
        self.reports: list[Report] = []
        self.stop = anyio.Event()
        self.connection = RegistryConnection(registry, most_requests=most, transport=transport or script)
        self.client = RegistryClient(
            self.connection,
            patience=patience,
            rng=random.Random(3),
            clock=lambda: NOW + anyio.current_time(),
            report=report or self._report,
            stop=self.stop,
        )

    def _report(self, report: Report) -> None:
        assert len(self.reports) < MOST_REPORTS, "it waits again and again, and no time passes"
        self.reports.append(report)


def reply(status: int, body: bytes = b"", **headers: str) -> httpx2.Response:
    """A reply; header names are written with underscores."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return httpx2.Response(status, content=body, headers=named)


def repeated(times: int, make: Callable[[], Answer]) -> Sequence[Answer]:
    """As many fresh answers: a reply can be read only once."""
    return [make() for _ in range(times)]


async def call(calls: Calls) -> Receipt:
    """A request whose reply is a receipt."""
    return await calls.client.call("POST", "/api/v1/thing", b"{}", expect=Receipt)
