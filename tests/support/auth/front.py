"""A server in front of a registry: it sees everything, and may answer itself, with a redirect, a refusal, or later.

It runs in threads of the test's own process, on a real socket.
"""

import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

PATIENCE_SECONDS = 60
CARRIED = ("authorization", "content-type", "x-roar-version", "host")
"""Headers that are passed on to the registry."""


@dataclass(frozen=True, slots=True)
class Seen:
    """A request, with names of headers in lower case, and what was answered."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes
    status: int = 0
    answer: bytes = b""


@dataclass(frozen=True, slots=True)
class Answer:
    """What the front says itself, in a registry's words by default."""

    status: int
    body: bytes = b'{"detail": "as the test wants it"}'
    headers: Mapping[str, str] = field(default_factory=dict)


Rule = Callable[[Seen], Answer | None]


@dataclass
class Front:
    """url: where it listens.  rule: answers a request where it returns one; the registry answers the others."""

    port: int
    registry: str
    rule: Rule = lambda seen: None
    seen: list[Seen] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def replies(self, ending: str) -> list[bytes]:
        """What was answered to the requests whose path ends so."""
        return [seen.answer for seen in self.seen if seen.path.endswith(ending)]

    def answer(self, seen: Seen) -> Answer:
        """The rule's answer, else the registry's; 404 where there is no registry behind."""
        own = self.rule(seen)
        if own is not None:
            return own
        return self.ask(seen) if self.registry else Answer(404)

    def ask(self, seen: Seen) -> Answer:
        """What the registry says to a request."""
        headers = {name: value for name, value in seen.headers.items() if name in CARRIED}
        request = urllib.request.Request(
            self.registry + seen.path, seen.body or None, headers=headers, method=seen.method
        )
        try:
            with urllib.request.urlopen(request, timeout=PATIENCE_SECONDS) as reply:
                return Answer(reply.status, reply.read(), {"Date": reply.headers["Date"]})
        except urllib.error.HTTPError as error:
            with error:
                return Answer(error.code, error.read(), {"Date": error.headers["Date"]})


@contextmanager
def front(registry: str = "", host: str = "127.0.0.1") -> Iterator[Front]:
    """A front that listens until the block ends."""
    served: list[Front] = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True
        timeout = PATIENCE_SECONDS

        def do_GET(self) -> None:
            headers = {name.lower(): value for name, value in self.headers.items()}
            body = self.rfile.read(int(headers.get("content-length", 0)))
            seen = Seen(self.command, self.path, headers, body)
            answer = served[0].answer(seen)
            served[0].seen.append(Seen(seen.method, seen.path, headers, body, answer.status, answer.body))
            self.send_response_only(answer.status)
            for name, value in answer.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(answer.body)))
            self.end_headers()
            self.wfile.write(answer.body)

        do_POST = do_PUT = do_DELETE = do_HEAD = do_GET

        def log_message(self, format: str, *args: object) -> None:
            pass

        def handle(self) -> None:
            try:
                super().handle()
            except OSError:
                pass  # who was killed half-way hangs up

    server = ThreadingHTTPServer((host, 0), Handler)
    server.daemon_threads = True
    served.append(Front(server.server_address[1], registry))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield served[0]
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
