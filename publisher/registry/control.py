"""The socket in the data folder by which a command asks the running registry for a copy of its lineages.

The registry holds its file exclusively, so no other process can copy it. Only the owner of the folder reaches the
socket. A request is one line of JSON, the path of the copy in the data folder; the reply is one line, with `error` if
it failed. No other folder is sure to be the same for both: under systemd and in a container, the registry sees fewer.
"""

import asyncio
import contextlib
import json
import os
import socket
from collections.abc import Iterator
from pathlib import Path

from roar_publisher.registry.data import Store
from roar_publisher.registry.store.errors import StoreError

SOCKET_NAME = "control"


@contextlib.contextmanager
def control_socket(data: Path) -> Iterator[socket.socket]:
    """Listen on the socket of the registry in `data`, which holds its lineages. It is removed at the end."""
    (data / SOCKET_NAME).unlink(missing_ok=True)  # of a registry that was killed
    with _address(data) as address, socket.socket(socket.AF_UNIX) as listener:
        listener.bind(address)
        listener.listen()
        try:
            yield listener
        finally:
            (data / SOCKET_NAME).unlink(missing_ok=True)


async def answer_commands(store: Store, data: Path, listener: socket.socket) -> asyncio.Server:
    """Answer what commands ask on the socket, until the server is closed. `data` is its folder as seen from here."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, ValueError):
            try:
                target = data / json.loads(await reader.readline())
                await asyncio.to_thread(store.copy_to, target)
                reply: dict[str, str] = {}
            except (OSError, StoreError) as error:
                reply = {"error": str(error)}
            writer.write(json.dumps(reply).encode() + b"\n")
            await writer.drain()
        writer.close()

    return await asyncio.start_unix_server(answer, sock=listener)


def ask_for_copy(data: Path, target: Path) -> bool:
    """Let the registry that runs in `data` copy its lineages to a new file, below `data`. Return False if none runs.

    Raises `StoreError` if it could not.
    """
    with _address(data) as address, socket.socket(socket.AF_UNIX) as connection:
        try:
            connection.connect(address)
        except (FileNotFoundError, ConnectionRefusedError):
            return False
        with connection.makefile("rwb") as stream:
            stream.write(json.dumps(str(target.relative_to(data))).encode() + b"\n")
            stream.flush()
            line = stream.readline()
    if not line:
        raise StoreError("the registry ended while it made the copy")
    if problem := json.loads(line).get("error"):
        raise StoreError(problem)
    return True


@contextlib.contextmanager
def _address(data: Path) -> Iterator[str]:
    """Return the socket's address. The path of a socket has at most 107 bytes, so it is that of an open folder."""
    folder = os.open(data, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{folder}/{SOCKET_NAME}" if os.path.isdir("/proc/self/fd") else str(data / SOCKET_NAME)
    finally:
        os.close(folder)
