"""An event loop for threads: a stop waits for no resolver, and a fork takes no connection along."""

import asyncio
import os
import socket
from collections.abc import Callable
from concurrent.futures import Future
from threading import RLock, Thread
from typing import Any
from weakref import WeakSet

_CONNECTIONS = WeakSet[socket.socket]()
"""Of the event loops that run now."""
_CHANGING = RLock()
"""Held while a connection is opened or closed, and by a fork: a child gets no socket that is not in `_CONNECTIONS`.

Reentrant, because the collector may close a socket in the thread that forks.
"""


class _Connection(socket.socket):
    """A socket that a fork finds either open and known, or closed."""

    def close(self) -> None:
        """Close it. The object has no number any more while the system closes it, and other threads run meanwhile."""
        with _CHANGING:
            super().close()


class EventLoop(asyncio.SelectorEventLoop):
    """An event loop whose connections a forked process drops, and which ends while a name is being looked up."""

    async def create_connection(  # type: ignore[override]
        self,
        protocol_factory: Callable[[], asyncio.BaseProtocol],
        host: str | None = None,
        port: int | None = None,
        **options: Any,
    ) -> tuple[asyncio.Transport, asyncio.BaseProtocol]:
        """Connect to the first address that accepts. asyncio opens sockets itself, unknown to a fork at that moment."""
        if host is None or options.get("local_addr") is not None:
            return await super().create_connection(protocol_factory, host, port, **options)  # type: ignore[arg-type]
        failures: list[OSError] = []
        for family, kind, protocol, _name, address in await self.getaddrinfo(host, port, type=socket.SOCK_STREAM):
            sock = _opened(family, kind, protocol)
            try:
                await self.sock_connect(sock, address)
                return await super().create_connection(protocol_factory, sock=sock, **options)
            except OSError as failure:
                failures.append(failure)
                sock.close()
            except BaseException:
                sock.close()
                raise
        raise failures[0]

    async def getaddrinfo(self, host: Any, port: Any, **options: Any) -> list[Any]:
        """Look a name up in a thread of its own. The end of a loop, or of the process, would wait for asyncio's."""
        found = Future[list[Any]]()
        found.set_running_or_notify_cancel()  # so that it can be settled after a cancellation

        def look_up() -> None:
            try:
                found.set_result(socket.getaddrinfo(host, port, **options))
            except Exception as error:
                found.set_exception(error)

        Thread(target=look_up, name="roar_publisher resolver", daemon=True).start()
        return await asyncio.wrap_future(found, loop=self)


def _opened(family: int, kind: int, protocol: int) -> _Connection:
    """Return a new socket, which is known before a fork can happen: opening it lets other threads run."""
    with _CHANGING:
        sock = _Connection(family, kind, protocol)
        sock.setblocking(False)
        _CONNECTIONS.add(sock)
        return sock


def _leave_to_parent() -> None:
    """Drop the connections that a forked child has of its parent's event loops.

    Their numbers stay taken, by the null device: an object of the parent that is deleted here closes its number again.
    """
    handles = {handle for sock in _CONNECTIONS if (handle := sock.fileno()) >= 0}
    try:
        if handles:
            os.close(min(handles))  # the process may have as many files as it may open
            nothing = os.open(os.devnull, os.O_RDWR)
            for handle in handles - {nothing}:
                os.dup2(nothing, handle, inheritable=False)
            if nothing not in handles:
                os.close(nothing)
    finally:
        _CONNECTIONS.clear()
        _CHANGING.release()


os.register_at_fork(before=_CHANGING.acquire, after_in_parent=_CHANGING.release, after_in_child=_leave_to_parent)
