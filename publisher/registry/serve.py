"""The registry as a process: `serve` binds, announces itself, and stops on SIGTERM or SIGINT."""

import contextlib
import signal
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import uvicorn

from roar_publisher.registry.app import create_app
from roar_publisher.registry.authority import Authority, Run
from roar_publisher.registry.store import Store
from roar_publisher.registry.treqs import TreqsService

BACKLOG = 2048
GRACE = 1
"""Whole seconds that requests in flight get when the process is told to stop."""


def serve(host: str, port: int, data: Path, announce: Callable[[str], None], *, treqs_url: str | None = None) -> None:
    """Serve the registry in `data` until SIGTERM or SIGINT, then return within 2 s.

    port: 0 takes any free one.  announce: called once with `http://host:port` when connections are accepted; what it
    raises ends the server.  treqs_url: the service that vouches for bearers; None: the accounts in `data`.  Called from
    the main thread, for the signals.  Raises OSError and `sqlite3.Error` as they come.
    """
    with _listen(host, port) as listener:
        store = Store.open(data)
        try:
            url = _url(host, listener.getsockname()[1])
            _Server(_config(store, treqs_url), lambda: announce(url)).run(sockets=[listener])
        finally:
            store.close()


class _Server(uvicorn.Server):
    """uvicorn's server, but for signals: they end `run`, and the caller goes on to close its store.

    started: called once connections are accepted and signals are listened to.
    """

    def __init__(self, config: uvicorn.Config, started: Callable[[], None]) -> None:
        super().__init__(config)
        self._when_started = started

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._when_started()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        before = {number: signal.signal(number, self.handle_exit) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def _config(store: Store, treqs_url: str | None) -> uvicorn.Config:
    def ask_treqs(run: Run) -> Authority:
        assert treqs_url is not None
        return TreqsService(treqs_url, store.accounts, run, time.time)

    return uvicorn.Config(
        create_app(store, authority=ask_treqs if treqs_url else None),
        log_config=None,
        log_level="critical",  # requests cut off at the end are no news; faults of the app are logged by the app
        access_log=False,
        server_header=False,
        date_header=False,  # the app has its own
        lifespan="on",
        ws="none",
        timeout_graceful_shutdown=GRACE,
    )


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # The protocol is named because asyncio sets TCP_NODELAY only where it is; without, replies wait 40 ms now and then.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((host, port))
        except TypeError as error:  # so the socket module says that a name cannot be encoded
            raise OSError("this is no name of a host") from error
        listener.listen(BACKLOG)
    except BaseException:
        listener.close()
        raise
    return listener


def _url(host: str, port: int) -> str:
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
