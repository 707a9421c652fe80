"""A registry on a real socket that takes everything, and says of it what a test wants to hear."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from roar_publisher.glaas.protocol import ANONYMOUS_IDENTITY
from tests.support.cli.servers import Server, answering, http
from tests.support.lineages import Lineage

Document = dict[str, Any]
Lie = Callable[[Document], Document]
STAGED = {"anonymous_public": True, "finalize_server_authoritative_hash": True, "finalize_expected_counts": True}


@dataclass
class Liar:
    """lies: by the last words of a path (`finalize`, `jobs/batch`), what is made of the honest answer.

    name: the hash that it publishes under.
    """

    name: str
    jobs: int
    inputs: int
    outputs: int
    staged: bool = True
    lies: dict[str, Lie] = field(default_factory=dict)
    closed: bool = False
    calls: list[str] = field(default_factory=list)
    server: Server | None = None

    @classmethod
    def of(cls, lineage: Lineage, *, name: str | None = None, staged: bool = True) -> "Liar":
        """A registry that is honest so far."""
        return cls(
            name or lineage.hash_as(ANONYMOUS_IDENTITY), len(lineage.jobs), lineage.inputs, lineage.outputs, staged
        )

    @property
    def url(self) -> str:
        assert self.server is not None, "it is not served"
        return self.server.url

    @contextmanager
    def served(self) -> Iterator["Liar"]:
        """On loopback, until the block ends."""
        with answering(self._respond) as self.server:
            yield self

    def _respond(self, request: bytes) -> bytes:
        if not request:  # a cancelled request may close its connection before it is sent
            return b""
        head, _, body = request.partition(b"\r\n\r\n")
        path = head.split(b" ")[1].decode().partition("?")[0]
        before, last = path.split("/")[-2:]
        call = f"{before}/{last}" if last in ("batch", "sync", "composites") else last
        self.calls.append(call)
        honest = self._honest(call, json.loads(body or b"{}"))
        lie = self.lies.get(call)
        document = lie(honest) if lie is not None else honest
        return http("200 OK", json.dumps(document).encode(), "Content-Type: application/json")

    def _honest(self, call: str, sent: Document) -> Document:
        items = len(next((value for value in sent.values() if isinstance(value, list)), []))
        match call:
            case "health":
                return {"features": {"registration_sessions": STAGED}} if self.staged else {}
            case "registration-sessions":
                status = "closed" if self.closed else "active"
                token = {"registration_session_token": "t" * 40}
                return {"registration_session_id": "rs1", "created": not self.closed, "status": status, **token}
            case "sessions":
                return {"hash": sent["hash"], "url": f"{self.url}/dag/{sent['hash']}", "created": True}
            case "jobs/batch":
                ids = [f"id{number}" for number in range(items)]
                return {"job_ids": ids, "errors": [], "created_count": items, "existing_count": 0}
            case "artifacts/batch":
                return {"created": items, "updated": 0, "errors": 0}
            case "artifacts/composites":
                return {"hash": sent["hash"], "created": True}
            case "inputs" | "outputs":
                return {f"{call}_linked": items}
            case "labels/batch" | "labels/sync":
                return {"created": items, "updated": 0, "noops": 0, "skipped": 0, "errors": []}
            case "finalize":
                self.closed = True
                return self._receipt()
            case hash if len(hash) == 64:
                return {"hash": hash, "url": f"{self.url}/dag/{hash}", "visibility": "public"}
        raise AssertionError(f"there should be no request for {call}")

    def _receipt(self) -> Document:
        counts = {"jobs": self.jobs, "inputs": self.inputs, "outputs": self.outputs, "artifacts": 9}
        url = f"{self.url}/dag/{self.name}"
        closed = {"status": "closed", "created": True, "canonical_version": 1}
        return {"hash": self.name, "url": url, "staged_counts": counts, **closed}
