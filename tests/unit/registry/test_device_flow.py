"""The device flow: a program shows a code, and a user who has signed in in a browser allows or refuses it."""

from collections.abc import AsyncIterator
from typing import Any

import httpx2
import pytest

from roar_publisher.registry.accounts import device_flow
from roar_publisher.registry.accounts.attempts import MAX_FAILURES, PERIOD_SECONDS
from roar_publisher.registry.accounts.device_flow import CODE_SECONDS, DEVICE_GRANT, MIN_POLL_SECONDS, POLL_SECONDS
from roar_publisher.registry.data import Store
from roar_publisher.registry.store import users
from tests.support.registry.browser import ORIGIN, Browser, code_for, registry_with_name
from tests.support.registry.engines import sqlite_of
from tests.support.registry.harness import Json, Registry, refused, succeeded
from tests.support.registry.treqs import Treqs, registry_of

pytestmark = pytest.mark.anyio

START, TOKEN, ME = (f"/api/v1/auth/{path}" for path in ("device/start", "device/token", "me"))
HOST = {"Host": ORIGIN.partition("://")[2]}


@pytest.fixture
async def registry(anyio_backend: str, store: Store) -> AsyncIterator[Registry]:
    registry = registry_with_name(store)
    async with registry.client:
        yield registry


@pytest.fixture
async def browser(registry: Registry) -> Browser:
    """Alice has signed in."""
    registry.person("alice")
    browser = Browser(registry.client)
    await browser.sign_in(code_for(registry))
    return browser


async def started(registry: Registry, **changes: object) -> Json:
    body = {"client_id": "roar-cli", "client_name": "roar-cli", **changes}
    return succeeded(await registry.client.post(START, json=body, headers=HOST))


async def polled(registry: Registry, code: str, **changes: object) -> httpx2.Response:
    body = {"grant_type": DEVICE_GRANT, "device_code": code, "client_id": "roar-cli", **changes}
    return await registry.client.post(TOKEN, json=body, headers=HOST)


def error_of(answer: httpx2.Response) -> str:
    refused(answer, 400)
    error: str = answer.json()["error"]
    assert answer.json()["error_description"]
    return error


async def decided(browser: Browser, user_code: str, decision: str) -> httpx2.Response:
    await browser.get("/device")
    await browser.submit("/device", user_code=user_code)
    return await browser.submit("/device/decision", decision=decision)


async def test_a_program_is_signed_in_after_its_code_was_allowed(registry: Registry, browser: Browser) -> None:
    codes = await started(registry)
    assert codes["verification_uri"] == f"{ORIGIN}/device"
    assert (codes["expires_in"], codes["interval"]) == (CODE_SECONDS, POLL_SECONDS)
    assert error_of(await polled(registry, codes["device_code"])) == "authorization_pending"
    await browser.get("/device")
    page = await browser.submit("/device", user_code=codes["user_code"].lower().replace("-", ""))
    assert all(word in page.text for word in (codes["user_code"], "roar-cli", "alice"))
    registry.clock.now += POLL_SECONDS
    assert error_of(await polled(registry, codes["device_code"])) == "authorization_pending", "only shown so far"
    assert "signed in" in (await browser.submit("/device/decision", decision="allow")).text
    tokens = succeeded(await polled(registry, codes["device_code"]))
    assert tokens["issuer"] == ORIGIN
    assert (tokens["provider"], tokens["client_id"], tokens["token_type"]) == ("treqs-device", "roar-cli", "Bearer")
    bearer = {"Authorization": f"Bearer {tokens['access_token']}", **HOST}
    assert succeeded(await registry.client.get(ME, headers=bearer))["data"]["user"]["username"] == "alice"
    refresh = {"refresh_token": tokens["refresh_token"]}
    assert succeeded(await registry.client.post("/api/v1/auth/refresh", json=refresh, headers=HOST))["access_token"]
    assert error_of(await polled(registry, codes["device_code"])) == "expired_token", "its tokens were fetched"


async def test_a_browser_that_signed_in_with_a_token_allows_nothing(registry: Registry, browser: Browser) -> None:
    """Whoever has read a token somewhere would get a sign-in that outlives it."""
    codes = await started(registry)
    await browser.get("/device")
    of_a_token = Browser(registry.client)
    await of_a_token.sign_in(registry.person("bob").tokens.access_token)
    await of_a_token.get("/account")
    code = codes["user_code"]
    for answer in (
        await of_a_token.get("/device"),
        await of_a_token.submit("/device", user_code=code),
        await of_a_token.submit("/device/decision", user_code=code, decision="allow"),
    ):
        assert answer.status_code == 403
    await of_a_token.get("/account")
    answer = await of_a_token.submit("/device/decision", user_code=code, decision="allow")
    assert (answer.status_code, "roar registry user sign-in" in answer.text) == (403, True)
    assert error_of(await polled(registry, codes["device_code"])) == "authorization_pending"


async def test_a_refused_program_gets_no_tokens(registry: Registry, browser: Browser) -> None:
    for decision in ("refuse", "", "Allow"):
        codes = await started(registry)
        await decided(browser, codes["user_code"], decision)
        assert error_of(await polled(registry, codes["device_code"])) == "access_denied"
        assert error_of(await polled(registry, codes["device_code"])) == "expired_token"


async def test_a_code_expires_and_is_decided_once(registry: Registry, browser: Browser) -> None:
    first, second, third = [await started(registry) for _ in range(3)]
    await decided(browser, first["user_code"], "refuse")
    assert (await decided(browser, first["user_code"], "allow")).status_code == 403
    await browser.get("/device")
    await browser.submit("/device", user_code=second["user_code"])
    await decided(browser, third["user_code"], "allow")
    registry.clock.now += CODE_SECONDS
    assert error_of(await polled(registry, third["device_code"])) == "expired_token", "allowed, and not fetched in time"
    answer = await browser.submit("/device/decision", user_code=second["user_code"], decision="allow")
    assert answer.status_code == 403
    for codes in (first, second):
        assert error_of(await polled(registry, codes["device_code"])) in ("access_denied", "expired_token")


async def test_polls_that_come_too_soon_are_told_to_slow_down(registry: Registry) -> None:
    codes = await started(registry)
    answers = []
    for wait in (0.0, 1.0, MIN_POLL_SECONDS - 1, POLL_SECONDS, 0.5):
        registry.clock.now += wait
        answers.append(error_of(await polled(registry, codes["device_code"])))
    pending, slow = "authorization_pending", "slow_down"
    assert answers == [pending, slow, pending, pending, slow]


@pytest.mark.parametrize(
    "changes", [{"grant_type": "password"}, {"device_code": "wrong"}, {"device_code": None}, {"grant_type": None}]
)
async def test_a_wrong_poll_gets_nothing(registry: Registry, changes: Json) -> None:
    codes = await started(registry)
    answer = await polled(registry, codes["device_code"], **changes)
    assert answer.status_code in (400, 422)
    assert "access_token" not in answer.text
    if answer.status_code == 400:
        assert answer.json()["error"] in ("unsupported_grant_type", "expired_token")


@pytest.mark.parametrize("step", ["code", "decision"])
async def test_codes_of_others_cannot_be_guessed(registry: Registry, browser: Browser, step: str) -> None:
    """An attacker who found one could sign another's program in as themselves. A code of one's own resets nothing."""
    registry.person("mallory")
    mallory = Browser(registry.client)
    await mallory.sign_in(code_for(registry, "mallory"))
    victim, own = await started(registry), await started(registry)

    async def tried(code: str) -> int:
        await mallory.get("/device")
        if step == "code":
            return (await mallory.submit("/device", user_code=code)).status_code
        return (await mallory.submit("/device/decision", user_code=code, decision="allow")).status_code

    for number in range(MAX_FAILURES):
        assert await tried("BBBBBBBB") == 403
        if number == MAX_FAILURES // 2:
            assert await tried(own["user_code"]) == 200
    assert await tried(victim["user_code"]) == 429
    assert (await decided(browser, victim["user_code"], "allow")).status_code == 200, "others are not held up"
    registry.clock.now += PERIOD_SECONDS
    assert await tried("BBBBBBBB") == 403


async def test_only_a_browser_that_has_signed_in_decides(registry: Registry, browser: Browser) -> None:
    codes = await started(registry)
    alice = registry.person("another")
    stranger = Browser(registry.client)
    await stranger.get("/sign-in")
    for path in ("/device", "/device/decision"):
        answer = await stranger.submit(path, user_code=codes["user_code"], decision="allow")
        assert (answer.status_code, answer.headers["location"]) == (303, "/sign-in?next=/device")
        await stranger.get("/sign-in")
    assert (await stranger.get("/device")).headers["location"] == "/sign-in?next=/device"
    bearer = {"Authorization": alice.bearer, "Content-Type": "application/x-www-form-urlencoded", **HOST}
    form = {"user_code": codes["user_code"], "decision": "allow"}
    assert (await registry.client.post("/device/decision", data=form, headers=bearer)).status_code == 403
    await browser.get("/device")
    browser.page = ""
    for path in ("/device", "/device/decision"):
        assert (await browser.submit(path, **form)).status_code == 403, "a form without its token"
    assert error_of(await polled(registry, codes["device_code"])) == "authorization_pending"


async def test_a_user_who_was_removed_meanwhile_is_not_signed_in(registry: Registry, browser: Browser) -> None:
    codes = await started(registry)
    await decided(browser, codes["user_code"], "allow")
    registry.store.accounts.write(users.remove_user, "alice")
    assert error_of(await polled(registry, codes["device_code"])) == "expired_token"


async def test_what_waits_is_bounded(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device_flow, "MAX_REQUESTS_OF_ADDRESS", 2)
    for _ in range(2):
        await started(registry)
    answer = await registry.client.post(START, json={}, headers=HOST)
    refused(answer, 429)
    assert answer.headers["retry-after"]
    monkeypatch.setattr(device_flow, "MAX_REQUESTS_OF_ADDRESS", 9)
    monkeypatch.setattr(device_flow, "MAX_REQUESTS", 2)
    refused(await registry.client.post(START, json={}, headers=HOST), 429)
    registry.clock.now += CODE_SECONDS
    await started(registry)


async def test_a_programs_name_is_shown_as_text_and_cut(registry: Registry, browser: Browser) -> None:
    codes = await started(registry, client_name="<script>alert(1)</script>" + "x" * 8000)
    await browser.get("/device")
    page = (await browser.submit("/device", user_code=codes["user_code"])).text
    assert "<script" not in page
    assert "&lt;script" in page
    assert len(page) < 20_000


async def test_device_codes_are_stored_as_hashes(registry: Registry) -> None:
    codes = await started(registry)
    dump = "\n".join(sqlite_of(registry.store.accounts).iterdump())
    assert codes["user_code"] in dump
    assert codes["device_code"] not in dump
    assert codes["device_code"].encode().hex() not in dump.lower()


class DeviceTreqs(Treqs):
    """A service that also knows the device flow: its answers by path."""

    def __init__(self, answers: dict[str, httpx2.Response]) -> None:
        super().__init__()
        self.by_path = answers
        self.bodies: list[Any] = []

    async def __call__(self, request: httpx2.Request) -> httpx2.Response:
        self.bodies.append(request.read())
        return self.by_path[request.url.path.rpartition("/")[2]]


@pytest.mark.parametrize(
    ("said", "error"),
    [
        ({"error": "authorization_pending"}, "authorization_pending"),
        ({"error": {"code": "slow_down"}}, "slow_down"),
        ({"error": {"type": 1}}, "access_denied"),
        ({"error": "server said <b>"}, "access_denied"),
        ([1], "access_denied"),
    ],
    ids=str,
)
async def test_an_identity_service_has_its_own_device_flow(
    anyio_backend: str, store: Store, said: object, error: str
) -> None:
    theirs = {"device_code": "d", "user_code": "U", "verification_uri": "https://treqs.example/device"}
    treqs = DeviceTreqs({"start": httpx2.Response(200, json=theirs), "token": httpx2.Response(400, json=said)})
    registry = registry_of(store, treqs)
    async with registry.client:
        assert succeeded(await registry.client.post(START, json={})) == theirs
        assert error_of(await polled(registry, "d")) == error
        tokens = {"access_token": "a", "issuer": "https://treqs.example"}
        treqs.by_path["token"] = httpx2.Response(200, json={"success": True, "data": tokens})
        assert succeeded(await polled(registry, "d")) == tokens
        treqs.by_path["token"] = treqs.by_path["start"] = httpx2.Response(500)
        refused(await polled(registry, "d"), 503)
        refused(await registry.client.post(START, json={}), 503)
        treqs.by_path["start"] = httpx2.Response(400)
        refused(await registry.client.post(START, json={}), 400)
    assert b"device_code" in treqs.bodies[1]
