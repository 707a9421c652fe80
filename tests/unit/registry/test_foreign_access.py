"""Every endpoint with every wrong credential: refused with the right status, and nothing is changed by it."""

from base64 import b64encode
from collections.abc import Callable

import pytest
from starlette.routing import Route

from roar_publisher.registry.accounts import grants
from roar_publisher.registry.accounts.signatures import WINDOW
from roar_publisher.registry.store import sign_ins
from tests.support.registry.harness import Registry, job
from tests.support.registry.people import Bearer, Ssh
from tests.support.registry.scene import (
    EDIT,
    FOR_ANYBODY,
    FORMS,
    GROUPS,
    LEGACY,
    LEGACY_OPEN,
    LINEAGE,
    OWN_SPACE,
    SESSION,
    Scene,
    Signer,
    same_header,
)

pytestmark = pytest.mark.anyio


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
        (await scene.send(endpoint, same_header(f"RegistrationSession {shown}"))).status_code for endpoint in endpoints
    }
    assert answers == {403 if shown else 401}
    assert scene.state() == before


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
