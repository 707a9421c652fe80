"""Every endpoint with every wrong credential: refused with the right status, and nothing is changed by it."""

import json
from base64 import b64decode, b64encode
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import httpx2
import pytest
from starlette.routing import Route

from roar_publisher.glaas.signature import NAMESPACE, ssh_string
from roar_publisher.registry.accounts import grants
from roar_publisher.registry.accounts.signatures import WINDOW
from roar_publisher.registry.store import sign_ins
from roar_publisher.registry.store.database import Connection
from tests.support.registry.harness import GIT, Registry, Session, artifact, digest, job, link, succeeded, uid
from tests.support.registry.people import Bearer, Person, Ssh

pytestmark = pytest.mark.anyio

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


@pytest.fixture
async def scene(registry: Registry) -> Scene:
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


def test_no_endpoint_is_forgotten(registry: Registry) -> None:
    routes = [route for route in registry.app.routes if isinstance(route, Route)]
    served = {(method, route.path) for route in routes for method in route.methods or () if method != "HEAD"}
    assert served == set(GROUPS) | FOR_ANYBODY | FORMS


UNACCEPTED: dict[str, Callable[[Scene], Signer]] = {
    "no scheme": lambda scene: lambda *request: "alice",
    "nothing": lambda scene: lambda *request: "",
    "basic": lambda scene: lambda *request: "Basic YWxpY2U6c2VjcmV0",
    "empty bearer": lambda scene: lambda *request: "Bearer ",
    "garbage bearer": lambda scene: lambda *request: "Bearer garbage",
    "refresh token as bearer": lambda scene: lambda *request: f"Bearer {scene.alice.tokens.refresh_token}",
    "expired bearer": lambda scene: lambda *request: _expired(scene),
    "revoked bearer": lambda scene: lambda *request: _revoked(scene),
    "garbage signature": lambda scene: lambda *request: _forged(scene, b64encode(b"garbage").decode()),
    "no base64": lambda scene: lambda *request: _forged(scene, "===="),
    "signature without its parts": lambda scene: lambda *request: f'Signature keyid="{scene.alice.keyid}"',
    "unknown key": lambda scene: (
        lambda m, p, b: scene.alice.signed(m, p, b).replace(scene.alice.keyid[:20], "SHA256:" + 13 * "A")
    ),
    "another's key under her name": lambda scene: (
        lambda m, p, b: scene.bob.signed(m, p, b).replace(scene.bob.keyid, scene.alice.keyid)
    ),
    "wrong namespace": lambda scene: lambda m, p, b: scene.alice.signed(m, p, b, namespace="git"),
    "too old": lambda scene: lambda m, p, b: scene.alice.signed(m, p, b, ts=scene.registry.clock() - WINDOW - 1),
    "from the future": lambda scene: (
        lambda m, p, b: scene.alice.signed(m, p, b, ts=scene.registry.clock() + WINDOW + 1)
    ),
    "another body": lambda scene: lambda m, p, b: scene.alice.signed(m, p, (b or b"") + b" "),
    "another path": lambda scene: lambda m, p, b: scene.alice.signed(m, f"{p}x", b),
    "another query": lambda scene: lambda m, p, b: scene.alice.signed(m, f"{p}{'&' if '?' in p else '?'}limit=1", b),
    "another method": lambda scene: lambda m, p, b: scene.alice.signed("PUT", p, b),
}


@pytest.mark.parametrize("name", UNACCEPTED)
async def test_an_invalid_credential_is_401_everywhere(scene: Scene, name: str) -> None:
    before = scene.state()
    sign = UNACCEPTED[name](scene)
    endpoints = set(GROUPS)
    if name == "expired bearer":
        endpoints.remove(("POST", "/api/v1/auth/logout"))  # ends the sign-in all the same: `test_auth`
    answers = {endpoint: (await scene.send(endpoint, sign)).status_code for endpoint in endpoints}
    assert answers == dict.fromkeys(endpoints, 401)
    assert scene.state() == before


FOREIGN = {
    "anonymous": {OWN_SPACE: 401, SESSION: 401, LINEAGE: 404, LEGACY: 404, LEGACY_OPEN: 403, EDIT: 401},
    "token of another session": {OWN_SPACE: 401, SESSION: 403, LINEAGE: 404, LEGACY: 404, LEGACY_OPEN: 403, EDIT: 401},
    "token of an ended session": {OWN_SPACE: 401, SESSION: 403, LINEAGE: 404, LEGACY: 404, LEGACY_OPEN: 403, EDIT: 401},
    "Bob's bearer": {SESSION: 404, LINEAGE: 404, LEGACY: 404, LEGACY_OPEN: 409, EDIT: 404},
    "Bob's key": {SESSION: 404, LINEAGE: 404, LEGACY: 404, LEGACY_OPEN: 409, EDIT: 404},
}
"""The status by group; what is missing is Bob's own and no foreign ground."""


@pytest.mark.parametrize("name", FOREIGN)
async def test_other_users_data_is_404(scene: Scene, name: str) -> None:
    signers: dict[str, Signer | None] = {
        "anonymous": None,
        "token of another session": lambda *request: scene.foreign_token,
        "token of an ended session": lambda *request: scene.ended_token,
        "Bob's bearer": lambda *request: scene.bob.bearer,
        "Bob's key": scene.bob.signed,
    }
    before = scene.state()
    expected = {endpoint: FOREIGN[name][group] for endpoint, group in GROUPS.items() if group in FOREIGN[name]}
    answers = {endpoint: (await scene.send(endpoint, signers[name])).status_code for endpoint in expected}
    assert answers == expected
    assert scene.state() == before


ALMOST: dict[str, Callable[[str], str]] = {
    "nothing": lambda token: "",
    "its first character": lambda token: token[:1],
    "all but its last character": lambda token: token[:-1],
    "all but its first character": lambda token: token[1:],
    "a character more": lambda token: f"{token}0",
    "it twice": lambda token: token * 2,
}


@pytest.mark.parametrize("name", ALMOST)
async def test_a_token_is_the_whole_token_and_nothing_more(scene: Scene, name: str) -> None:
    scene.session = await scene.registry.open()
    await scene.session.add_jobs(job(4))
    shown = ALMOST[name](scene.session.opened["registration_session_token"])
    before = scene.state()
    endpoints = [endpoint for endpoint, group in GROUPS.items() if group == SESSION]
    answers = {
        (await scene.send(endpoint, _always(f"RegistrationSession {shown}"))).status_code for endpoint in endpoints
    }
    assert answers == {403 if shown else 401}
    assert scene.state() == before


async def test_a_signed_request_that_is_sent_again_changes_nothing(scene: Scene) -> None:
    for endpoint in GROUPS:
        method, path, body = scene.request(endpoint)
        header = scene.alice.signed(method, path, body)
        first = await scene.send(endpoint, _always(header))
        before = scene.state()
        for variant in (header, _with_other_reserved_bytes(header)):
            assert (await scene.send(endpoint, _always(variant))).is_success is first.is_success, endpoint
        assert scene.state() == before, endpoint


@pytest.mark.parametrize("endpoint", ["/api/v1/labels/sync", "/api/v1/labels/reconcile", "{root}/labels/batch"])
async def test_a_signed_label_that_is_sent_again_does_not_undo_a_later_one(scene: Scene, endpoint: str) -> None:
    scene.session = await scene.registry.open(auth=Bearer(scene.alice))
    await scene.session.add_jobs(job(8))
    lineage_hash = (await scene.session.finalize())["hash"]
    path = endpoint.format(root=scene.session.root)

    async def send(team: str, header: str | None = None) -> httpx2.Response:
        label = {"entity_type": "dag", "session_hash": lineage_hash, "metadata": {"team": team}}
        body = json.dumps({"session_hash": lineage_hash, "labels": [label]}).encode()
        headers = {"Authorization": header or scene.alice.signed("POST", path, body)}
        if header is None:
            recorded.append(headers["Authorization"])
        return await scene.registry.client.post(path, content=body, headers=headers)

    recorded: list[str] = []
    succeeded(await send("one"))
    before = scene.state()
    succeeded(await send("one", recorded[0]))
    assert scene.state() == before, "nothing is left to do for a request that comes twice"
    succeeded(await send("two"))
    before = scene.state()
    for variant in (recorded[0], _with_other_reserved_bytes(recorded[0])):
        assert (await send("one", variant)).status_code == 425
    scene.registry.clock.now += WINDOW
    assert (await send("one", recorded[0])).status_code == 425
    scene.registry.clock.now += 1
    assert (await send("one", recorded[0])).status_code == 401
    assert scene.state() == before


async def test_spent_signatures_are_forgotten_after_their_time(scene: Scene) -> None:
    for team in ("one", "two", "three"):
        label = {"entity_type": "dag", "session_hash": scene.lineage_hash, "metadata": {"team": team}}
        sync = scene.registry.client.post("/api/v1/labels/sync", json={"labels": [label]}, auth=Ssh(scene.alice))
        succeeded(await sync)
        scene.registry.clock.now += 10 * WINDOW
    rows = scene.registry.store.read(lambda db: db.execute("SELECT count(*) FROM spent_signatures").fetchone()[0])
    assert rows == 1


@pytest.mark.parametrize("credential", ["bearer", "key"])
async def test_to_her_all_of_it_is_there(scene: Scene, credential: str) -> None:
    refusals = {}
    if credential == "key":  # what is for bearers alone
        refusals = {("GET", "/api/v1/auth/access-context"): 403, ("POST", "/api/v1/auth/logout"): 401}
    auth = Bearer(scene.alice) if credential == "bearer" else Ssh(scene.alice)
    last = ("labels/batch", "finalize", "logout")
    for endpoint in sorted(GROUPS, key=lambda endpoint: [endpoint[1].endswith(end) for end in reversed(last)]):
        method, path, body = scene.request(endpoint)
        if endpoint[1].endswith("{id}/labels/batch"):
            continue  # after finalize, of what was finalized: `test_labels`
        answer = await scene.registry.client.request(method, path, content=body, auth=auth)
        assert answer.status_code in (200, 201, refusals.get(endpoint)), (endpoint, answer.text)


def _always(header: str) -> Signer:
    return lambda *request: header


def _expired(scene: Scene) -> str:
    _, tokens = scene.registry.store.accounts.write(grants.issue, "alice", now=scene.registry.clock() - 60, lifetime=60)
    return f"Bearer {tokens.access_token}"


def _revoked(scene: Scene) -> str:
    accounts = scene.registry.store.accounts
    _, tokens = accounts.write(grants.issue, "alice", now=scene.registry.clock())
    accounts.write(sign_ins.revoke, tokens.grant_id)
    return f"Bearer {tokens.access_token}"


def _forged(scene: Scene, signature: str) -> str:
    return f'Signature keyid="{scene.alice.keyid}" ts="{int(scene.registry.clock())}" sig="{signature}"'


def _with_other_reserved_bytes(header: str) -> str:
    """The same signature in another frame: nothing signs the field that SSHSIG reserves."""
    head, _, signature = header.rpartition('sig="')
    namespace = ssh_string(NAMESPACE)
    blob = b64decode(signature.rstrip('"')).replace(namespace + ssh_string(b""), namespace + ssh_string(b"anything"))
    return f'{head}sig="{b64encode(blob).decode()}"'
