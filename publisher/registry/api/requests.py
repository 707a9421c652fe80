"""What is kept of each request: its id, a line in the access log, and what an observer makes of it.

No line has a query, a header or a body, because these can hold credentials.
"""

import logging
import time
from http import HTTPStatus

from msgspec import Struct
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from roar_publisher.registry.http.request_ids import HEADER, REQUEST_ID, request_id_of
from roar_publisher.registry.store.sessions import Staged

access_log = logging.getLogger("roar_publisher.registry.access")

LONGEST_PATH = 500
"""Characters of a path that are logged."""
NO_ROUTE = "none"
"""The route of a request that leads to no endpoint."""


class Handled(Struct, frozen=True):
    """A request that was answered.

    `route` is the template of its path. `status` is 0 if nobody was there to answer. `body_bytes` is the size of its
    body as it was sent, if an endpoint has read it (`bodies.read_raw`).
    """

    method: str
    route: str
    status: int
    seconds: float
    body_bytes: int = 0


class Observer:
    """Receives what the registry does. This one ignores it."""

    def handled(self, handled: Handled) -> None:
        """Learn of a request."""

    def swept(self) -> None:
        """Learn of a transaction that removed expired data."""

    def queued(self, calls: int) -> None:
        """Learn how many calls wait for the store, or are at work on it."""

    def staged(self, staged: Staged) -> None:
        """Learn what is staged now, about once a minute."""


class RequestRecord:
    """ASGI middleware that gives each request an id, logs it when it is answered, and tells the observer."""

    def __init__(self, app: ASGIApp, observer: Observer) -> None:
        self._app = app
        self._observer = observer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        status = 0

        async def send_named(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                name_reply(MutableHeaders(scope=message))
            await send(message)

        sent = Headers(scope=scope).get(HEADER.decode())
        REQUEST_ID.set(request_id_of(None if sent is None else sent.encode("latin-1")))
        begun = time.perf_counter()
        try:
            await self._app(scope, receive, send_named)
        except Exception:
            status = status or HTTPStatus.INTERNAL_SERVER_ERROR
            raise
        finally:
            self._record(scope, status, time.perf_counter() - begun)

    def _record(self, scope: Scope, status: int, seconds: float) -> None:
        read = len(scope.get("state", {}).get("raw_body", b""))
        handled = Handled(scope["method"], getattr(scope.get("route"), "path", NO_ROUTE), int(status), seconds, read)
        self._observer.handled(handled)
        if access_log.isEnabledFor(logging.INFO):
            host, _port = scope.get("client") or ("", 0)
            fields = {
                "method": handled.method,
                "path": scope["path"][:LONGEST_PATH],
                "route": handled.route,
                "status": handled.status,
                "milliseconds": round(seconds * 1000, 1),
                "client": host,
            }
            access_log.info("request", extra={"fields": fields})


def name_reply(headers: MutableHeaders) -> None:
    """Put the id of the current request into the headers of its reply."""
    headers[HEADER.decode()] = REQUEST_ID.get()
