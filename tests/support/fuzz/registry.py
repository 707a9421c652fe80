"""A registry that is honest but for the replies that are tampered with."""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from roar_publisher.state.journal import Journal
from tests.support.faults.items import inflated
from tests.support.fuzz.program import REGISTRY
from tests.support.fuzz.wire import Reaction, Request

ACCESS, REFRESH, SESSION = "canary-access-" + "a" * 24, "canary-refresh-" + "r" * 24, "canary-session-" + "s" * 24
NEXT_ACCESS, NEXT_REFRESH = "canary-next-access-" + "b" * 24, "canary-next-refresh-" + "q" * 24
SUB, USER = "sub-alice", "u-alice"
ENDPOINTS = {
    "health": r"GET /health",
    "probe": r"GET /sessions\?limit=1",
    "me": r"GET /auth/me",
    "context": r"GET /auth/access-context",
    "refresh": r"POST /auth/refresh",
    "open": r"POST /registration-sessions",
    "jobs": r"POST /registration-sessions/[^/]+/jobs/batch",
    "artifacts": r"POST /registration-sessions/[^/]+/artifacts/batch",
    "composites": r"POST (/registration-sessions/[^/]+)?/artifacts/composites",
    "inputs": r"POST /registration-sessions/[^/]+/jobs/[^/]+/inputs",
    "outputs": r"POST /registration-sessions/[^/]+/jobs/[^/]+/outputs",
    "links": r"POST /registration-sessions/[^/]+/links/batch",
    "finalize": r"POST /registration-sessions/[^/]+/finalize",
    "labels": r"POST (/registration-sessions/[^/]+/labels/batch|/labels/sync)",
    "legacy session": r"POST /sessions",
    "legacy write": r"POST (/artifacts/batch|/sessions/[^/]+/(links/batch|jobs/(batch|[^/]+/(inputs|outputs))))",
}
FEATURES = {
    "authenticated": True,
    "anonymous_public": True,
    "finalize_server_authoritative_hash": True,
    "finalize_expected_counts": True,
}

BULK = {"max_body_bytes": 2**20, "request_encodings": ["gzip"], "legacy_links_batch": True}
"""What is advertised by a registry that takes large requests."""

Say = Callable[[Request, Any], "Answer"]


@dataclass
class Answer:
    """A reply before it is on the wire.  framed: puts it there in another way than HTTP says."""

    status: int
    body: bytes
    headers: list[tuple[str, str]] = field(default_factory=list)
    framed: Callable[["Answer"], Reaction] | None = None

    def reaction(self) -> Reaction:
        if self.framed is not None:
            return self.framed(self)
        return Reaction(self.head(("Content-Length", str(len(self.body)))) + self.body)

    def head(self, *more: tuple[str, str]) -> bytes:
        lines = [f"HTTP/1.1 {self.status} X", "Content-Type: application/json"]
        lines += [f"{name}: {value}" for name, value in (*self.headers, *more)]
        return "\r\n".join([*lines, "", ""]).encode("latin-1", "replace")

    @property
    def receipt(self) -> dict[str, Any] | None:
        """The object that a client may take for a success."""
        if not 200 <= self.status < 300:
            return None
        try:
            document = json.loads(self.body)
        except (ValueError, RecursionError):
            return None
        while isinstance(document, dict) and isinstance(document.get("data"), dict):
            document = document["data"]
        return document if isinstance(document, dict) else None


@dataclass
class Tampering:
    """From its `first` request on, `times` replies of an endpoint are replaced."""

    endpoint: str
    first: int
    times: int
    say: Say

    def applies(self, endpoint: str, number: int) -> bool:
        return endpoint == self.endpoint and self.first <= number < self.first + self.times


@dataclass
class Registry:
    """An honest registry but for its tamperings.  hash_of: the hash it computes, by the words of `Authorization`."""

    hash_of: Callable[[str], str]
    features: dict[str, bool] = field(default_factory=lambda: dict(FEATURES))
    bulk: bool = False
    tamperings: list[Tampering] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)
    answers: list[tuple[str, Answer]] = field(default_factory=list)
    away_from: str = ""
    """The first endpoint that no connection reaches any more."""
    away: bool = False
    _jobs: set[str] = field(default_factory=set)
    _links: dict[str, set[tuple[str, str]]] = field(default_factory=lambda: {"inputs": set(), "outputs": set()})

    def serve(self, request: Request) -> Reaction:
        endpoint = endpoint_of(request)
        self.away = self.away or endpoint == self.away_from
        if self.away:
            return Reaction(b"", "close")
        number = self.counts[endpoint] = self.counts.get(endpoint, 0) + 1
        document = self._honest(endpoint, request)
        status = 404 if document is None else 200
        document = {"detail": "no such endpoint"} if document is None else document
        answer = Answer(status, json.dumps(document).encode())
        for tampering in self.tamperings:
            if tampering.applies(endpoint, number):
                answer = tampering.say(request, document)
        self.answers.append((endpoint, answer))
        return answer.reaction()

    @property
    def staged(self) -> dict[str, int]:
        return {"jobs": len(self._jobs)} | {kind: len(links) for kind, links in self._links.items()}

    def _honest(self, endpoint: str, request: Request) -> Any:
        body = json.loads(inflated(request.body) or b"{}")
        authorization = request.headers.get("authorization", "")
        match endpoint:
            case "health":
                more = BULK if self.bulk else {}
                sessions = self.features | {"links_batch": self.bulk and any(self.features.values())}
                return {"status": "ok", "features": {"registration_sessions": sessions, **more}}
            case "probe":
                return {"sessions": []}
            case "me":
                return {"user": {"id": USER}, "creatorIdentity": f"glaas:user:{USER}"}
            case "context":
                user = {"id": USER, "sub": SUB, "username": "alice", "email": "alice@example.org"}
                return {"user": user, "owners": [], "projects_by_owner": {}}
            case "refresh":
                return {"access_token": NEXT_ACCESS, "refresh_token": NEXT_REFRESH, "expires_in": 3600}
            case "open":
                token = {"registration_session_token": SESSION} if body.get("mode") else {}
                return {"registration_session_id": "rs-1", "created": True, "status": "active", "mode": None, **token}
            case "jobs":
                uids = [job["job_uid"] for job in body["jobs"]]
                self._jobs |= set(uids)
                none = dict.fromkeys(("existing_count",), 0)
                return {"job_ids": uids, "errors": [None] * len(uids), "created_count": len(uids), **none}
            case "artifacts":
                return {"created": len(body["artifacts"]), "updated": 0, "errors": []}
            case "composites" | "labels" | "legacy write":
                return {"created": 1, "errors": []}
            case "inputs" | "outputs":
                uid = request.path.split("/")[-2]
                self._links[endpoint] |= {(uid, link["hash"]) for link in body["artifacts"]}
                return {f"{endpoint}_linked": len(body["artifacts"])}
            case "links":
                for entry in body["links"]:
                    self._links[entry["kind"]] |= {(entry["job_uid"], link["hash"]) for link in entry["artifacts"]}
                links = [(entry["kind"], len(entry["artifacts"])) for entry in body["links"]]
                counts = {f"{kind}_linked": sum(number for of, number in links if of == kind) for kind in self._links}
                return {**counts, "errors": [None] * len(links)}
            case "finalize":
                lineage_hash = self.hash_of(authorization)
                url = f"http://127.0.0.1:8123/dag/{lineage_hash}"
                receipt = {"hash": lineage_hash, "url": url, "created": True, "status": "closed"}
                return receipt | {"canonical_version": 1, "staged_counts": self.staged}
            case "legacy session":
                return {"hash": body.get("hash"), "url": "http://127.0.0.1:8123/dag/x", "created": True}
            case _:
                return None


def endpoint_of(request: Request) -> str:
    """The name of what is asked for."""
    asked = f"{request.method} {request.path.removeprefix('/api/v1')}"
    return next((name for name, form in ENDPOINTS.items() if re.fullmatch(form, asked)), asked)


def sign_in(home: Path, *, stale: bool = False) -> None:
    """A sign-in of the honest registry in roar's own file; a stale one has to be refreshed first."""
    folder = home / ".config" / "roar"
    folder.mkdir(parents=True)
    expires = "2020-01-01T00:00:00+00:00" if stale else "2100-01-01T00:00:00+00:00"
    document = {"version": 1, "provider": "treqs", "issuer": REGISTRY, "access_token": ACCESS}
    document |= {"refresh_token": REFRESH, "expires_at": expires, "user": {"sub": SUB}}
    (folder / "auth.json").write_text(json.dumps(document))
    (folder / "auth.json").chmod(0o600)


def planned_hash(state: Path) -> Callable[[str], str]:
    """What an honest registry computes for the only publish in a state folder, if it is not signed."""

    def hash_of(authorization: str) -> str:
        (journal,) = state.glob("publishes/*/journal.db")
        with Journal(journal, read_only=True) as opened:
            return opened.plan().published["anonymous"]

    return hash_of
