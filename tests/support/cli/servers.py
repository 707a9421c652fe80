"""Servers on loopback that are not GLaaS, or slow."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field

from tests.support.net.servers import Answer, Asked, serving
from tests.support.ports import reserved_port

ANSWER_SECONDS = 30
"""Seconds after which a silent connection is closed."""


@dataclass
class Server:
    """What a server was sent so far; `url` is its address."""

    url: str
    port: int
    requests: list[bytes] = field(default_factory=list)


@contextmanager
def answering(answer: bytes | Callable[[bytes], bytes], port: int = 0) -> Iterator[Server]:
    """A server that gives the same answer (or one made from the request) to everything, then closes the connection.

    Afterwards, nothing answers at its address.
    """
    listener = socket.create_server(("127.0.0.1", port or reserved_port()))
    bound = listener.getsockname()[1]
    server = Server(f"http://127.0.0.1:{bound}", bound)
    thread = threading.Thread(target=_serve, args=(listener, answer, server))
    thread.start()
    try:
        yield server
    finally:
        with suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join()


@contextmanager
def holding_up() -> Iterator[str]:
    """A registry that says what it can do, and nothing else before the block ends; yields its address.

    Who publishes there goes on for minutes. A registry that says nothing at all is given up after some seconds, which
    is less than another program may need to start.
    """
    over = threading.Event()

    def late(asked: Asked) -> Answer:
        if not asked.target.endswith("/health"):
            over.wait()
        return 200, {}, b'{"features": {"registration_sessions": {"anonymous_public": true}}}'

    with serving() as server:
        server.answer = late
        try:
            yield server.url
        finally:
            over.set()


def _serve(listener: socket.socket, answer: bytes | Callable[[bytes], bytes], server: Server) -> None:
    while True:
        try:
            connection, _ = listener.accept()
        except OSError:
            return
        with closing(connection), suppress(OSError):
            connection.settimeout(ANSWER_SECONDS)
            request = _request(connection)
            server.requests.append(request)
            connection.sendall(answer if isinstance(answer, bytes) else answer(request))


def _request(connection: socket.socket) -> bytes:
    """One request with its body, as long as Content-Length says."""
    received = b""
    while b"\r\n\r\n" not in received:
        chunk = connection.recv(65536)
        if not chunk:
            return received
        received += chunk
    head, _, body = received.partition(b"\r\n\r\n")
    length = next(
        (int(line.split(b":")[1]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length")), 0
    )
    while len(body) < length:
        body += connection.recv(65536)
    return head + b"\r\n\r\n" + body


def http(status: str, body: bytes, *headers: str) -> bytes:
    """A whole HTTP answer."""
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", "Connection: close", *headers, "", ""]
    return "\r\n".join(lines).encode() + body
