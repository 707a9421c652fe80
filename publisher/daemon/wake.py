"""The local socket at which the daemon is woken.  It only wakes: whatever there is to know is in the journals.

Whoever connects has to be this user (the kernel tells who it is), is answered `ok`, and is hung up on.  Without a
socket, or with a stale one, the daemon finds what there is to do at its next scan.
"""

import os
import socket
import struct
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import anyio
from anyio.abc import SocketAttribute, SocketStream

from roar_publisher.state.paths import StateFolder

ANSWER = b"ok\n"
ANSWER_SECONDS = 2.0
LONGEST_ADDRESS = 100
"""Bytes that every system takes as a socket's path."""


def wake(folder: StateFolder) -> bool:
    """Tell the daemon of this state folder that there is something to do; whether one heard it."""
    with _address(folder.daemon_socket) as address, socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(ANSWER_SECONDS)
        try:
            connection.connect(address)
            return connection.recv(len(ANSWER)) == ANSWER
        except OSError:
            return False


async def serve(folder: StateFolder, heard: Callable[[], None]) -> None:
    """Call `heard` whenever somebody wakes us, until cancelled.  The caller is the only daemon of the folder.

    Raises OSError where no socket can be made; the daemon does without.
    """
    path = folder.daemon_socket
    path.unlink(missing_ok=True)  # a daemon that was killed left it behind
    with _address(path) as address:
        listener = await anyio.create_unix_listener(address, mode=0o600)

    async def answer(stream: SocketStream) -> None:
        async with stream:
            if _peer(stream.extra(SocketAttribute.raw_socket)) in (None, os.getuid()):
                heard()
                await stream.send(ANSWER)

    async def safely(stream: SocketStream) -> None:
        try:
            with anyio.move_on_after(ANSWER_SECONDS):
                await answer(stream)
        except (OSError, anyio.BrokenResourceError):
            pass  # whoever woke us did not wait for the answer

    try:
        async with listener:
            await listener.serve(safely)
    finally:
        path.unlink(missing_ok=True)


@contextmanager
def _address(path: Path) -> Iterator[str]:
    """The socket's address: its path, or a short way to it where that is too long for the system."""
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
    """The user id at the other end, None where the system does not tell; the file's mode keeps others out, too."""
    if hasattr(socket, "SO_PEERCRED"):
        format_ = "3i"
        _pid, uid, _gid = struct.unpack(
            format_, connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize(format_))
        )
        return int(uid)
    return None
