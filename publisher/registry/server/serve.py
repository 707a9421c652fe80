"""The registry as a process: `serve` binds, reports its address, and stops on SIGTERM or SIGINT."""

import asyncio
import contextlib
import gc
import logging
import signal
import socket
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import uvicorn
from starlette.applications import Starlette

from roar_publisher.registry.accounts.authority import Authority, CallRunner
from roar_publisher.registry.accounts.quotas import DEFAULT_QUOTA, Amount
from roar_publisher.registry.accounts.treqs import DEFAULT_CONTEXT_AGE, TreqsService
from roar_publisher.registry.api.app import create_app
from roar_publisher.registry.api.requests import Observer
from roar_publisher.registry.control import answer_commands, control_socket
from roar_publisher.registry.data import Store
from roar_publisher.registry.http.addresses import Network, spellings
from roar_publisher.registry.http.lifecycle import Lifecycle
from roar_publisher.registry.http.names import Names
from roar_publisher.registry.server.connections import DEFAULT_CONNECTIONS, ConnectionTable, allowed_connections
from roar_publisher.registry.server.protocol import ServerConfig
from roar_publisher.registry.store.worker import Worker

BACKLOG = 2048
"""Connections that the system queues until they are accepted."""
ACCEPTED_AT_ONCE = 16
"""Connections that are accepted at once, before any of them is admitted. They use descriptors but are not counted
yet."""
RECEIVE_BUFFER = 64 * 1024
"""Bytes that the system buffers from a client."""
REPORT_SECONDS = 60.0
"""Seconds between two log lines about connection errors, which may occur with every connection."""
DRAIN_SECONDS = 30.0
"""Seconds that requests which have arrived get when the process is told to stop."""
GRACE_SECONDS = 1
"""Whole seconds that everything else gets after that: requests that still arrive, and idle connections."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ServeOptions:
    """Limits and trust settings for clients.

    `connections` is the maximum in total. `quota` is what one client may write in a day without a credential. `proxies`
    are peers whose `X-Forwarded-For` and `X-Forwarded-Proto` are trusted. `public` are origins that clients use
    (`names.origin_of`), in addition to those of the socket. `context_age` is in seconds, as for `TreqsService`.
    `drain_seconds` are what requests that have arrived get when the registry is told to stop. `certificate` are the
    files of a TLS certificate and its key. `metrics` are the host and port where Prometheus finds its figures.
    `base_path` is as for `create_app`.
    """

    connections: int = DEFAULT_CONNECTIONS
    quota: Amount = DEFAULT_QUOTA
    proxies: Sequence[Network] = ()
    public: Sequence[str] = ()
    context_age: float = DEFAULT_CONTEXT_AGE
    drain_seconds: float = DRAIN_SECONDS
    certificate: tuple[Path, Path] | None = None
    metrics: tuple[str, int] | None = None
    base_path: str = ""

    @property
    def scheme(self) -> str:
        """The scheme of the socket."""
        return "http" if self.certificate is None else "https"


def serve(
    host: str,
    port: int,
    data: Path,
    announce: Callable[[str], None],
    *,
    treqs_url: str | None = None,
    options: ServeOptions | None = None,
    database: str | None = None,
) -> None:
    """Serve the registry in `data` until SIGTERM or SIGINT; then finish what has arrived, and return.

    `port` 0 takes any free port. `announce` is called once with the URL when connections are accepted; an exception
    from it ends the server. `treqs_url` is the service that validates bearers; with None, the accounts in
    `data` do. `database` is as for `Store.open`. Call this from the main thread, because it handles signals. Raises
    OSError and `StoreError`.
    """
    options = options or ServeOptions()
    with listen(host, port) as listener:
        url = _url(options.scheme, host, listener.getsockname()[1]) + options.base_path
        table = ConnectionTable(allowed_connections(options.connections))
        names = Names.of_listener(host, listener, options.public, proxied=bool(options.proxies), scheme=options.scheme)
        lifecycle, worker = Lifecycle(), Worker()
        store = Store.open(data, database)
        try:
            with _observed(options.metrics, worker) as observer, control_socket(data) as control:
                app = _app(
                    store, treqs_url, options, names=names, lifecycle=lifecycle, run=worker.run, observer=observer
                )
                config = server_config(app, table, options.proxies, options.certificate)
                gc.freeze()  # what was imported and built so far stays; searching it again takes a quarter of the time
                server = Server(config, lambda: announce(url), lifecycle, options.drain_seconds)
                server.answer_on_start = partial(answer_commands, store, control)
                server.run(sockets=[listener])
        finally:
            store.close()


class Server(uvicorn.Server):
    """uvicorn's server, with different signal handling: signals end `run`, and the caller then closes its store.

    `started` is called once connections are accepted and signals are handled. After a signal, the registry drains for
    up to `drain_seconds`: it still listens, and finishes the requests that have arrived. A second SIGINT ends it at
    once.
    """

    def __init__(
        self,
        config: ServerConfig,
        started: Callable[[], None],
        lifecycle: Lifecycle | None = None,
        drain_seconds: float = DRAIN_SECONDS,
    ) -> None:
        super().__init__(config)
        self._when_started = started
        self._lifecycle = lifecycle or Lifecycle()
        self._drain_seconds = drain_seconds
        self._drained_at = 0.0
        self._reported = -REPORT_SECONDS
        self.answer_on_start: Callable[[], Awaitable[asyncio.Server]] | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        asyncio.get_running_loop().set_exception_handler(self._report)
        await super().startup(sockets)
        for listener in sockets or ():
            listener.listen(BACKLOG)  # asyncio accepts as many connections at once as its backlog
        if self.answer_on_start is not None:
            self.servers.append(await self.answer_on_start())
        self._when_started()

    async def on_tick(self, counter: int) -> bool:
        return await super().on_tick(counter) and (self.force_exit or self._is_drained())

    def _is_drained(self) -> bool:
        now = asyncio.get_running_loop().time()
        if not self._lifecycle.draining:
            self._lifecycle.draining = True
            self._drained_at = now + self._drain_seconds
        return self._lifecycle.work == 0 or now >= self._drained_at

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


@contextlib.contextmanager
def _observed(metrics: tuple[str, int] | None, worker: Worker) -> Iterator[Observer]:
    """Return the observer that keeps figures, and serve them during the block. Raises OSError."""
    if metrics is None:
        yield Observer()
        return
    from roar_publisher.registry.server.metrics import Metrics

    kept = Metrics(lambda: worker.length)
    with kept.served(*metrics) as url:
        logger.info("figures for Prometheus are at %s", url)
        yield kept


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


def listen(host: str, port: int) -> socket.socket:
    """Return a bound and listening socket. Raises OSError."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # asyncio sets TCP_NODELAY only if the protocol is given. Without it, some replies take 40 ms longer.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
        try:
            listener.bind((host, port))
        except TypeError as error:  # raised by the socket module for a name that it cannot encode
            raise OSError("this is not a host name") from error
        listener.listen(BACKLOG)
    except BaseException:
        listener.close()
        raise
    return listener


def _app(store: Store, treqs_url: str | None, options: ServeOptions, **more: Any) -> Starlette:
    """Return the app with these options. `more` are those of `create_app` that this process chooses."""

    def ask_treqs(run: CallRunner) -> Authority:
        assert treqs_url is not None
        return TreqsService(treqs_url, store.accounts, run, time.time, context_age=options.context_age)

    authority = ask_treqs if treqs_url else None
    return create_app(store, quota=options.quota, authority=authority, base_path=options.base_path, **more)


def _url(scheme: str, host: str, port: int) -> str:
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"
