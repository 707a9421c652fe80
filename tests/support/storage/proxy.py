"""A small HTTP proxy before an object store: faults where a test asks for them, S3's checksum checks where it is S3.

It runs in threads, so it is the same for both backends. A plan looks at each request and names its fault.
"""

import base64
import hashlib
import os
import socket
import stat
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from enum import Enum, auto
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Condition, Event, Lock, Thread
from typing import Any
from urllib.parse import urlsplit

SETTLE_SECONDS = 60.0
"""How long a busy machine may take to notice that a client is gone."""
SPACES = b"  \r\n "
CHECKS = ("x-amz-content-sha256", "x-amz-checksum-sha256", "content-md5")


class Fault(Enum):
    """What happens to one request."""

    RESET = auto()
    """The connection is reset before anything is forwarded."""
    CUT_BODY = auto()
    """The store gets half of the body, then both connections break."""
    STALL = auto()
    """Nothing is forwarded and nothing answered, until the proxy ends."""
    LOST_REPLY = auto()
    """The store does it, and its reply is lost."""
    CUT_REPLY = auto()
    """The reply breaks off half-way."""
    DAMAGED = auto()
    """One byte of the body arrives differently."""
    SLOW_DOWN = auto()
    """503 SlowDown with a Retry-After of no time."""
    EXPIRED = auto()
    """400 ExpiredToken."""
    INTERNAL_IN_200 = auto()
    """The store does nothing, and the reply is a 200 that holds an InternalError."""
    WHITE_SPACE = auto()
    """The reply begins with white space, as one that took the store long."""
    INTERNAL_AFTER_WHITE_SPACE = auto()
    """INTERNAL_IN_200 of a store that has worked for long."""
    DENIED = auto()
    """403 AccessDenied."""
    """301 with another region."""


@dataclass(frozen=True, slots=True)
class Seen:
    """A request as the proxy saw it."""

    method: str
    path: str
    authorization: str
    body_bytes: int
    content_range: str = ""
    checks: frozenset[str] = frozenset()
    """The headers that let the store verify the body."""


Plan = Callable[[Seen], Fault | None]


@dataclass
class Proxy:
    """url: what clients talk to.  seen: every request so far.  plan: may be replaced at any time."""

    url: str
    plan: Plan = lambda seen: None
    seen: list[Seen] = field(default_factory=list)
    connections: "Connections" = field(default_factory=lambda: Connections())

    def settle(self) -> None:
        """Return when no other process is connected any more: what a killed client had sent is seen by then."""
        parts = urlsplit(self.url)
        assert parts.hostname
        with socket.create_connection((parts.hostname, parts.port or 80)) as last:
            address = last.getsockname()
        self.connections.wait_for_all(address)  # clients that connected before were seen before


class Connections:
    """Who is connected, and who ever was. Written by the thread that accepts and by those that end."""

    def __init__(self) -> None:
        self._changed = Condition()
        self._open: set[object] = set()
        self._met: set[object] = set()

    def opened(self, address: object) -> None:
        with self._changed:
            self._open.add(address)
            self._met.add(address)
            self._changed.notify_all()

    def closed(self, address: object) -> None:
        with self._changed:
            self._open.discard(address)
            self._changed.notify_all()

    def wait_for_all(self, last: object) -> None:
        """Return when `last` was met and no other process than this one, whose clients may stay, is connected."""
        ours = _own_addresses()
        with self._changed:
            settled = self._changed.wait_for(lambda: last in self._met and self._open <= ours, SETTLE_SECONDS)
            self._met.clear()
        assert settled, "a client stays connected"


def _own_addresses() -> set[object]:
    """The address of every socket of this process."""
    found: set[object] = set()
    for descriptor in map(int, os.listdir("/dev/fd")):
        with suppress(OSError):  # the listing's own is gone by now
            if stat.S_ISSOCK(os.fstat(descriptor).st_mode):
                with socket.socket(fileno=os.dup(descriptor)) as own:
                    found.add(own.getsockname())
    return found


def once(fault: Fault, method: str, holding: str, times: int = 1) -> Plan:
    """`fault` for the first requests of that method whose path or Content-Range holds a text."""
    left = times
    lock = Lock()

    def plan(seen: Seen) -> Fault | None:
        nonlocal left
        with lock:
            if left and seen.method == method and (holding in seen.path or holding in seen.content_range):
                left -= 1
                return fault
        return None

    return plan


@contextmanager
def proxied(upstream: str, *, verifies: bool = False) -> Iterator[Proxy]:
    """A proxy before `upstream`.

    verifies: compare the S3 checksums of each body, as S3 does. The sessions of GCS can be cancelled here, because its
    emulator cannot: DELETE answers 499, and so does the session from then on
    (https://cloud.google.com/storage/docs/performing-resumable-uploads#cancel-upload).
    """
    server = _Server(("127.0.0.1", 0), _Handler)
    proxy = Proxy(f"http://127.0.0.1:{server.server_port}", connections=server.connections)
    ended = Event()
    _Handler.registry[server.server_port] = _Settings(proxy, upstream, verifies, ended)
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield proxy
    finally:
        ended.set()
        server.shutdown()
        thread.join()
        server.server_close()
        del _Handler.registry[server.server_port]


@dataclass
class _Settings:
    proxy: Proxy
    upstream: str
    verifies: bool
    ended: Event
    cancelled: set[str] = field(default_factory=set)


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, address: tuple[str, int], handler: type[BaseHTTPRequestHandler]) -> None:
        self.connections = Connections()
        super().__init__(address, handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        self.connections.opened(client_address)
        super().process_request(request, client_address)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self.connections.closed(client_address)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    registry: dict[int, _Settings] = {}  # noqa: RUF012 - one for all handlers, by the port of their server

    def _handle(self) -> None:
        assert isinstance(self.server, ThreadingHTTPServer)
        settings = self.registry[self.server.server_port]
        length = int(self.headers.get("Content-Length", 0))
        checks = frozenset(name for name in CHECKS if self.headers.get(name, "UNSIGNED-PAYLOAD") != "UNSIGNED-PAYLOAD")
        authorization, content_range = (self.headers.get(name, "") for name in ("Authorization", "Content-Range"))
        seen = Seen(self.command, self.path, authorization, length, content_range, checks)
        settings.proxy.seen.append(seen)
        fault = settings.proxy.plan(seen)
        if fault is Fault.RESET:
            return self._reset()
        if fault is Fault.STALL:
            settings.proxy.connections.closed(self.client_address)  # it stalls to the end
            settings.ended.wait()
            return self._reset()
        try:
            body = self.rfile.read(length)
        except OSError:
            return self._reset()
        if len(body) < length:  # the client gave up
            return self._reset()
        if fault is Fault.DAMAGED:
            body = bytes([body[0] ^ 1]) + body[1:]
        if canned := self._canned(fault):
            return self._answer(*canned)
        if "upload_id=" in self.path and self.command == "DELETE":
            settings.cancelled.add(self.path)
        if self.path in settings.cancelled:
            return self._answer(499, {}, b"")
        if settings.verifies and (problem := self._mismatch(body)):
            return self._answer(400, {}, _error(problem))
        self._forward(settings.upstream, body, fault)

    do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = _handle

    def _canned(self, fault: Fault | None) -> tuple[int, dict[str, str], bytes] | None:
        match fault:
            case Fault.SLOW_DOWN:
                return 503, {"Retry-After": "0"}, _error("SlowDown")
            case Fault.EXPIRED:
                return 400, {}, b"" if self.command == "HEAD" else _error("ExpiredToken")
            case Fault.INTERNAL_IN_200:
                return 200, {}, _error("InternalError")
            case Fault.INTERNAL_AFTER_WHITE_SPACE:
                return 200, {}, SPACES + _error("InternalError")
            case Fault.DENIED:
                return 403, {}, b"" if self.command == "HEAD" else _error("AccessDenied")
            case _:
                return None

    def _mismatch(self, body: bytes) -> str | None:
        sha256 = hashlib.sha256(body).digest()
        if (signed := self.headers.get("x-amz-content-sha256")) and signed != sha256.hex():
            return "XAmzContentSHA256Mismatch"
        if (claimed := self.headers.get("x-amz-checksum-sha256")) and base64.b64decode(claimed) != sha256:
            return "BadDigest"
        if (claimed := self.headers.get("content-md5")) and base64.b64decode(claimed) != hashlib.md5(body).digest():
            return "BadDigest"
        return None

    def _forward(self, upstream: str, body: bytes, fault: Fault | None) -> None:
        connection = HTTPConnection(urlsplit(upstream).netloc)
        try:
            connection.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
            for name, value in self.headers.items():
                connection.putheader(name, value)
            connection.endheaders()
            if fault is Fault.CUT_BODY:
                connection.send(body[: len(body) // 2])
                return self._reset()
            if body:
                connection.send(body)
            response = connection.getresponse()
            content = response.read()
        except OSError:  # the store answered and closed before it read the body
            return self._reset()
        finally:
            connection.close()
        if fault is Fault.LOST_REPLY:
            return self._reset()
        headers = {n: v for n, v in response.getheaders() if n.lower() not in ("transfer-encoding", "connection")}
        if fault is Fault.WHITE_SPACE:
            content = SPACES + content
            headers = {name: value for name, value in headers.items() if name.lower() != "content-length"}
        self._answer(response.status, headers, content, cut=fault is Fault.CUT_REPLY)

    def _answer(self, status: int, headers: dict[str, str], content: bytes, *, cut: bool = False) -> None:
        self.send_response_only(status)
        if "content-length" not in {name.lower() for name in headers}:
            headers = headers | {"Content-Length": str(len(content))}
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        if cut:
            self.wfile.write(content[: len(content) // 2])
            self.wfile.flush()
            return self._reset()
        if self.command != "HEAD":
            self.wfile.write(content)

    def _reset(self) -> None:
        """Close with RST, so that the other side sees an error and no end of file."""
        self.close_connection = True
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()
        self.wfile = self.rfile = _Closed()  # type: ignore[assignment]

    def log_message(self, format: str, *arguments: object) -> None:
        """Say nothing."""


class _Closed:
    """Takes the place of a connection's files after a reset, so that the handler ends in peace."""

    closed = True

    def flush(self) -> None: ...

    def close(self) -> None: ...


def _error(code: str) -> bytes:
    return f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>{code}</Message></Error>".encode()
