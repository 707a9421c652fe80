"""A small TReqs service in a process of its own: who a bearer is, where that user belongs, and new tokens for old ones.

    python -m tests.support.auth.treqs_service FOLDER [PORT]

What it knows is in FOLDER/known.json, read again for each request; what it was asked is appended to FOLDER/asked.
"""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from tests.support.processes import line_of, running

Json = dict[str, Any]
KNOWN, ASKED = "known.json", "asked"


@dataclass
class Treqs:
    """The service as its administrator sees it, running or not.

    contexts: by bearer token, what `/auth/access-context` answers.  refreshing: by refresh token, what `/auth/refresh`
    answers.  port: where it listens; 0 before it first ran.
    """

    folder: Path
    port: int = 0

    def set_known(self, contexts: dict[str, Json], refreshing: dict[str, Json] | None = None) -> None:
        """From now on this is what it knows, and nothing else."""
        draft = self.folder / f"{KNOWN}.draft"
        draft.write_text(json.dumps({"contexts": contexts, "refreshing": refreshing or {}}))
        draft.replace(self.folder / KNOWN)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def asked(self) -> list[str]:
        """`METHOD path` of each request."""
        log = self.folder / ASKED
        return log.read_text().splitlines() if log.exists() else []

    @contextmanager
    def running(self) -> Iterator[None]:
        """It runs until the block ends; where it ran before, if it did."""
        with running("-m", __name__, str(self.folder), str(self.port)) as process:
            self.port = int(line_of(process))
            yield


class _Handler(BaseHTTPRequestHandler):
    folder: Path

    def do_GET(self) -> None:
        token = self.headers.get("Authorization", "").removeprefix("Bearer ")
        self._answer(self._known("contexts").get(token) if self.path == "/api/v1/auth/access-context" else None)

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self._answer(self._known("refreshing").get(body["refresh_token"]))

    def _known(self, what: str) -> dict[str, Json]:
        known: dict[str, Json] = json.loads((self.folder / KNOWN).read_text())[what]
        return known

    def _answer(self, document: Json | None) -> None:
        with (self.folder / ASKED).open("a") as asked:
            asked.write(f"{self.command} {self.path}\n")
        content = json.dumps(document or {"error": {"message": "who is that?"}}).encode()
        self.send_response(401 if document is None else 200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:
        pass


def main() -> None:
    _Handler.folder = Path(sys.argv[1])
    with ThreadingHTTPServer(("127.0.0.1", int(sys.argv[2])), _Handler) as server:
        sys.stdout.write(f"{server.server_address[1]}\n")
        sys.stdout.flush()
        server.serve_forever()


if __name__ == "__main__":
    main()
