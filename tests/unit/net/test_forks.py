"""A forked process has no connection of its parent's event loops, whenever it was forked."""

import errno
import os
import resource
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import anyio
import pytest

from roar_publisher.net import event_loop
from roar_publisher.net.event_loop import EventLoop
from tests.support.ports import reserved_port

REACTION_SECONDS = 0.3
"""How long a fork that does not wait is given to happen."""


@contextmanager
def listening(family: socket.AddressFamily, address: str) -> Iterator[int]:
    with socket.socket(family) as listener:
        listener.bind((address, 0))
        listener.listen()
        yield listener.getsockname()[1]


def connected(host: str, port: int) -> list[str]:
    """Connect, and return the kinds of files that a process has which is forked while the connection is open."""

    async def connect() -> list[str]:
        async with await anyio.connect_tcp(host, port) as stream:
            return kinds_in_fork(stream.extra(anyio.abc.SocketAttribute.raw_socket).fileno())

    return anyio.run(connect, backend_options={"loop_factory": EventLoop})


def kinds_in_fork(*handles: int) -> list[str]:
    """Fork, and return what these file descriptors are in the child."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.write(writer, "\n".join(os.readlink(f"/proc/self/fd/{handle}") for handle in handles).encode())
        finally:
            os._exit(0)
    os.close(writer)
    with open(reader) as answer:
        kinds = answer.read().splitlines()
    os.waitpid(child, 0)
    return kinds


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_an_open_connection_is_dropped(host: str) -> None:
    with listening(socket.AF_INET, "127.0.0.1") as port:
        assert connected(host, port) == [os.devnull]


def test_a_socket_that_was_just_opened_is_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another thread forks as soon as the socket exists."""
    kinds: list[str] = []
    forking: list[threading.Thread] = []

    class Forked(event_loop._Connection):
        def __init__(self, *args: int) -> None:
            super().__init__(*args)
            thread = threading.Thread(target=lambda: kinds.extend(kinds_in_fork(self.fileno())))
            forking.append(thread)
            thread.start()
            thread.join(REACTION_SECONDS)

    monkeypatch.setattr(event_loop, "_Connection", Forked)
    with event_loop._opened(socket.AF_INET, socket.SOCK_STREAM, 0):
        monkeypatch.undo()
        forking[0].join()
    assert kinds == [os.devnull]


def test_a_socket_that_is_being_closed_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another thread forks while the system closes the socket, whose object has no number any more."""
    kinds: list[str] = []
    forking: list[threading.Thread] = []
    close = socket.socket._real_close  # type: ignore[attr-defined]

    def closing(sock: socket.socket) -> None:
        handle = os.dup(sock.fileno())
        close(sock)
        os.dup2(handle, number)
        thread = threading.Thread(target=lambda: kinds.extend(kinds_in_fork(number)))
        forking.append(thread)
        thread.start()
        thread.join(REACTION_SECONDS)
        os.close(number)
        os.close(handle)

    sock = event_loop._opened(socket.AF_INET, socket.SOCK_STREAM, 0)
    number = sock.fileno()
    monkeypatch.setattr(socket.socket, "_real_close", closing)
    sock.close()
    monkeypatch.undo()
    forking[0].join()
    assert kinds == []


def test_a_process_that_may_open_no_more_files_drops_its_connections() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with event_loop._opened(socket.AF_INET, socket.SOCK_STREAM, 0) as sock:
        pipe = os.pipe()
        full = os.dup(pipe[0])  # all smaller numbers are taken
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (full, hard))
            for handle in pipe:
                os.close(handle)  # for the pipe to the child
            assert kinds_in_fork(sock.fileno()) == [os.devnull]
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
            os.close(full)


def test_a_process_without_the_null_device_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its threads may still open and close connections of their own."""

    def fail(*_: object) -> int:
        raise OSError(errno.ENFILE, os.strerror(errno.ENFILE))

    sock = event_loop._opened(socket.AF_INET, socket.SOCK_STREAM, 0)
    event_loop._CHANGING.acquire()  # as before a fork
    with monkeypatch.context() as patch:
        patch.setattr(os, "open", fail)
        with pytest.raises(OSError, match="Too many open files"):
            event_loop._leave_to_parent()
    sock.detach()
    free: list[bool] = []

    def take() -> None:
        free.append(event_loop._CHANGING.acquire(blocking=False))
        if free[0]:
            event_loop._CHANGING.release()

    thread = threading.Thread(target=take)
    thread.start()
    thread.join()
    assert free == [True]


def test_an_address_that_refuses_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    closed = reserved_port()
    with listening(socket.AF_INET, "127.0.0.1") as port:
        found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", number)) for number in (closed, port)]
        monkeypatch.setattr(socket, "getaddrinfo", lambda *args, **options: found)
        assert connected("127.0.0.1", port) == [os.devnull]
        monkeypatch.setattr(socket, "getaddrinfo", lambda *args, **options: found[:1])
        with pytest.raises(OSError, match="All connection attempts failed"):
            connected("127.0.0.1", port)
