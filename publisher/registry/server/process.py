"""uvicorn's server with the registry's limits and its own handling of signals."""

import asyncio
import contextlib
import logging
import signal
import socket
from collections.abc import Awaitable, Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import uvicorn
from starlette.applications import Starlette

from roar_publisher.registry.http.addresses import Network, spellings
from roar_publisher.registry.http.lifecycle import Lifecycle
from roar_publisher.registry.server.connections import ConnectionTable
from roar_publisher.registry.server.protocol import ServerConfig

BACKLOG = 2048
"""Connections that the system queues until they are accepted."""
ACCEPTED_AT_ONCE = 16
"""Connections that are accepted at once, before any of them is admitted. They use descriptors but are not counted
yet."""
REPORT_SECONDS = 60.0
"""Seconds between two log lines about connection errors, which may occur with every connection."""
DRAIN_SECONDS = 30.0
"""Seconds that requests which have arrived get when the process is asked to stop."""
GRACE_SECONDS = 1
"""Whole seconds that everything else gets after that: requests that still arrive, and idle connections."""
TICKS_A_SECOND = 10
"""How often uvicorn calls `on_tick`."""

logger = logging.getLogger(__name__)


class Server(uvicorn.Server):
    """uvicorn's server, with different signal handling: signals end `run`, and the caller then closes its store.

    `started` is called once connections are accepted and signals are handled. After a signal, the registry drains for
    up to `drain_seconds`: it still listens, and finishes the requests that have arrived. A second SIGINT ends it at
    once. `supervisor` is a pipe of which the supervising process holds the other end: its end of file counts as a
    signal. `alive` is called about every second by the event loop, from the start to the end of draining.
    `answer_on_start` starts another server, which is closed with this one.
    """

    def __init__(
        self,
        config: ServerConfig,
        started: Callable[[], None],
        lifecycle: Lifecycle | None = None,
        drain_seconds: float = DRAIN_SECONDS,
        *,
        supervisor: int | None = None,
        alive: Callable[[], None] = lambda: None,
        answer_on_start: Callable[[], Awaitable[asyncio.Server]] | None = None,
    ) -> None:
        super().__init__(config)
        self._supervisor = supervisor
        self._alive = alive
        self._answer_on_start = answer_on_start
        self._when_started = started
        self._lifecycle = lifecycle or Lifecycle()
        self._drain_seconds = drain_seconds
        self._drained_at = 0.0
        self._reported = -REPORT_SECONDS

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        asyncio.get_running_loop().set_exception_handler(self._report)
        await super().startup(sockets)
        for listener in sockets or ():
            listener.listen(BACKLOG)  # asyncio accepts as many connections at once as its backlog
        if self._answer_on_start is not None:
            self.servers.append(await self._answer_on_start())
        if self._supervisor is not None:
            asyncio.get_running_loop().add_reader(self._supervisor, self._end_alone, self._supervisor)
        self._when_started()

    def _end_alone(self, supervisor: int) -> None:
        asyncio.get_running_loop().remove_reader(supervisor)
        logger.error("the process that supervises this worker has ended, so the worker stops")
        self.should_exit = True

    async def on_tick(self, counter: int) -> bool:
        if counter % TICKS_A_SECOND == 0:
            self._alive()
        return await super().on_tick(counter) and (self.force_exit or self._is_drained())

    def _is_drained(self) -> bool:
        now = asyncio.get_running_loop().time()
        if not self._lifecycle.draining:
            self._lifecycle.draining = True
            self._drained_at = now + self._drain_seconds
        return self._lifecycle.at_work == 0 or now >= self._drained_at

    def _report(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """Log errors such as a lack of descriptors in one line. asyncio accepts again after a second."""
        error = context.get("exception")
        if not isinstance(error, OSError):
            loop.default_exception_handler(context)
        elif loop.time() - self._reported >= REPORT_SECONDS:
            self._reported = loop.time()
            logger.error("%s: %s", context["message"], error.strerror or error)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        before = {number: signal.signal(number, self.handle_exit) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def server_config(
    app: Starlette,
    table: ConnectionTable,
    proxies: Sequence[Network],
    certificate: tuple[Path, Path] | None = None,
) -> ServerConfig:
    """Return uvicorn's configuration for the app."""
    return ServerConfig(
        app,
        table=table,
        proxies=proxies,
        proxy_headers=bool(proxies),
        forwarded_allow_ips=spellings(proxies),
        backlog=ACCEPTED_AT_ONCE,
        loop="asyncio",
        log_config=None,
        log_level="critical",  # truncated requests are not worth a log line; the app logs its own errors
        access_log=False,
        server_header=False,
        date_header=False,  # the app adds its own
        lifespan="on",
        ws="none",
        ssl_certfile=certificate and certificate[0],
        ssl_keyfile=certificate and certificate[1],
        timeout_graceful_shutdown=GRACE_SECONDS,
    )
