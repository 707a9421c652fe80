"""A network in memory below the HTTP library: its parser reads real bytes, and hours of waiting take no time."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import anyio
import httpcore2
import httpx2

from roar_publisher.net.route import Route
from roar_publisher.net.transport import SingleConnectionTransport

MOST_REQUESTS = 3_000
"""More in one case is an endless loop."""


class Endless(BaseException):
    """The program sends one request after the other. Not an Exception: nothing may take it for a network's error."""


@dataclass(frozen=True)
class Request:
    """What came over the wire. Header names are lower case."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Reaction:
    """Bytes to send back; then the connection is kept open, closed, or silent for ever."""

    data: bytes | Iterator[bytes]
    then: str = "open"


@dataclass
class Network:
    """Every connection of one case.  serve: answers a request.  hosts: those that were connected to."""

    serve: Callable[[Request], Reaction]
    hosts: set[str] = field(default_factory=set)
    requests: list[Request] = field(default_factory=list)

    def transport(self, route: Route, idle_seconds: float) -> httpx2.AsyncBaseTransport:
        """What `Route.transport` returns instead of a transport to the real network."""
        return SingleConnectionTransport(route._tls, idle_seconds=idle_seconds, network=_Backend(self))

    def answer(self, request: Request) -> Reaction:
        self.requests.append(request)
        if len(self.requests) > MOST_REQUESTS:
            raise Endless(f"more than {MOST_REQUESTS} requests, the last one {request.method} {request.path}")
        return self.serve(request)


class _Backend(httpcore2.AsyncNetworkBackend):
    def __init__(self, network: Network) -> None:
        self._network = network

    async def connect_tcp(self, host: str, port: int, *args: Any, **options: Any) -> httpcore2.AsyncNetworkStream:
        await anyio.lowlevel.checkpoint()
        self._network.hosts.add(f"{host}:{port}")
        return _Stream(self._network)

    async def connect_unix_socket(self, path: str, *args: Any, **options: Any) -> httpcore2.AsyncNetworkStream:
        raise AssertionError("no registry has a unix socket")

    async def sleep(self, seconds: float) -> None:
        await anyio.sleep(seconds)


class _Stream(httpcore2.AsyncNetworkStream):
    def __init__(self, network: Network) -> None:
        self._network = network
        self._received = bytearray()
        self._reaction: Reaction | None = None
        self._chunks: Iterator[bytes] = iter(())

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ASYNC109  # the library's
        await anyio.lowlevel.checkpoint()
        self._received += buffer
        if (request := _whole(self._received)) is not None:
            self._received.clear()
            self._reaction = self._network.answer(request)
            self._chunks = _in_pieces(self._reaction.data)

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ASYNC109  # the library's
        await anyio.lowlevel.checkpoint()
        for chunk in self._chunks:
            return chunk
        if self._reaction is not None and self._reaction.then == "close":
            return b""
        await anyio.sleep(60 if timeout is None else timeout)
        raise httpcore2.ReadTimeout("nothing came")

    async def aclose(self) -> None:
        self._chunks = iter(())

    async def start_tls(self, *args: Any, **options: Any) -> httpcore2.AsyncNetworkStream:
        raise AssertionError("the registry of these tests speaks plain http")

    def get_extra_info(self, info: str) -> Any:
        return None


def _whole(received: bytearray) -> Request | None:
    """The request, once all of it is there."""
    head, end, body = bytes(received).partition(b"\r\n\r\n")
    if not end:
        return None
    first, *lines = head.decode("latin-1").split("\r\n")
    headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    if len(body) < int(headers.get("content-length", "0")):
        return None
    method, path, _ = first.split(" ")
    return Request(method, path, headers, body)


def _in_pieces(data: bytes | Iterable[bytes]) -> Iterator[bytes]:
    for chunk in [data] if isinstance(data, bytes) else data:
        for start in range(0, len(chunk), 65_536):
            yield chunk[start : start + 65_536]
