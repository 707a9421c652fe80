"""A transport of the HTTP library for one connection to one host, without the library's pool.

`Exchange` chooses the connection of each request itself. A pool of one would inspect its connection twice per request,
and wrap each request and each reply once more: a tenth of the instructions of a small request.
"""

import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager

import anyio
import httpcore2
import httpx2


class SingleConnectionTransport(httpx2.AsyncBaseTransport):
    """Keeps one connection. A request that finds it in use gets another one, which is closed afterwards.

    All requests are for one origin. tls: for https. idle_seconds: how long an idle connection may be reused; 0 keeps
    none. network: opens connections; the library's by default.
    """

    def __init__(
        self, tls: ssl.SSLContext, *, idle_seconds: float, network: httpcore2.AsyncNetworkBackend | None = None
    ) -> None:
        self._tls = tls
        self._idle_seconds = idle_seconds
        self._network = network
        self._idle: httpcore2.AsyncHTTPConnection | None = None

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Send a request. Its connection is in use until the response is closed. Raises httpx2.TransportError."""
        url = httpcore2.URL(
            scheme=request.url.raw_scheme,
            host=request.url.raw_host,
            port=request.url.port,
            target=request.url.raw_path,
        )
        connection = await self._take(url.origin)
        sent = httpcore2.Request(
            request.method, url, headers=request.headers.raw, content=request.stream, extensions=request.extensions
        )
        try:
            with _library_errors():
                response = await connection.handle_async_request(sent)
        except BaseException:
            with anyio.CancelScope(shield=True):
                await connection.aclose()
            raise
        body = _Body(response, self, connection)
        return httpx2.Response(response.status, headers=response.headers, stream=body, extensions=response.extensions)

    async def aclose(self) -> None:
        """Close the idle connection. One that is in use is closed with its response."""
        self._idle_seconds = 0
        if self._idle is not None:
            await self._idle.aclose()

    async def _take(self, origin: httpcore2.Origin) -> httpcore2.AsyncHTTPConnection:
        idle, self._idle = self._idle, None
        if idle is not None:
            if not idle.has_expired():  # which looks for the server's end of the connection, too
                return idle
            with anyio.CancelScope(shield=True):
                await idle.aclose()
        return httpcore2.AsyncHTTPConnection(
            origin, self._tls, keepalive_expiry=self._idle_seconds, network_backend=self._network
        )

    async def give_back(self, connection: httpcore2.AsyncHTTPConnection) -> None:
        """Keep a connection after its response, unless it has to be closed or another one is kept already."""
        if self._idle is None and self._idle_seconds and connection.is_idle():
            self._idle = connection
        else:
            await connection.aclose()


class _Body(httpx2.AsyncByteStream):
    """The body of a response, which gives the connection back when it is closed."""

    def __init__(
        self,
        response: httpcore2.Response,
        transport: SingleConnectionTransport,
        connection: httpcore2.AsyncHTTPConnection,
    ) -> None:
        self._response = response
        self._transport = transport
        self._connection = connection

    async def __aiter__(self) -> AsyncIterator[bytes]:
        with _library_errors():
            async for part in self._response.aiter_stream():
                yield part

    async def aclose(self) -> None:
        with anyio.CancelScope(shield=True):
            await self._response.aclose()
            await self._transport.give_back(self._connection)


@contextmanager
def _library_errors() -> Iterator[None]:
    """Raise the errors of the library's core as those of the library, which have the same names."""
    try:
        yield
    except (httpcore2.NetworkError, httpcore2.ProtocolError, httpcore2.TimeoutException) as error:
        raise getattr(httpx2, type(error).__name__)(str(error)) from error
