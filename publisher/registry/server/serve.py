"""The registry as a process: `serve` binds, reports its address, and stops on SIGTERM or SIGINT."""

import contextlib
import logging
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

from msgspec import Struct
from starlette.applications import Starlette

from roar_publisher.registry.accounts.authority import Authority, CallRunner
from roar_publisher.registry.accounts.limits import DEFAULT_LIMITS, ClientLimits
from roar_publisher.registry.accounts.quotas import DEFAULT_QUOTA, Amount
from roar_publisher.registry.accounts.treqs import DEFAULT_CONTEXT_AGE, TreqsService
from roar_publisher.registry.api.app import create_app
from roar_publisher.registry.api.requests import Observer
from roar_publisher.registry.control import answer_commands, control_socket
from roar_publisher.registry.data import Store
from roar_publisher.registry.http.addresses import Network
from roar_publisher.registry.http.lifecycle import Lifecycle
from roar_publisher.registry.http.names import Names
from roar_publisher.registry.server.connections import DEFAULT_CONNECTIONS, ConnectionTable, allowed_connections
from roar_publisher.registry.server.garbage import collect_rarely
from roar_publisher.registry.server.process import BACKLOG, DRAIN_SECONDS, Server, server_config
from roar_publisher.registry.server.workers import Supervisor, shared_figures
from roar_publisher.registry.store.errors import StoreError
from roar_publisher.registry.store.worker import Worker

RECEIVE_BUFFER = 64 * 1024
"""Bytes that the system buffers from a client."""

logger = logging.getLogger(__name__)


class ServeOptions(Struct, frozen=True):
    """Limits and trust settings for clients.

    `connections` is the maximum in total. `quota` is what one client may write in a day without a credential, `limits`
    are those of every moment. `proxies` are peers whose `X-Forwarded-For` and `X-Forwarded-Proto` are trusted. `public`
    are origins that clients use (`names.origin_of`), in addition to those of the socket. `context_age` is in seconds,
    as for `TreqsService`. `drain_seconds` are what requests that have arrived get when the registry is asked to stop.
    `workers` is the number of processes that serve; several need PostgreSQL. `certificate` are the files of a TLS
    certificate and its key. `metrics` are the host and port where Prometheus finds its figures. `base_path` is as for
    `create_app`.
    """

    connections: int = DEFAULT_CONNECTIONS
    quota: Amount = DEFAULT_QUOTA
    limits: ClientLimits = DEFAULT_LIMITS
    proxies: Sequence[Network] = ()
    public: Sequence[str] = ()
    context_age: float = DEFAULT_CONTEXT_AGE
    drain_seconds: float = DRAIN_SECONDS
    workers: int = 1
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
        names = Names.of_listener(host, listener, options.public, proxied=bool(options.proxies), scheme=options.scheme)
        work = _Served(listener, names, data, database=database, treqs_url=treqs_url, options=options).serve
        if options.workers == 1:
            work(0, lambda: announce(url), None)
            return
        if database is None:
            raise StoreError("several workers need PostgreSQL: a SQLite file belongs to one process at a time")
        Store.open(data, database).close()  # migrates, and says what is wrong before there are workers
        with shared_figures(options.metrics is not None) as ended:
            Supervisor(work, ended).run(options.workers, lambda: announce(url))


class _Served(Struct, frozen=True):
    """What each process of a registry serves."""

    listener: socket.socket
    names: Names
    data: Path
    database: str | None
    treqs_url: str | None
    options: ServeOptions

    def serve(self, number: int, started: Callable[[], None], supervisor: int | None) -> None:
        """Serve with this process, until a signal. The parameters are as for `workers.Work`.

        Without `supervisor`, this is the only process.
        """
        options = self.options
        table = ConnectionTable(allowed_connections(-(-options.connections // options.workers)))
        lifecycle = Lifecycle()
        store = Store.open(self.data, self.database)
        try:
            with contextlib.ExitStack() as held:
                observer = held.enter_context(_observed(options, number))
                worker = Worker(observer.queued)
                app = self._app(store, lifecycle, observer, worker.run)
                config = server_config(app, table, options.proxies, options.certificate)
                if supervisor is None:
                    control = held.enter_context(control_socket(self.data))
                    answer = partial(answer_commands, store, self.data, control)
                    server = Server(config, started, lifecycle, options.drain_seconds, answer_on_start=answer)
                else:
                    config.backlog = 1  # so the connections of a moment are spread over the workers
                    server = Server(
                        config, started, lifecycle, options.drain_seconds, supervisor=supervisor, alive=started
                    )
                collect_rarely()
                server.run(sockets=[self.listener])
        finally:
            store.close()

    def _app(self, store: Store, lifecycle: Lifecycle, observer: Observer, run: CallRunner) -> Starlette:
        options = self.options

        def ask_treqs(run: CallRunner) -> Authority:
            assert self.treqs_url is not None
            return TreqsService(self.treqs_url, store.accounts, run, time.time, context_age=options.context_age)

        return create_app(
            store,
            run=run,
            quota=options.quota,
            limits=options.limits,
            authority=ask_treqs if self.treqs_url else None,
            names=self.names,
            lifecycle=lifecycle,
            observer=observer,
            base_path=options.base_path,
        )


@contextlib.contextmanager
def _observed(options: ServeOptions, number: int) -> Iterator[Observer]:
    """Return the observer that keeps figures. The first worker serves them during the block. Raises OSError."""
    if options.metrics is None:
        yield Observer()
        return
    from roar_publisher.registry.server.metrics import Metrics

    kept = Metrics(shared=options.workers > 1)
    if number > 0:
        yield kept
        return
    with kept.served(*options.metrics) as url:
        logger.info("figures for Prometheus are at %s", url)
        yield kept


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


def _url(scheme: str, host: str, port: int) -> str:
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"
