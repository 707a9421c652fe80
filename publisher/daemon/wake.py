"""The local socket that wakes the daemon. It carries no data; everything to know is in the journals.

The server checks that the peer is the same user (as reported by the kernel), answers `ok` and closes the connection.
Without a socket, or with a stale one, the daemon finds new work at its next scan.
"""

import errno
import os
import socket
import struct
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import anyio
from anyio.abc import SocketAttribute, SocketStream

from roar_publisher.blocking import no_thread
from roar_publisher.state.lock import is_held
from roar_publisher.state.paths import StateFolder
from roar_publisher.tasks import task_group

ANSWER = b"ok\n"
ANSWER_SECONDS = 2.0
ACCEPT_PAUSE_SECONDS = 1.0
"""How long connections wait to be accepted if the system has no file descriptor left for one."""
LONGEST_ADDRESS = 100
"""Length in bytes that every system accepts for a socket path."""


def wake(folder: StateFolder) -> bool:
    """Wake the daemon of this state folder. Return whether one runs.

    A daemon that starts, or is slow, does not answer in time. It finds new work by itself.
    """
    return _answered(folder) or is_held(folder.daemon_lock)


def _answered(folder: StateFolder) -> bool:
    try:
        with _address(folder.daemon_socket) as address, socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(ANSWER_SECONDS)
            connection.connect(address)
            return connection.recv(len(ANSWER)) == ANSWER
    except OSError:
        return False


async def serve(folder: StateFolder, on_wake: Callable[[], None]) -> None:
    """Call `on_wake` whenever a process wakes the daemon, until cancelled. The caller must be the folder's only daemon.

    Raises OSError if the socket cannot be created. The daemon then works without it.
    """
    path = folder.daemon_socket
    path.unlink(missing_ok=True)  # left behind by a daemon that was killed
    with _address(path) as address:
        try:
            listener = await anyio.create_unix_listener(address, mode=0o600)
        except RuntimeError as error:  # the library binds it in a thread
            if problem := no_thread(error):
                raise OSError(errno.EAGAIN, problem.what) from error
            raise

    async def answer(stream: SocketStream) -> None:
        async with stream:
            if _peer(stream.extra(SocketAttribute.raw_socket)) in (None, os.getuid()):
                on_wake()
                await stream.send(ANSWER)

    async def safely(stream: SocketStream) -> None:
        try:
            with anyio.move_on_after(ANSWER_SECONDS):
                await answer(stream)
        except (OSError, anyio.BrokenResourceError):
            pass  # the client did not wait for the answer

    async with listener, task_group() as tasks:
        made = path.lstat()
        try:
            while True:
                with suppress(anyio.BrokenResourceError):
                    await listener.serve(safely, tasks)
                await anyio.sleep(ACCEPT_PAUSE_SECONDS)
        finally:
            with suppress(OSError):
                if os.path.samestat(path.lstat(), made):  # not that of a daemon of a new folder there
                    path.unlink()


@contextmanager
def _address(path: Path) -> Iterator[str]:
    """Yield the socket's address: its path, or a shorter equivalent if the path is too long for the system."""
    if len(os.fsencode(path)) <= LONGEST_ADDRESS or not sys.platform.startswith("linux"):
        yield str(path)
        return
    try:
        folder = os.open(path.parent, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        yield str(path)
        return
    try:
        yield f"/proc/self/fd/{folder}/{path.name}"
    finally:
        os.close(folder)


def _peer(connection: socket.socket) -> int | None:
    """Return the peer's user id, or None if the system does not report it. The file mode also keeps other users out."""
    if hasattr(socket, "SO_PEERCRED"):
        format_ = "3i"
        _pid, uid, _gid = struct.unpack(
            format_, connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize(format_))
        )
        return int(uid)
    return None
