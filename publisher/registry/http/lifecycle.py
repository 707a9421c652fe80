"""The end of a registry: while it drains, requests that have arrived are finished, and others are refused."""

from http import HTTPStatus

from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from roar_publisher.registry.http.base_path import path_below

PROBES = ("/healthz", "/readyz")
"""Paths that are answered while the registry drains."""
RETRY_SECONDS = 5
"""`Retry-After` of a request that is refused because the registry stops."""


class Lifecycle:
    """Whether a registry is `draining`, and how many requests are `at_work`. Use it from the event loop's thread."""

    def __init__(self) -> None:
        self.draining = False
        self.at_work = 0


class DrainGuard:
    """ASGI middleware that counts the requests at work, and refuses new ones (503) while the registry drains.

    A request is at work once all of it has arrived. A client that does not send the rest of a body delays nothing.
    """

    def __init__(self, app: ASGIApp, lifecycle: Lifecycle) -> None:
        self._app = app
        self._lifecycle = lifecycle

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
        elif self._lifecycle.draining and path_below(scope) not in PROBES:
            headers = {"Retry-After": str(RETRY_SECONDS), "Connection": "close"}
            refusal = {"detail": "this registry stops; nothing of this request was done, try again later"}
            await JSONResponse(refusal, HTTPStatus.SERVICE_UNAVAILABLE, headers)(scope, receive, send)
        else:
            await self._count(scope, receive, send)

    async def _count(self, scope: Scope, receive: Receive, send: Send) -> None:
        counted = 0 if _has_body(Headers(scope=scope)) else 1

        async def receive_counted() -> Message:
            nonlocal counted
            message = await receive()
            if not counted and message["type"] == "http.request" and not message.get("more_body", False):
                counted = 1
                self._lifecycle.at_work += 1
            return message

        self._lifecycle.at_work += counted
        try:
            await self._app(scope, receive_counted, send)
        finally:
            self._lifecycle.at_work -= counted


def _has_body(headers: Headers) -> bool:
    return "transfer-encoding" in headers or headers.get("content-length", "0") != "0"
