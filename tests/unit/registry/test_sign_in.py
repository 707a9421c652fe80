"""Sign-in in a browser: codes that work once, cookies, and forms that only the registry's own pages can send."""

import re
from collections.abc import AsyncIterator
from html import unescape
from http.cookies import SimpleCookie
from typing import NoReturn

import httpx2
import pytest

from roar_publisher.registry.accounts import attempts, grants
from roar_publisher.registry.accounts.attempts import MAX_FAILURES, PERIOD_SECONDS
from roar_publisher.registry.accounts.authority import LocalAuthority
from roar_publisher.registry.accounts.browser_sessions import CODE_SECONDS, SESSION_SECONDS
from roar_publisher.registry.accounts.codes import new_code, typed_code
from roar_publisher.registry.api import sign_in
from roar_publisher.registry.data import Store
from roar_publisher.registry.http.refusals import RETRY_AFTER, Refusal
from roar_publisher.registry.store import sign_ins, users
from roar_publisher.registry.store.errors import NotFound, StoreUnavailable
from tests.support.registry.browser import ORIGIN, Browser, code_for, registry_with_name
from tests.support.registry.engines import sqlite_of
from tests.support.registry.harness import Registry, job
from tests.support.registry.people import Bearer
from tests.support.registry.treqs import CONTEXT, OWN, Treqs, registry_of

pytestmark = pytest.mark.anyio


@pytest.fixture
async def registry(anyio_backend: str, store: Store) -> AsyncIterator[Registry]:
    registry = registry_with_name(store)
    async with registry.client:
        yield registry


@pytest.fixture
def browser(registry: Registry) -> Browser:
    return Browser(registry.client)


async def private_lineage(registry: Registry, auth: httpx2.Auth) -> str:
    """The path of a private lineage's page."""
    registry.client.headers["Content-Type"] = "application/json"
    session = await registry.open(auth=auth)
    await session.add_jobs(job(1))
    receipt = await session.finalize(scope_request=OWN)
    del registry.client.headers["Content-Type"]
    return f"/dag/{receipt['hash']}"


async def test_who_signed_in_reads_private_pages_until_the_sign_out(registry: Registry, browser: Browser) -> None:
    alice, bob = registry.person("alice"), registry.person("bob")
    path = await private_lineage(registry, Bearer(alice))
    missing = await browser.get(path)
    assert missing.status_code == 404
    (sign_in,) = re.findall(r'href="(/sign-in[^"]*)"', missing.text)
    answer = await browser.sign_in(code_for(registry), unescape(sign_in))
    assert (answer.status_code, answer.headers["location"]) == (303, path)
    assert (await browser.get(path)).status_code == 200
    assert "alice" in (await browser.get("/account")).text
    others = Browser(registry.client)
    await others.sign_in(code_for(registry, "bob"))
    assert (await others.get(path)).status_code == 404
    before = dict(browser.cookies)
    assert (await browser.submit("/sign-out")).headers["location"] == "/"
    assert (await browser.get(path)).status_code == 404
    browser.cookies = before
    assert (await browser.get(path)).status_code == 404, "the cookie is dead, not only replaced"
    assert bob.user.id != alice.user.id


async def test_a_cookie_is_for_pages_alone(registry: Registry, browser: Browser) -> None:
    path = await private_lineage(registry, Bearer(registry.person("alice")))
    await browser.sign_in(code_for(registry))
    assert (await browser.get(path)).status_code == 200
    assert (await browser.get(f"/api/v1/sessions/{path.rpartition('/')[2]}")).status_code == 404
    assert (await browser.get("/api/v1/auth/me")).status_code == 401
    token = next(iter(browser.cookies.values()))
    answer = await registry.client.get("/api/v1/auth/me", headers={"Authorization": f"Bearer {token}"})
    assert answer.status_code == 401


async def test_a_code_works_once_and_for_an_hour(registry: Registry, browser: Browser) -> None:
    registry.person("alice")
    code, late = code_for(registry), code_for(registry)
    assert (await browser.sign_in(code.lower().replace("-", " "))).status_code == 303
    assert (await browser.sign_in(code)).status_code == 403
    registry.clock.now += CODE_SECONDS
    assert (await browser.sign_in(late)).status_code == 403
    with pytest.raises(NotFound):
        code_for(registry, "nobody")


async def test_a_code_is_not_spent_by_a_sign_in_that_fails(
    registry: Registry, browser: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry.person("alice")
    code = code_for(registry)

    def fail(*_: object) -> NoReturn:
        raise StoreUnavailable("database is locked")

    for step in ("begin_session", "end_session", "give_back"):
        with monkeypatch.context() as failing:
            failing.setattr(sign_in, step, fail)
            assert (await browser.sign_in(code)).status_code == 503
    assert (await browser.sign_in(code)).status_code == 303


async def test_an_access_token_signs_in_too_while_it_is_valid(registry: Registry, browser: Browser) -> None:
    alice = registry.person("alice")
    assert (await browser.sign_in(alice.tokens.access_token)).status_code == 303
    assert "alice" in (await browser.get("/account")).text
    for wrong in (alice.tokens.refresh_token, alice.tokens.access_token[:-1], "", "a b", "é"):
        assert (await Browser(registry.client).sign_in(wrong)).status_code == 403
    registry.clock.now += grants.ACCESS_LIFETIME
    assert (await Browser(registry.client).sign_in(alice.tokens.access_token)).status_code == 403


@pytest.mark.parametrize("how", ["expired", "revoked", "logged out"])
async def test_a_cookie_ends_with_the_sign_in_of_the_token_that_began_it(
    registry: Registry, browser: Browser, how: str
) -> None:
    alice, store, now = registry.person("alice"), registry.store.accounts, registry.clock()
    _, tokens = store.write(grants.issue, "alice", now=now, lifetime=600.0, renewable=False)
    assert (await browser.sign_in(tokens.access_token)).status_code == 303
    ends = {each.id: each.expires_at for each in store.read(sign_ins.grants) if each.id != alice.tokens.grant_id}
    assert set(ends.values()) == {now + 600.0}
    registry.clock.now += 599.0
    assert (await browser.get("/account")).status_code == 200
    match how:
        case "expired":
            registry.clock.now += 1.0
        case "revoked":
            store.write(sign_ins.revoke, tokens.grant_id)
        case _:
            store.write(grants.revoke_bearer, tokens.access_token)
    assert (await browser.get("/account")).headers["location"] == "/sign-in"
    await Browser(registry.client).sign_in(code_for(registry))
    assert not ends.keys() & {each.id for each in store.read(sign_ins.grants)}


async def test_a_token_that_is_revoked_while_it_signs_in_begins_nothing(
    registry: Registry, browser: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    alice = registry.person("alice")
    holder_of = LocalAuthority.holder_of

    async def revoked_afterwards(authority: LocalAuthority, token: str) -> grants.TokenHolder | None:
        holder = await holder_of(authority, token)
        registry.store.accounts.write(sign_ins.revoke, alice.tokens.grant_id)
        return holder

    monkeypatch.setattr(LocalAuthority, "holder_of", revoked_afterwards)
    assert (await browser.sign_in(alice.tokens.access_token)).status_code == 403
    assert registry.store.accounts.read(sign_ins.grants) == []


async def test_a_cookie_ends_by_itself(registry: Registry, browser: Browser) -> None:
    registry.person("alice")
    await browser.sign_in(code_for(registry))
    registry.clock.now += SESSION_SECONDS - 1
    assert (await browser.get("/account")).status_code == 200
    registry.clock.now += 1
    assert (await browser.get("/account")).headers["location"] == "/sign-in"


@pytest.mark.parametrize("how", ["revoked", "removed"])
async def test_an_operator_ends_a_cookie(registry: Registry, browser: Browser, how: str) -> None:
    registry.person("alice")
    store = registry.store.accounts
    await browser.sign_in(code_for(registry))
    (grant,) = [each for each in store.read(sign_ins.grants) if each.client == "browser"]
    if how == "revoked":
        store.write(sign_ins.revoke, grant.id)
    else:
        store.write(users.remove_user, "alice")
    assert (await browser.get("/account")).status_code == 303


async def test_only_hashes_of_codes_and_cookies_are_stored(registry: Registry, browser: Browser) -> None:
    registry.person("alice")
    spent, fresh = code_for(registry), code_for(registry)
    await browser.sign_in(spent)
    dump = "\n".join(sqlite_of(registry.store.accounts).iterdump())
    for secret in (spent, fresh, *browser.cookies.values()):
        assert secret not in dump
        assert secret.encode().hex() not in dump.lower()


@pytest.mark.parametrize(
    ("origin", "name", "secure"),
    [(ORIGIN, "__Host-roar", True), ("http://127.0.0.1:8123", "roar", False)],
)
async def test_scripts_other_sites_and_plain_connections_do_not_get_the_cookie(
    registry: Registry, origin: str, name: str, secure: bool
) -> None:
    registry.person("alice")
    browser = Browser(registry.client, origin)
    for answer in (await browser.get("/sign-in"), await browser.sign_in(code_for(registry))):
        for line in answer.headers.get_list("set-cookie"):
            (morsel,) = SimpleCookie(line).values()
            assert morsel.key == name
            assert (morsel["httponly"], morsel["samesite"].lower(), morsel["path"]) == (True, "lax", "/")
            assert bool(morsel["secure"]) is secure
            assert morsel["domain"] == ""
    assert list(browser.cookies) == [name]


async def test_the_sign_in_gives_another_cookie(registry: Registry, browser: Browser) -> None:
    """An attacker who planted the cookie before does not know it afterwards."""
    registry.person("alice")
    await browser.get("/sign-in")
    planted = dict(browser.cookies)
    await browser.sign_in(code_for(registry))
    assert browser.cookies != planted
    browser.cookies = planted
    assert (await browser.get("/account")).status_code == 303


FORMS = ["/sign-in", "/sign-out"]


@pytest.mark.parametrize("path", FORMS)
@pytest.mark.parametrize("wrong", ["no token", "no cookie", "token of another browser", "empty", "not a form"])
async def test_a_form_that_this_browser_was_not_given_has_no_effect(
    registry: Registry, browser: Browser, path: str, wrong: str
) -> None:
    registry.person("alice")
    await browser.sign_in(code_for(registry))
    await browser.get("/account")
    other = Browser(registry.client)
    await other.get("/sign-in")
    kept, code = dict(browser.cookies), code_for(registry)
    match wrong:
        case "no token":
            browser.page = ""
        case "no cookie":
            browser.cookies = {}
        case "token of another browser":
            browser.page = other.page
        case "not a form":
            browser.page = ""
            code = "x" * 20_000
        case _:
            browser.page = browser.page.replace('value="', 'value="" x="')
    answer = await browser.submit(path, code=code)
    assert answer.status_code == (413 if wrong == "not a form" else 403)
    assert (answer.headers.get("connection") == "close") == (wrong == "not a form")
    assert "<html" in answer.text
    browser.cookies = kept
    assert (await browser.get("/account")).status_code == 200
    if wrong != "not a form":
        assert (await Browser(registry.client).sign_in(code)).status_code == 303, "the code was not spent"


async def test_a_form_is_no_json_and_comes_from_no_other_site(registry: Registry, browser: Browser) -> None:
    await browser.get("/sign-in")
    cookie = "; ".join(f"{name}={value}" for name, value in browser.cookies.items())
    headers = {"Host": "registry.example.org", "Cookie": cookie}
    for kind in ("application/json", "text/plain", "multipart/form-data; boundary=x"):
        answer = await registry.client.post("/sign-in", content=b"{}", headers={**headers, "Content-Type": kind})
        assert answer.status_code == 415
    browser.origin = "https://registry.example.org.evil.test"
    headers |= {"Origin": browser.origin, "Content-Type": "application/x-www-form-urlencoded"}
    assert (await registry.client.post("/sign-in", content=b"a=b", headers=headers)).status_code == 403


@pytest.mark.parametrize("after", ["//evil.test/", "/\\evil.test", "https://evil.test/", "javascript:x", "", "/a b"])
async def test_the_browser_is_sent_to_no_other_site(registry: Registry, browser: Browser, after: str) -> None:
    registry.person("alice")
    await browser.get("/sign-in")
    answer = await browser.submit("/sign-in", code=code_for(registry), next=after)
    assert answer.headers["location"] == "/account"


async def test_codes_cannot_be_guessed_however_often_one_tries(registry: Registry, browser: Browser) -> None:
    registry.person("alice")
    right = code_for(registry)
    for _ in range(MAX_FAILURES):
        assert (await browser.sign_in("BBBB-BBBB-BBBB-BBBB")).status_code == 403
    refused = await browser.sign_in(right)
    assert refused.status_code == 429
    assert refused.headers["retry-after"] == str(int(PERIOD_SECONDS))
    assert (await Browser(registry.client).sign_in(right)).status_code == 429, "another cookie is no other guesser"
    registry.clock.now += PERIOD_SECONDS
    assert (await browser.sign_in(right)).status_code == 303


async def test_a_right_code_gives_back_its_own_attempt_alone(registry: Registry, browser: Browser) -> None:
    registry.person("alice")
    for _ in range(MAX_FAILURES - 1):
        await browser.sign_in("BBBB-BBBB-BBBB-BBBB")
    for _ in range(3):
        assert (await browser.sign_in(code_for(registry))).status_code == 303
    assert (await browser.sign_in("BBBB-BBBB-BBBB-BBBB")).status_code == 403
    assert (await browser.sign_in(code_for(registry))).status_code == 429


async def test_a_token_that_cannot_be_checked_is_no_wrong_one(store: Store) -> None:
    treqs = Treqs()
    registry = registry_of(store, treqs)
    del registry.client.headers["Content-Type"]
    treqs.answers["Bearer hers"] = httpx2.Response(502)
    browser = Browser(registry.client, "http://registry")
    async with registry.client:
        for _ in range(MAX_FAILURES + 1):
            refused = await browser.sign_in("hers")
            assert (refused.status_code, refused.headers["retry-after"]) == (503, RETRY_AFTER["Retry-After"])
        treqs.answers["Bearer hers"] = CONTEXT
        assert (await browser.sign_in("hers")).status_code == 303


def test_the_record_of_attempts_is_bounded(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attempts, "MAX_GUESSERS", 2)
    for guesser in ("one", "two", "one"):
        store.accounts.write(attempts.begin_attempt, guesser, 0.0)
    with pytest.raises(Refusal):
        store.accounts.write(attempts.begin_attempt, "three", 1.0)
    store.accounts.write(attempts.begin_attempt, "three", PERIOD_SECONDS)


def test_codes_are_random_and_read_as_they_are_typed() -> None:
    made = {new_code(16) for _ in range(100)}
    assert len(made) == 100
    for code in made:
        assert re.fullmatch(r"[BCDFGHJKLMNPQRSTVWXZ]{4}(-[BCDFGHJKLMNPQRSTVWXZ]{4}){3}", code)
        assert typed_code(f" {code.lower()}\n", 16) == typed_code(code.replace("-", ""), 16) == code
    for text in ("", "BBBB", "A" * 16, "B" * 17, "BBBB-BBBB-BBBB-BBB" + "\u212a"):
        assert typed_code(text, 16) is None
