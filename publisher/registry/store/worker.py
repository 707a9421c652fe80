"""The single thread that works on the store. It runs one call at a time and alternates between clients.

Regardless of how many requests one client has in flight, another client waits for at most two of its calls. Calls are
short: long operations are split into slices (`slices`), and replies are bounded (`bounds`).
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TypeVar

import anyio
from starlette.types import ASGIApp, Receive, Scope, Send

from roar_publisher.registry.http.addresses import client_of
from roar_publisher.registry.store.queues import Queues

T = TypeVar("T")

CALLS_OF_CLIENT = 2
"""Calls of one client that may be at the worker at once: one runs, and the next is ready when it ends."""
_CLIENT: ContextVar[str] = ContextVar("client", default="")
"""The client that the current task serves."""
SEVERAL = "several"
"""Stands for all clients that wait for one call; no address looks like this."""


class ForClient:
    """ASGI middleware that assigns each request to a client by its address, because no credential is checked yet."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        host, _port = scope.get("client") or ("", 0)
        _CLIENT.set(client_of(host))
        await self._app(scope, receive, send)


@contextmanager
def for_several_clients() -> Iterator[None]:
    """Run the calls of this block in a queue of their own, because several clients wait for them."""
    token = _CLIENT.set(SEVERAL)
    try:
        yield
    finally:
        _CLIENT.reset(token)


class Worker:
    """Runs blocking calls in a thread. A call that has started is finished, even if its caller is cancelled.

    `queued` is called with the number of calls that wait or run, whenever it changes.
    """

    def __init__(self, queued: Callable[[int], None] = lambda calls: None) -> None:
        self._one = anyio.CapacityLimiter(1)
        self._queues = Queues()
        self._queued = queued
        self._length = 0

    async def run(self, call: Callable[[], T], /) -> T:
        """Run the call. Return its result, or raise its exception."""
        self._count(1)
        try:
            async with self._queues.turn(_CLIENT.get(), CALLS_OF_CLIENT):
                return await anyio.to_thread.run_sync(call, limiter=self._one)
        finally:
            self._count(-1)

    def _count(self, more: int) -> None:
        self._length += more
        self._queued(self._length)
