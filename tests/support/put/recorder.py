"""A GLaaS that accepts everything and records the requests, to read what roar-cli sends."""

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

_FEATURES = ("anonymous_public", "finalize_server_authoritative_hash", "finalize_expected_counts")
_ANSWERS: tuple[tuple[str, dict[str, Any]], ...] = (
    (r"/health", {"status": "healthy", "features": {"registration_sessions": dict.fromkeys(_FEATURES, True)}}),
    (
        r"/registration-sessions",
        {
            "registration_session_id": "5e55",
            "created": True,
            "status": "active",
            "mode": "anonymous_public",
            "registration_session_token": "t0ken",
        },
    ),
    (r".*/jobs/batch", {"job_ids": [], "errors": [], "created_count": 0, "existing_count": 0}),
    (r".*/jobs", {"id": 1, "created": True}),
    (r".*/artifacts/batch", {"created": 0, "updated": 0, "errors": 0}),
    (r".*/artifacts/composites", {}),
    (r".*/inputs", {"inputs_linked": 1}),
    (r".*/outputs", {"outputs_linked": 1}),
    (r".*/labels/batch", {"created": 1}),
    (r".*/finalize", {"hash": "ab" * 32, "url": "http://127.0.0.1/dag", "created": True, "status": "closed"}),
)

Conversation = list[tuple[str, Any]]
"""Paths below the session (or whole ones) with the bodies that were sent to them, in order."""


@contextmanager
def recording_registry() -> Iterator[tuple[str, Conversation]]:
    """Yield the address of such a registry, and the requests that it receives while the block runs."""
    requests: Conversation = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._answer(None)

        def do_POST(self) -> None:
            self._answer(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))

        def _answer(self, body: Any) -> None:
            path = self.path.removeprefix("/api/v1")
            requests.append((path.removeprefix("/registration-sessions/5e55/"), body))
            answer = next((answer for pattern, answer in _ANSWERS if re.fullmatch(pattern, path)), None)
            reply = json.dumps(answer).encode()
            self.send_response(404 if answer is None else 200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(reply)))
            self.end_headers()
            self.wfile.write(reply)

        def log_message(self, *_arguments: object) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}", requests
        finally:
            server.shutdown()
            thread.join()
