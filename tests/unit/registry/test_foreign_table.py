"""Every endpoint, asked by everybody who may not see some private data: as if the data did not exist.

Two registries differ in the private data alone (`twins`). A reply may not depend on it: neither its status, nor its
headers, nor a byte of its text. A caller who may see the data gets another reply, so each row proves something.
"""

import json
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
from starlette.routing import Route

from tests.support.registry.harness import GIT, artifact, digest, job, link
from tests.support.registry.twins import PRIVATE, SECRET, SECRET_REPO, Place, Twin, make_twins

pytestmark = pytest.mark.anyio

Endpoint = tuple[str, str]
Headers = dict[str, str]


@dataclass(frozen=True)
class Row:
    """Requests to an endpoint about the private data.

    `paths` and the texts in `body` have the names of `Place.names` in braces. `reveals` says whether the reply to a
    member depends on the private data; what a member writes is tested elsewhere.
    """

    paths: Sequence[str] = ()
    body: Any = None
    reveals: bool = True
    headers: Mapping[str, str] = field(default_factory=dict)


LINK = {"artifacts": [link(SECRET)]}
LABEL = {"entity_type": "dag", "session_hash": "{lineage}", "metadata": {"defaced": 1}}
COMPOSITE = {**artifact(SECRET), "hash": digest(SECRET), "component_count_total": 0}
LINEAGES = ("{lineage}", "{own}", "{gones}", "{legacy}")
PREFIXES = ("{prefix}", "{shared_prefix}")
DIGESTS = ("{digest}", "{shared}", "{digest_prefix}")
EDGES = {"view_edges": [{"relation": "reads", "target_hash": digest(SECRET)}]}
FRAGMENT_TOKEN = {"X-Roar-Fragment-Token": "a guess"}
SESSION_ROOT, LEGACY_ROOT = "/api/v1/registration-sessions/{session}", "/api/v1/sessions/{legacy}"
NO_DATA = Row(reveals=False)
"""The endpoint is about its caller alone, or about no person."""


def session_row(path: str, body: object) -> Row:
    """A request to Alice's open session."""
    return Row([f"{SESSION_ROOT}/{path}"], body)


def legacy_row(path: str, body: object) -> Row:
    """A write to each private lineage."""
    return Row([f"/api/v1/sessions/{lineage}/{path}" for lineage in LINEAGES], body)


def artifact_row(path: str) -> Row:
    """What is asked about artifacts. `path` has `{}` for the digest."""
    return Row([path.replace("{}", name) for name in DIGESTS])


def fragment_row(path: str, body: object = None) -> Row:
    """A request to Alice's fragment session. Only its token opens it, for every caller."""
    return Row([f"/api/v1/fragments/sessions/{{fragments}}/{path}"], body, reveals=False, headers=FRAGMENT_TOKEN)


ROWS: dict[Endpoint, Row] = {
    ("GET", "/api/v1/health"): NO_DATA,
    ("GET", "/api/v1/receipt-keys"): NO_DATA,
    ("GET", "/healthz"): NO_DATA,
    ("GET", "/openapi.json"): NO_DATA,
    ("GET", "/readyz"): NO_DATA,
    ("GET", "/api/v1/auth/me"): NO_DATA,
    ("POST", "/api/v1/auth/refresh"): Row(body={"refresh_token": "unknown"}, reveals=False),
    ("POST", "/api/v1/auth/device/start"): Row(body={}, reveals=False),
    ("POST", "/api/v1/auth/device/token"): Row(body={"grant_type": "x", "device_code": "unknown"}, reveals=False),
    ("GET", "/sign-in"): NO_DATA,
    ("POST", "/sign-in"): NO_DATA,
    ("POST", "/sign-out"): NO_DATA,
    ("GET", "/account"): NO_DATA,
    ("GET", "/device"): NO_DATA,
    ("POST", "/device"): NO_DATA,
    ("POST", "/device/decision"): NO_DATA,
    ("GET", "/"): Row(["/", "/?visibility=private"]),
    ("GET", "/dag/{hash}/jobs/{uid:path}"): Row(
        [f"/dag/{name}/jobs/{uid}" for name in LINEAGES for uid in ("{uid}", "{gones_uid}")]
    ),
    ("GET", "/artifacts/{digest:path}"): artifact_row("/artifacts/{}"),
    ("GET", "/impact"): artifact_row("/impact?digest={}"),
    ("GET", "/repository"): Row(["/repository?name={repo}"]),
    ("GET", "/owner"): Row(["/owner?name={owner}", "/owner?name=u-alice"]),
    ("GET", "/project"): Row(["/project?name={project}"]),
    ("GET", "/search"): Row(
        [f"/search?q={words}" for words in ("{digest}", "{lineage}", "{prefix}", "secret", "file7", "ml", "step1")]
    ),
    ("GET", "/api/v1/auth/access-context"): Row(["/api/v1/auth/access-context"]),
    ("GET", "/api/v1/sessions"): Row(["/api/v1/sessions", "/api/v1/sessions?limit=1"]),
    ("GET", "/api/v1/sessions/{hash}"): Row(
        [*(f"/api/v1/sessions/{name}" for name in LINEAGES + PREFIXES), "/api/v1/sessions/{lineage}?set_aside=true"]
    ),
    ("GET", "/dag/{hash}"): Row(
        [f"/dag/{name}{place}" for name in LINEAGES + PREFIXES for place in ("", "?node={uid}", "?group=1")]
    ),
    ("GET", "/api/v1/artifacts/{hash}"): artifact_row("/api/v1/artifacts/{}"),
    ("GET", "/api/v1/labels/current"): Row(
        [
            "/api/v1/labels/current?entity_type=dag&session_hash={lineage}",
            "/api/v1/labels/current?entity_type=job&session_hash={own}&job_uid={uid}",
            "/api/v1/labels/current?entity_type=artifact&artifact_hash={shared}",
            "/api/v1/labels/current?entity_type=artifact&artifact_hash={digest}",
        ]
    ),
    ("GET", "/api/v1/labels/history"): Row(
        [
            "/api/v1/labels/history?entity_type=dag&session_hash={lineage}",
            "/api/v1/labels/history?entity_type=job&session_hash={gones}&job_uid={uid}",
            "/api/v1/labels/history?entity_type=artifact&artifact_hash={shared}",
        ]
    ),
    ("POST", "/api/v1/labels/reconcile"): Row(
        ["/api/v1/labels/reconcile"], {"session_hash": "{lineage}", "dry_run": True, "labels": [LABEL]}
    ),
    ("POST", "/api/v1/labels/sync"): Row(
        ["/api/v1/labels/sync"],
        {
            "labels": [
                *({**LABEL, "session_hash": lineage} for lineage in LINEAGES),
                {"entity_type": "artifact", "artifact_hash": "{digest}", "metadata": {"defaced": 1}},
            ]
        },
    ),
    ("POST", "/api/v1/registration-sessions"): Row(body={"client_session_id": "mine"}, reveals=False),
    ("POST", "/api/v1/registration-sessions/{id}/jobs/{uid}/inputs"): session_row("jobs/{uid}/inputs", LINK),
    ("POST", "/api/v1/registration-sessions/{id}/jobs/{uid}/outputs"): session_row("jobs/{uid}/outputs", LINK),
    ("POST", "/api/v1/registration-sessions/{id}/jobs/batch"): session_row("jobs/batch", {"jobs": [job(SECRET)]}),
    ("POST", "/api/v1/registration-sessions/{id}/jobs"): session_row("jobs", job(SECRET)),
    ("POST", "/api/v1/registration-sessions/{id}/artifacts/batch"): session_row(
        "artifacts/batch", {"artifacts": [artifact(SECRET)]}
    ),
    ("POST", "/api/v1/registration-sessions/{id}/artifacts/composites"): session_row("artifacts/composites", COMPOSITE),
    ("POST", "/api/v1/registration-sessions/{id}/jobs/{uid}/view-edges"): session_row("jobs/{uid}/view-edges", EDGES),
    ("POST", "/api/v1/registration-sessions/{id}/links/batch"): session_row(
        "links/batch", {"links": [{"job_uid": "{uid}", "kind": "inputs", "artifacts": [link(SECRET)]}]}
    ),
    ("POST", "/api/v1/registration-sessions/{id}/labels/batch"): session_row("labels/batch", {"labels": [LABEL]}),
    ("POST", "/api/v1/registration-sessions/{id}/finalize"): session_row("finalize", {**GIT, "scope_request": PRIVATE}),
    ("POST", "/api/v1/sessions/{hash}/jobs/{uid}/inputs"): legacy_row("jobs/{uid}/inputs", LINK),
    ("POST", "/api/v1/sessions/{hash}/jobs/{uid}/outputs"): legacy_row("jobs/{uid}/outputs", LINK),
    ("POST", "/api/v1/sessions/{hash}/links/batch"): legacy_row(
        "links/batch", {"links": [{"job_uid": "{uid}", "kind": "inputs", "artifacts": [link(SECRET)]}]}
    ),
    ("POST", "/api/v1/sessions/{hash}/jobs/batch"): legacy_row("jobs/batch", {"jobs": [job(3)]}),
    ("POST", "/api/v1/sessions/{hash}/jobs"): legacy_row("jobs", job(3)),
    ("POST", "/api/v1/artifacts/batch"): Row(
        ["/api/v1/artifacts/batch"], {"artifacts": [{**artifact(SECRET), "session_hash": "{legacy}"}]}
    ),
    ("POST", "/api/v1/artifacts/composites"): Row(
        ["/api/v1/artifacts/composites"], {**COMPOSITE, "session_hash": "{legacy}"}
    ),
    ("POST", "/api/v1/sessions"): Row(["/api/v1/sessions"], {"hash": "{lineage}", **GIT}),
    ("GET", "/api/v1/public/artifacts/{hash}"): artifact_row("/api/v1/public/artifacts/{}"),
    ("GET", "/api/v1/artifacts/{hash}/components"): artifact_row("/api/v1/artifacts/{}/components"),
    ("GET", "/api/v1/artifacts/{hash}/dag"): artifact_row("/api/v1/artifacts/{}/dag"),
    ("GET", "/api/v1/artifacts/{hash}/lineage"): artifact_row("/api/v1/artifacts/{}/lineage?depth=3"),
    ("GET", "/api/v1/sessions/{hash}/readback"): Row([f"/api/v1/sessions/{name}/readback" for name in LINEAGES]),
    ("GET", "/api/v1/sessions/{hash}/readback/labels"): Row(
        [f"/api/v1/sessions/{name}/readback/labels" for name in LINEAGES]
    ),
    ("GET", "/api/v1/sessions/{hash}/receipt"): Row([f"/api/v1/sessions/{name}/receipt" for name in LINEAGES]),
    ("GET", "/api/v1/public/sessions/{hash}/reproduction"): Row(
        [f"/api/v1/public/sessions/{name}/reproduction" for name in LINEAGES]
    ),
    ("PATCH", "/api/v1/labels/current"): Row(["/api/v1/labels/current"], LABEL),
    ("POST", "/api/v1/artifacts"): Row(["/api/v1/artifacts"], {**artifact(SECRET), "session_hash": "{legacy}"}),
    ("POST", "/api/v1/jobs/{uid}/artifacts"): Row(
        [f"/api/v1/jobs/{uid}/artifacts" for uid in ("{uid}", "{gones_uid}")], EDGES
    ),
    ("POST", "/api/v1/fragments/sessions"): Row(
        body={"session_id": "{fragments}", "token_hash": "0" * 64}, reveals=False
    ),
    ("POST", "/api/v1/fragments/sessions/{id}/fragments"): fragment_row("fragments", {"encrypted_batch": "AAAA"}),
    ("GET", "/api/v1/fragments/sessions/{id}/fragments"): fragment_row("fragments"),
    ("POST", "/api/v1/fragments/sessions/{id}/renew"): fragment_row("renew", {}),
    ("POST", "/api/v1/telemetry/roar"): Row(body={}, reveals=False),
    ("POST", "/api/v1/auth/logout"): Row(reveals=False),
}
"""A new endpoint needs a row, with requests about all kinds of private data that it could show or change."""
TAKEN = (("POST", "/api/v1/sessions"), ("POST", "/api/v1/fragments/sessions"))
"""Refused with 409 if the name that the client chose is taken, which says that it is. Such a name cannot be guessed: a
hash follows from the whole lineage, and roar draws the id of a fragment session."""
LAST = ("POST", "/api/v1/auth/logout")


@dataclass
class Twins:
    """The two registries, and the requests."""

    first: Twin
    second: Twin
    place: Place

    def requests(self) -> list[tuple[Endpoint, str, bytes | None]]:
        """Every request: its endpoint, its path and its body."""
        found = []
        for endpoint, row in sorted(ROWS.items(), key=lambda item: item[0] == LAST):
            body = None if row.body is None else self._filled(json.dumps(row.body)).encode()
            if endpoint[0] != "GET" and body is None:
                body = b"{}"
            found += [(endpoint, self._filled(path), body) for path in row.paths or [endpoint[1]]]
        return found

    def _filled(self, text: str) -> str:
        for name, value in self.place.names().items():
            text = text.replace("{" + name + "}", value)
        return text


@pytest.fixture
async def twins(anyio_backend: str) -> AsyncIterator[Twins]:
    first, second, place = await make_twins()
    yield Twins(first, second, place)
    for twin in (first, second):
        await twin.registry.client.aclose()
        twin.registry.store.close()


def by_key(name: str) -> Callable[[Twin, str, str, bytes | None], Headers]:
    """The caller signs with this person's key."""
    return lambda twin, method, path, body: {"Authorization": twin.people[name].signed(method, path, body)}


def by_other_key(twin: Twin, method: str, path: str, body: bytes | None) -> Headers:
    """Bob's signature under the name of Alice's key."""
    bob, alice = twin.people["bob"], twin.people["alice"]
    return {"Authorization": bob.signed(method, path, body).replace(bob.keyid, alice.keyid)}


CALLERS: dict[str, Callable[[Twin, str, str, bytes | None], Headers]] = {
    "anonymous": lambda twin, *request: {},
    "another user": lambda twin, *request: {"Authorization": twin.people["bob"].bearer},
    "another user's key": by_key("bob"),
    "another user's browser": lambda twin, *request: {"Cookie": twin.cookie("bob")},
    "former member": lambda twin, *request: {"Authorization": twin.people["gone"].bearer},
    "former member's key": by_key("gone"),
    "former member's browser": lambda twin, *request: {"Cookie": twin.cookie("gone")},
    "token of another session": lambda twin, *request: {"Authorization": twin.foreign_token},
    "token of an ended session": lambda twin, *request: {"Authorization": twin.ended_token},
    "member's expired bearer": lambda twin, *request: {"Authorization": twin.spent_bearer("alice", revoked=False)},
    "member's revoked bearer": lambda twin, *request: {"Authorization": twin.spent_bearer("alice", revoked=True)},
    "another key under the member's name": by_other_key,
}
MEMBERS = {
    "publisher": lambda twin, *request: {"Authorization": twin.people["alice"].bearer},
    "publisher's key": by_key("alice"),
    "publisher's browser": lambda twin, *request: {"Cookie": twin.cookie("alice")},
    "member": lambda twin, *request: {"Authorization": twin.people["max"].bearer},
}


async def test_no_endpoint_is_forgotten(twins: Twins) -> None:
    routes = [route for route in twins.first.registry.app.routes if isinstance(route, Route)]
    served = {(method, route.path) for route in routes for method in route.methods or () if method != "HEAD"}
    assert served == set(ROWS)
    assert all(isinstance(route, Route) for route in twins.first.registry.app.routes), "a mount needs rows, too"


@pytest.mark.parametrize("name", CALLERS)
async def test_private_data_makes_no_difference_to_others(twins: Twins, name: str) -> None:
    before = twins.first.private_rows(twins.place)
    differing = []
    for endpoint, path, body in twins.requests():
        asked = [
            await twin.ask(
                endpoint[0], path, body, CALLERS[name](twin, endpoint[0], path, body) | dict(ROWS[endpoint].headers)
            )
            for twin in (twins.first, twins.second)
        ]
        if endpoint in TAKEN:
            assert asked[0][0] in (401, 409)
            twins.second.forget(twins.place)
        elif asked[0] != asked[1]:
            differing.append((endpoint[0], path, *asked))
        if twins.place.lineage not in path and SECRET_REPO not in path:
            assert SECRET_REPO not in asked[0][1]
    assert differing == []
    assert twins.first.private_rows(twins.place) == before


async def test_every_row_asks_about_something_that_a_member_sees(twins: Twins) -> None:
    """If a row's requests were answered alike to a member, it would prove nothing."""
    revealing: set[Endpoint] = set()
    for sign in MEMBERS.values():
        for endpoint, path, body in twins.requests():
            if endpoint == LAST or endpoint in revealing:
                continue
            asked = [
                await twin.ask(
                    endpoint[0], path, body, sign(twin, endpoint[0], path, body) | dict(ROWS[endpoint].headers)
                )
                for twin in (twins.first, twins.second)
            ]
            if asked[0] != asked[1]:
                revealing.add(endpoint)
    assert {endpoint for endpoint, row in ROWS.items() if row.reveals} <= revealing
