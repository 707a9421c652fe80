"""An event loop for threads: a stop waits for no resolver, and a fork takes no connection along."""

import asyncio
import os
import socket
from concurrent.futures import Future
from threading import Thread
from typing import Any
from weakref import WeakSet

_CONNECTIONS = WeakSet[socket.socket]()
"""Of the event loops that run now."""


class EventLoop(asyncio.SelectorEventLoop):
    """An event loop whose connections a forked process drops, and which ends while a name is being looked up."""

    async def sock_connect(self, sock: socket.socket, address: Any) -> None:
        _CONNECTIONS.add(sock)
        return await super().sock_connect(sock, address)

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


def _leave_to_parent() -> None:
    """Drop the connections that a forked child has of its parent's event loops.

    Their numbers stay taken, by the null device: an object of the parent that is deleted here closes its number again.
    """
    handles = [handle for sock in _CONNECTIONS if (handle := sock.fileno()) >= 0]
    if handles:
        nothing = os.open(os.devnull, os.O_RDWR)
        for handle in handles:
            os.dup2(nothing, handle, inheritable=False)
        os.close(nothing)
    _CONNECTIONS.clear()


os.register_at_fork(after_in_child=_leave_to_parent)
