"""Servers on loopback for what stands between us and a host: TLS with an authority of its own, HTTP and SOCKS proxies.

Each runs in threads, records what it was asked, and ends with its context.
"""

import socket
import ssl
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address
from pathlib import Path
from tempfile import mkdtemp
from threading import Thread

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

HOST = "store.example"
"""A name that no resolver here resolves: only a proxy leads to it."""
SETTINGS = (
    "SSL_CERT_FILE SSL_CERT_DIR REQUESTS_CA_BUNDLE CURL_CA_BUNDLE AWS_CA_BUNDLE "
    "HTTP_PROXY HTTPS_PROXY ALL_PROXY NO_PROXY http_proxy https_proxy all_proxy no_proxy REQUEST_METHOD"
).split()
"""What a person's own environment may hold; tests begin without."""
Answer = tuple[int, Mapping[str, str], bytes]


@dataclass(frozen=True, slots=True)
class Asked:
    """One request as it arrived. target: of the request line, as it was written there. Header names lower case."""

    method: str
    target: str
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)


def _fine(asked: Asked) -> Answer:
    return 200, {}, b"{}"


@dataclass
class Server:
    """answer: what it says; a test may replace it."""

    url: str
    port: int
    answer: Callable[[Asked], Answer] = _fine
    asked: list[Asked] = field(default_factory=list)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def _handle(self) -> None:
        server: Server = self.server.state  # type: ignore[attr-defined]
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        headers = {name.lower(): value for name, value in self.headers.items()}
        asked = Asked(self.command, self.requestline.split(" ")[1], headers, body)
        server.asked.append(asked)
        status, more, content = server.answer(asked)
        self.send_response_only(status)
        for name, value in ({"Content-Length": str(len(content))} | dict(more)).items():
            if value:  # an empty one leaves out the usual header
                self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = do_CONNECT = _handle

    def log_message(self, format: str, *arguments: object) -> None:
        """Say nothing."""


class _Threads(ThreadingHTTPServer):
    daemon_threads = True
    state: Server

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that leaves is no error."""


@contextmanager
def serving(tls: ssl.SSLContext | None = None) -> Iterator[Server]:
    """A web server, or an HTTP proxy that answers by itself; over TLS where it has a context."""
    with _Threads(("127.0.0.1", 0), _Handler) as server:
        if tls is not None:
            server.socket = tls.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
        scheme = "https" if tls else "http"
        server.state = Server(f"{scheme}://127.0.0.1:{server.server_port}", server.server_port)
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        try:
            yield server.state
        finally:
            server.shutdown()
            thread.join()


@dataclass(frozen=True, slots=True)
class Authority:
    """A certificate authority that is not trusted by default.

    file: its certificate, PEM.  server: a good certificate of a server, with its key, PEM.  context, expired, sparing:
    of a server whose certificate is good, ended a year ago, or does not name the key that signed it.
    """

    file: Path
    server: Path
    context: ssl.SSLContext
    expired: ssl.SSLContext
    sparing: ssl.SSLContext


@cache
def authority() -> Authority:
    """One for all tests of a process; its certificates are for loopback and HOST."""
    folder = Path(mkdtemp(prefix="authority-"))
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "authority of a test")])
    root = _certificate(name, name, key, key, authority=True)
    (folder / "ca.pem").write_bytes(root.public_bytes(serialization.Encoding.PEM))
    contexts: list[ssl.SSLContext] = []
    for days, names_signer in ((365, True), (-365, True), (365, False)):
        own = ec.generate_private_key(ec.SECP256R1())
        leaf = _certificate(x509.Name([]), name, own, key, authority=False, days=days, names_signer=names_signer)
        path = folder / f"server-{len(contexts)}.pem"
        private = own.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        path.write_bytes(private + leaf.public_bytes(serialization.Encoding.PEM))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(path)
        contexts.append(context)
    return Authority(folder / "ca.pem", folder / "server-0.pem", *contexts)


def _certificate(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePrivateKey,
    signer: ec.EllipticCurvePrivateKey,
    *,
    authority: bool,
    days: int = 365,
    names_signer: bool = True,
) -> x509.Certificate:
    end = datetime.now(UTC) + timedelta(days=days)
    names = [x509.DNSName("localhost"), x509.DNSName(HOST), x509.IPAddress(ip_address("127.0.0.1"))]
    builder = (
        x509.CertificateBuilder(subject_name=subject, issuer_name=issuer, public_key=key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(end - timedelta(days=700))
        .not_valid_after(end)
        .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )
    if names_signer:
        signed_by = x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key())
        builder = builder.add_extension(signed_by, critical=False)
    if not authority:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=True)
    return builder.sign(signer, hashes.SHA256())


@dataclass
class Socks:
    """A SOCKS5 proxy (RFC 1928).  code: of its reply to CONNECT.  Every host leads to `port` of loopback.

    asked: the hosts by name.  method: the authentication that it wants (0: none, 255: none will do).  instead: what a
    server says that is no SOCKS proxy at all.
    """

    url: str
    port: int
    code: int = 0
    method: int = 0
    instead: bytes = b""
    asked: list[str] = field(default_factory=list)


@contextmanager
def socks(port: int) -> Iterator[Socks]:
    """A SOCKS5 proxy that leads to `port` of loopback."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        proxy = Socks(f"socks5h://127.0.0.1:{listener.getsockname()[1]}", port)
        thread = Thread(target=_accept, args=(listener, proxy), daemon=True)
        thread.start()
        try:
            yield proxy
        finally:
            with suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
            thread.join()


def _accept(listener: socket.socket, proxy: Socks) -> None:
    with suppress(OSError):
        while True:
            client, _ = listener.accept()
            Thread(target=_lead, args=(client, proxy), daemon=True).start()


def _lead(client: socket.socket, proxy: Socks) -> None:
    with client, suppress(OSError), client.makefile("rb") as incoming:
        incoming.read(incoming.read(2)[1])
        client.sendall(proxy.instead or bytes([5, proxy.method]))
        if proxy.instead:
            return
        if proxy.method != 0 or incoming.read(4)[3] != 3:
            return
        proxy.asked.append(incoming.read(incoming.read(1)[0]).decode())
        incoming.read(2)
        client.sendall(bytes([5, proxy.code, 0, 1, 127, 0, 0, 1, 0, 0]))
        if proxy.code:
            return
        with socket.create_connection(("127.0.0.1", proxy.port)) as target:
            back = Thread(target=_copy, args=(target, client), daemon=True)
            back.start()
            _copy(client, target)
            back.join()


def _copy(source: socket.socket, sink: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(65536):
            sink.sendall(data)
    with suppress(OSError):
        sink.shutdown(socket.SHUT_WR)
