"""An exchange uses the HTTP library's transports alone: what it sends, and what it does not take part in."""

import anyio
import httpx2
import pytest

from roar_publisher import __version__
from roar_publisher.net.exchange import CONNECT_SECONDS, IDLE_SECONDS, PROBE_CONNECT_SECONDS, Exchange
from roar_publisher.net.route import Route

URL = "http://127.0.0.1:9"


class Kept(httpx2.AsyncBaseTransport):
    """Keeps the requests, and answers each with a cookie and 200."""

    def __init__(self) -> None:
        self.requests: list[httpx2.Request] = []
        self.closed = 0

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        self.requests.append(request)
        return httpx2.Response(200, headers={"Set-Cookie": "a=b"}, content=b"{}")

    async def aclose(self) -> None:
        self.closed += 1


def test_a_request_passes_no_client_of_the_library(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(httpx2, "AsyncClient", None)
    sent = Kept()

    async def scenario() -> None:
        async with Exchange(URL, connections=1, transport=sent) as exchange:
            for encoding in (None, "gzip"):
                await exchange.send("POST", "/a?b=c", b"[1]", "Bearer token", encoding=encoding)
            await exchange.probe("/health")

    anyio.run(scenario)
    plain, packed, probe = sent.requests
    usual = {
        "host": "127.0.0.1:9",
        "x-roar-version": "0.4.7",
        "user-agent": f"roar-publisher/{__version__}",
        "accept": "*/*",
        "accept-encoding": "gzip, deflate",
        "connection": "keep-alive",
    }
    body = {"content-type": "application/json", "content-length": "3", "authorization": "Bearer token"}
    assert dict(plain.headers) == usual | body
    assert dict(packed.headers) == usual | body | {"content-encoding": "gzip"}
    assert dict(probe.headers) == usual
    assert str(plain.url) == f"{URL}/a?b=c"
    assert [request.extensions["timeout"] for request in sent.requests] == [
        {"connect": CONNECT_SECONDS},
        {"connect": CONNECT_SECONDS},
        {"connect": PROBE_CONNECT_SECONDS},
    ]
    assert sent.closed == 2


def test_connections_are_kept_for_requests_and_not_for_probes(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[httpx2.Limits] = []
    monkeypatch.setattr(Route, "transport", lambda self, limits: asked.append(limits) or Kept())  # type: ignore[func-returns-value]

    async def scenario() -> None:
        async with Exchange(URL, connections=2) as exchange:
            await exchange.send("GET", "/", None, None)
            await exchange.send("GET", "/", None, None)
            await exchange.probe("/")

    anyio.run(scenario)
    assert [limits.max_keepalive_connections for limits in asked] == [1, 0]
    assert {limits.keepalive_expiry for limits in asked} == {IDLE_SECONDS}
