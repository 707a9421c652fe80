"""Every endpoint of a registry, and two people whose data it holds: what may be asked with which credential."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import httpx2

from roar_publisher.registry.store.database import Connection
from tests.support.registry.harness import GIT, Registry, Session, artifact, digest, job, link, succeeded, uid
from tests.support.registry.people import Bearer, Person

OWN_SPACE, SESSION, LINEAGE, LEGACY, LEGACY_OPEN, EDIT = "own space", "session", "lineage", "legacy", "hash", "edit"
FRAGMENTS = "fragments"
"""Anybody may open such a session; `test_fragments` says what its token opens."""
LISTS = "lists"
"""Pages that are there for anybody, and show what their reader may see: `test_lists`."""
SIGN_IN = "sign-in"
"""What a bearer alone may end; the tests of `test_auth` say how."""
PRIVATE = {"owner_resolution": "current_user", "owner_type": "user", "visibility": "private"}
LEGACY_HASH = "1e9ac1" + 58 * "0"
GROUPS = {
    ("POST", "/api/v1/registration-sessions"): OWN_SPACE,
    ("GET", "/api/v1/sessions"): OWN_SPACE,
    ("GET", "/api/v1/auth/me"): OWN_SPACE,
    ("GET", "/api/v1/auth/access-context"): OWN_SPACE,
    ("POST", "/api/v1/auth/logout"): SIGN_IN,
    ("POST", "/api/v1/labels/reconcile"): EDIT,
    ("PATCH", "/api/v1/labels/current"): EDIT,
    ("POST", "/api/v1/fragments/sessions"): FRAGMENTS,
    ("POST", "/api/v1/registration-sessions/{id}/jobs/{uid}/inputs"): SESSION,
    ("POST", "/api/v1/registration-sessions/{id}/jobs/{uid}/outputs"): SESSION,
    ("POST", "/api/v1/registration-sessions/{id}/jobs/batch"): SESSION,
    ("POST", "/api/v1/registration-sessions/{id}/jobs"): SESSION,
    ("POST", "/api/v1/registration-sessions/{id}/artifacts/batch"): SESSION,
    ("POST", "/api/v1/registration-sessions/{id}/artifacts/composites"): SESSION,
    ("POST", "/api/v1/registration-sessions/{id}/jobs/{uid}/view-edges"): SESSION,
    ("POST", "/api/v1/registration-sessions/{id}/links/batch"): SESSION,
    ("POST", "/api/v1/sessions/{hash}/links/batch"): LEGACY,
    ("POST", "/api/v1/registration-sessions/{id}/labels/batch"): SESSION,
    ("POST", "/api/v1/registration-sessions/{id}/finalize"): SESSION,
    ("GET", "/api/v1/sessions/{hash}"): LINEAGE,
    ("GET", "/dag/{hash}"): LINEAGE,
    ("GET", "/dag/{hash}/jobs/{uid:path}"): LINEAGE,
    ("GET", "/artifacts/{digest:path}"): LINEAGE,
    ("GET", "/impact"): LINEAGE,
    ("GET", "/"): LISTS,
    ("GET", "/repository"): LISTS,
    ("GET", "/owner"): LISTS,
    ("GET", "/project"): LISTS,
    ("GET", "/search"): LISTS,
    ("GET", "/api/v1/labels/current"): LINEAGE,
    ("GET", "/api/v1/labels/history"): LINEAGE,
    ("GET", "/api/v1/artifacts/{hash}"): LINEAGE,
    ("GET", "/api/v1/artifacts/{hash}/components"): LINEAGE,
    ("GET", "/api/v1/artifacts/{hash}/dag"): LINEAGE,
    ("GET", "/api/v1/artifacts/{hash}/lineage"): LINEAGE,
    ("GET", "/api/v1/public/artifacts/{hash}"): LINEAGE,
    ("GET", "/api/v1/public/sessions/{hash}/reproduction"): LINEAGE,
    ("GET", "/api/v1/sessions/{hash}/readback"): LINEAGE,
    ("GET", "/api/v1/sessions/{hash}/readback/labels"): LINEAGE,
    ("GET", "/api/v1/sessions/{hash}/receipt"): LINEAGE,
    ("POST", "/api/v1/sessions/{hash}/jobs/{uid}/inputs"): LEGACY,
    ("POST", "/api/v1/sessions/{hash}/jobs/{uid}/outputs"): LEGACY,
    ("POST", "/api/v1/sessions/{hash}/jobs/batch"): LEGACY,
    ("POST", "/api/v1/sessions/{hash}/jobs"): LEGACY,
    ("POST", "/api/v1/artifacts"): LEGACY,
    ("POST", "/api/v1/jobs/{uid}/artifacts"): LEGACY,
    ("POST", "/api/v1/artifacts/batch"): LEGACY,
    ("POST", "/api/v1/artifacts/composites"): LEGACY,
    ("POST", "/api/v1/labels/sync"): LEGACY,
    ("POST", "/api/v1/sessions"): LEGACY_OPEN,
}
FOR_ANYBODY = {
    ("GET", "/api/v1/health"),
    ("GET", "/api/v1/receipt-keys"),
    ("GET", "/healthz"),
    ("GET", "/openapi.json"),
    ("GET", "/readyz"),
    ("POST", "/api/v1/auth/refresh"),
    ("POST", "/api/v1/auth/device/start"),
    ("POST", "/api/v1/auth/device/token"),
    ("POST", "/api/v1/fragments/sessions/{id}/fragments"),
    ("GET", "/api/v1/fragments/sessions/{id}/fragments"),
    ("POST", "/api/v1/fragments/sessions/{id}/renew"),
    ("POST", "/api/v1/telemetry/roar"),
}
"""Endpoints that never look at a credential."""
FORMS = {
    *(("GET", path) for path in ("/sign-in", "/account", "/device")),
    *(("POST", path) for path in ("/sign-in", "/sign-out", "/device", "/device/decision")),
}
"""Pages about the browser's own cookie: `test_sign_in`, `test_device_flow`."""

Endpoint = tuple[str, str]
Signer = Callable[[str, str, bytes | None], str]
"""Makes the header for a method, a path with its query, and a body."""


@dataclass
class Scene:
    """Alice has a session and two private lineages, one of them legacy. Bob and an anonymous client have a session."""

    registry: Registry
    alice: Person
    bob: Person
    session: Session
    lineage_hash: str
    foreign_token: str
    ended_token: str

    def request(self, endpoint: Endpoint) -> tuple[str, str, bytes | None]:
        """A request to an endpoint that would have an effect, and succeeds for Alice."""
        method, template = endpoint
        lineage_hash = LEGACY_HASH if GROUPS[endpoint] == LEGACY else self.lineage_hash
        path = template.replace(":path", "").format(
            digest=digest(7),
            id=self.session.root.rpartition("/")[2],
            hash=digest(7) if "/artifacts/{hash}" in template else lineage_hash,
            uid=uid({LEGACY: 1, LINEAGE: 7}.get(GROUPS[endpoint], 4)),
        )
        if template == "/impact":
            path += f"?digest={digest(7)}"
        if template.startswith("/api/v1/labels/") and method == "GET":
            path += f"?entity_type=dag&session_hash={lineage_hash}"
        body = None if method == "GET" else self._body(template, lineage_hash)
        return method, path, None if body is None else json.dumps(body).encode()

    def _body(self, template: str, lineage_hash: str) -> dict[str, Any]:
        composite = {**artifact(3), "hash": digest(3), "component_count_total": 0, "session_hash": lineage_hash}
        label = {"entity_type": "dag", "session_hash": lineage_hash, "metadata": {"defaced": 1}}
        match template.rpartition("/")[2]:
            case "current":
                return {**label, "metadata": {"patched": 1}}
            case "artifacts" if "/jobs/" in template:
                return {"view_edges": [{"relation": "reads", "target_hash": digest(3)}]}
            case "artifacts":
                return {**artifact(2), "session_hash": lineage_hash}
            case "sessions" if "/fragments/" in template:
                return {"session_id": "fragments-1", "token_hash": digest(5)}
            case "registration-sessions":
                return {"client_session_id": "mine"}
            case "inputs" | "outputs":
                return {"artifacts": [link(9)]}
            case "jobs":
                return job(2)
            case "batch" if "/links/" in template:
                known = uid(1 if lineage_hash == LEGACY_HASH else 4)
                return {"links": [{"job_uid": known, "kind": "inputs", "artifacts": [link(9)]}]}
            case "batch" if "/jobs/" in template:
                return {"jobs": [job(2)]}
            case "batch" if "/artifacts/" in template:
                return {"artifacts": [{**artifact(2), "session_hash": lineage_hash}]}
            case "composites":
                return composite
            case "view-edges":
                return {"view_edges": [{"relation": "reads", "target_hash": digest(3)}]}
            case "sessions":
                return {"hash": lineage_hash, "scope_request": PRIVATE}
            case "finalize":
                return {**GIT, "scope_request": PRIVATE}
            case "reconcile":
                return {"session_hash": lineage_hash, "labels": [label]}
            case _:
                return {"labels": [label]}

    async def send(self, endpoint: Endpoint, sign: Signer | None) -> httpx2.Response:
        """Send the endpoint's request with the header that `sign` makes."""
        method, path, body = self.request(endpoint)
        headers = {} if sign is None else {"Authorization": sign(method, path, body)}
        return await self.registry.client.request(method, path, content=body, headers=headers)

    def state(self) -> list[tuple[object, ...]]:
        """Everything that the registry keeps, but for the signatures that it has seen and how much was written."""

        def look(connection: Connection) -> list[tuple[object, ...]]:
            connection.execute("CREATE TEMP TABLE seen AS SELECT * FROM sessions")
            connection.execute("UPDATE seen SET revision = 0, staged_bytes = 0")
            tables: tuple[str, ...] = (
                "lineages",
                "jobs",
                "artifacts",
                "links",
                "view_edges",
                "labels",
                "job_aliases",
                "seen",
            )
            tables = (*tables, "fragment_sessions", "fragment_batches")
            found = [tuple(row) for table in tables for row in connection.execute(f"SELECT '{table}', * FROM {table}")]
            connection.execute("DROP TABLE seen")
            return sorted(found, key=repr)  # an engine may move a row that it updates

        return self.registry.store.write(look)


async def private_data(registry: Registry) -> Scene:
    """Fill the registry with what a scene has."""
    alice, bob = registry.person("alice"), registry.person("bob")
    published = await registry.open(auth=Bearer(alice))
    await published.add_jobs(job(7))
    await published.add_artifacts(artifact(7))
    await published.add_links(7, "outputs", link(7))
    lineage_hash = (await published.finalize(scope_request=PRIVATE))["hash"]
    label = {"entity_type": "dag", "session_hash": lineage_hash, "metadata": {"team": "ml"}}
    succeeded(await published.post("/labels/batch", {"labels": [label]}))
    legacy = {"hash": LEGACY_HASH, "scope_request": PRIVATE}
    succeeded(await registry.client.post("/api/v1/sessions", json=legacy, auth=Bearer(alice)))
    jobs = {"jobs": [job(1)]}
    succeeded(await registry.client.post(f"/api/v1/sessions/{LEGACY_HASH}/jobs/batch", json=jobs, auth=Bearer(alice)))
    session = await registry.open(auth=Bearer(alice))
    await session.add_jobs(job(4))
    ended = await registry.open()
    await ended.add_jobs(job(5))
    await ended.finalize()
    return Scene(registry, alice, bob, session, lineage_hash, (await registry.open()).token, ended.token)


def same_header(header: str) -> Signer:
    """Sign every request with this header."""
    return lambda *request: header
