"""A TReqs service validates bearers: users are linked, contexts cached, and its failures do not sign users out."""

from collections.abc import AsyncIterator

import httpx2
import pytest

from roar_publisher.registry.accounts import public_keys
from roar_publisher.registry.accounts.treqs import TRUST_SECONDS
from roar_publisher.registry.data import Store
from roar_publisher.registry.http.refusals import RETRY_AFTER
from roar_publisher.registry.store import keys
from roar_publisher.registry.store import users as accounts
from tests.support.registry.harness import Json, Registry, refused, succeeded
from tests.support.registry.people import Ssh
from tests.support.registry.treqs import CONTEXT, ME, OWN, PROJECT, REFUSED, SCOPE, ByTreqs, Treqs, registry_of, staged

pytestmark = pytest.mark.anyio


@pytest.fixture
def treqs() -> Treqs:
    return Treqs()


@pytest.fixture
async def registry(anyio_backend: str, store: Store, treqs: Treqs) -> AsyncIterator[Registry]:
    registry = registry_of(store, treqs)
    async with registry.client:
        yield registry


async def test_a_user_is_linked_by_sub_and_known_again(registry: Registry, treqs: Treqs) -> None:
    first = succeeded(await registry.client.get(ME, auth=ByTreqs()))["data"]
    assert first["creatorIdentity"] == "treqs:user:sub-alice"
    registry.clock.now += TRUST_SECONDS
    treqs.answers["Bearer hers"] = {**CONTEXT, "user": {**CONTEXT["user"], "username": "alice-renamed"}}
    again = succeeded(await registry.client.get(ME, auth=ByTreqs()))["data"]
    assert again == first
    assert treqs.asked == [("/base/api/v1/auth/access-context", "Bearer hers")] * 2


async def test_a_token_of_the_local_accounts_is_not_valid_here(registry: Registry) -> None:
    local = registry.person("bob")
    refused(await registry.client.get(ME, headers={"Authorization": local.bearer}), 401)


async def test_an_answer_is_trusted_for_moments_only(registry: Registry, treqs: Treqs) -> None:
    for _ in range(5):
        succeeded(await registry.client.get("/api/v1/sessions?limit=1", auth=ByTreqs()))
    assert len(treqs.asked) == 1
    treqs.answers.clear()
    registry.clock.now += TRUST_SECONDS
    refused(await registry.client.get("/api/v1/sessions?limit=1", auth=ByTreqs()), 401)


async def test_no_answer_is_trusted_longer_because_the_clock_is_set_back(registry: Registry, treqs: Treqs) -> None:
    succeeded(await registry.client.get(ME, auth=ByTreqs()))
    refused(await registry.client.get(ME, auth=ByTreqs("new")), 401)
    treqs.answers = {"Bearer new": CONTEXT}
    registry.clock.now -= 3600
    refused(await registry.client.get(ME, auth=ByTreqs()), 401)
    succeeded(await registry.client.get(ME, auth=ByTreqs("new")))


async def test_a_cookie_of_the_service_is_sent_with_no_other_bearer(registry: Registry, treqs: Treqs) -> None:
    treqs.answers["Bearer hers"] = httpx2.Response(200, json=CONTEXT, headers={"Set-Cookie": "session=hers; Path=/"})
    for token in ("hers", "his"):
        await registry.client.get(ME, auth=ByTreqs(token))
    assert treqs.cookies == [None, None]


@pytest.mark.parametrize(
    "changes",
    [
        {"projects_by_owner": None},
        {"owners": None},
        {"projects_by_owner": {"org-1": [{**PROJECT, "can_write": None}]}},
    ],
    ids=str,
)
async def test_what_the_service_sends_as_null_is_absent(registry: Registry, treqs: Treqs, changes: Json) -> None:
    treqs.answers["Bearer hers"] = {**CONTEXT, **changes}
    succeeded(await registry.client.get(ME, auth=ByTreqs()))
    del treqs.answers["Bearer hers"]["projects_by_owner"]
    succeeded(await registry.client.get(ME, auth=ByTreqs()))


async def test_a_finalize_with_a_scope_asks_again(registry: Registry, treqs: Treqs) -> None:
    session = await staged(registry, ByTreqs())
    treqs.answers["Bearer hers"] = {**CONTEXT, "projects_by_owner": {"org-1": [{**PROJECT, "can_write": False}]}}
    refused(await session.post("/finalize", {"scope_request": SCOPE}), 403)
    treqs.answers["Bearer hers"] = CONTEXT
    receipt = await session.finalize(scope_request=SCOPE)
    assert (await registry.lineage(receipt["hash"], auth=ByTreqs()))["visibility"] == "private"
    assert not await registry.is_published(receipt["hash"])


async def test_a_bearer_that_dies_before_the_finalize_is_401(registry: Registry, treqs: Treqs) -> None:
    session = await staged(registry, ByTreqs())
    treqs.answers.clear()
    refused(await session.post("/finalize", {"scope_request": SCOPE}), 401)


@pytest.mark.parametrize("scope", [SCOPE, OWN])
async def test_a_key_needs_a_bearer_before_it(registry: Registry, scope: Json) -> None:
    session = await staged(registry, Ssh(registry.person("bob")))
    assert "refresh with bearer auth first" in refused(await session.post("/finalize", {"scope_request": scope}), 400)


async def test_a_key_uses_the_context_of_the_last_bearer(registry: Registry, treqs: Treqs) -> None:
    alice = registry.person("visitor")
    store = registry.store.accounts
    await registry.client.get(ME, auth=ByTreqs())
    store.write(keys.remove_key, alice.keyid)
    store.write(keys.add_key, "alice", public_keys.parse_key(alice.key.export_public_key().decode()))
    session = await staged(registry, Ssh(alice))
    treqs.answers.clear()
    receipt = await session.finalize(scope_request=SCOPE)
    user = store.read(accounts.find_user, "alice")
    assert (await registry.lineage(receipt["hash"], auth=Ssh(alice)))["creator"] == f"glaas:user:{user.id}"


async def test_another_member_reads_and_others_do_not(registry: Registry, treqs: Treqs) -> None:
    receipt = await (await staged(registry, ByTreqs())).finalize(scope_request=SCOPE)
    treqs.answers["Bearer his"] = {**CONTEXT, "user": {"id": "db-2", "sub": "sub-max"}}
    treqs.answers["Bearer other"] = {
        **CONTEXT,
        "user": {"id": "db-4", "sub": "sub-kim"},
        "projects_by_owner": {"org-1": [{**PROJECT, "id": "proj-2"}]},
    }
    treqs.answers["Bearer outside"] = {"user": {"id": "db-3", "sub": "sub-eve"}, "owners": [], "projects_by_owner": {}}
    succeeded(await registry.client.get(f"/api/v1/sessions/{receipt['hash']}", auth=ByTreqs("his")))
    for token in ("other", "outside"):
        refused(await registry.client.get(f"/api/v1/sessions/{receipt['hash']}", auth=ByTreqs(token)), 404)


@pytest.mark.parametrize(
    "answer",
    [
        httpx2.ConnectError("no route"),
        httpx2.ReadTimeout("slow"),
        httpx2.Response(500, json={}),
        httpx2.Response(404, json={}),
        httpx2.Response(302, headers={"location": "https://elsewhere.example/"}),
        httpx2.Response(200, text="<html>"),
        httpx2.Response(200, content=b"\xff\xfe"),
        httpx2.Response(200, json=[1]),
        httpx2.Response(200, json={"user": {"id": 1}}),
    ],
    ids=str,
)
async def test_a_failing_service_is_503_and_reveals_no_token(
    registry: Registry, treqs: Treqs, answer: object, caplog: pytest.LogCaptureFixture
) -> None:
    treqs.answers["Bearer canary-token"] = answer
    response = await registry.client.get(ME, auth=ByTreqs("canary-token"))
    refused(response, 503)
    assert "canary" not in response.text + caplog.text
    assert {path for path, _ in treqs.asked} == {"/base/api/v1/auth/access-context"}


@pytest.mark.parametrize("path", [ME, "/", "/account"])
async def test_a_reader_is_told_when_to_ask_a_failing_service_again(
    registry: Registry, treqs: Treqs, path: str
) -> None:
    treqs.answers["Bearer hers"] = httpx2.Response(502)
    response = await registry.client.get(path, auth=ByTreqs())
    assert (response.status_code, response.headers["retry-after"]) == (503, RETRY_AFTER["Retry-After"])


@pytest.mark.parametrize("status", [401, 403])
async def test_a_no_of_the_service_is_401(registry: Registry, treqs: Treqs, status: int) -> None:
    treqs.answers["Bearer bad"] = httpx2.Response(status, text="no")
    refused(await registry.client.get(ME, auth=ByTreqs("bad")), 401)


async def test_an_enveloped_answer_is_understood_and_passed_on(registry: Registry, treqs: Treqs) -> None:
    more = {**CONTEXT, "tomorrow": {"kept": True}}
    treqs.answers["Bearer hers"] = {"success": True, "data": more}
    context = succeeded(await registry.client.get("/api/v1/auth/access-context", auth=ByTreqs()))["data"]
    assert context.items() >= {"tomorrow": {"kept": True}, "user": CONTEXT["user"]}.items()


@pytest.mark.parametrize(
    "ended", [httpx2.Response(204), httpx2.Response(200), httpx2.Response(200, json={"success": True, "data": {}})]
)
async def test_a_logout_is_passed_on_and_cached_answers_are_forgotten(
    registry: Registry, treqs: Treqs, ended: httpx2.Response
) -> None:
    succeeded(await registry.client.get(ME, auth=ByTreqs()))
    treqs.logout = ended
    assert succeeded(await registry.client.post("/api/v1/auth/logout", auth=ByTreqs()))["success"] is True
    assert treqs.asked[-1] == ("/base/api/v1/auth/logout", "Bearer hers")
    treqs.answers.clear()
    refused(await registry.client.get(ME, auth=ByTreqs()), 401)


@pytest.mark.parametrize(
    ("answer", "status"), [(REFUSED, 401), (httpx2.Response(500), 503), (httpx2.Response(404), 503)]
)
async def test_an_unconfirmed_logout_is_an_error(
    registry: Registry, treqs: Treqs, answer: httpx2.Response, status: int
) -> None:
    treqs.logout = answer
    refused(await registry.client.post("/api/v1/auth/logout", auth=ByTreqs()), status)


async def test_a_refresh_is_passed_on(registry: Registry, treqs: Treqs) -> None:
    body = {"refresh_token": "r", "client_id": "roar-cli"}
    answer = succeeded(await registry.client.post("/api/v1/auth/refresh", json=body))
    assert answer == {"access_token": "new", "expires_in": 60}
    assert treqs.asked == [("/base/api/v1/auth/refresh", "")]
