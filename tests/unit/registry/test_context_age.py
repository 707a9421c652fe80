"""What the service said of a user's projects serves the user's keys for a time, and no longer."""

from collections.abc import AsyncIterator

import pytest

from roar_publisher.registry.accounts.treqs import CONFIRM_SECONDS, DEFAULT_CONTEXT_AGE
from roar_publisher.registry.data import Store
from roar_publisher.registry.store import users
from tests.support.registry.browser import Browser, code_for
from tests.support.registry.harness import Json, Registry, make_registry, refused, succeeded
from tests.support.registry.people import Person, Ssh
from tests.support.registry.treqs import CONTEXT, ME, OWN, REFUSED, SCOPE, ByTreqs, Treqs, registry_of, staged

pytestmark = pytest.mark.anyio

MAX_AGE = 7 * 86400.0


@pytest.fixture
def treqs() -> Treqs:
    return Treqs()


@pytest.fixture
async def registry(anyio_backend: str, store: Store, treqs: Treqs) -> AsyncIterator[Registry]:
    registry = registry_of(store, treqs, context_age=MAX_AGE)
    async with registry.client:
        yield registry


async def alice_with_key(registry: Registry) -> Person:
    """Alice, whom the service has named once, with a key here."""
    succeeded(await registry.client.get(ME, auth=ByTreqs()))
    person = registry.person("visitor")
    store = registry.store.accounts
    store.write(lambda db: db.execute("UPDATE keys SET user_id = (SELECT id FROM users WHERE sub = 'sub-alice')"))
    return person


@pytest.mark.parametrize("scope", [SCOPE, OWN])
async def test_the_key_of_a_removed_member_ends(registry: Registry, treqs: Treqs, scope: Json) -> None:
    alice = await alice_with_key(registry)
    treqs.answers["Bearer hers"] = REFUSED
    registry.clock.now += MAX_AGE
    receipt = await (await staged(registry, Ssh(alice))).finalize(scope_request=scope)
    assert (await registry.lineage(receipt["hash"], auth=Ssh(alice)))["visibility"] == "private"
    registry.clock.now += 1
    late = await staged(registry, Ssh(alice))
    words = refused(await late.post("/finalize", {"git_commit": "d" * 40, "scope_request": scope}), 400)
    assert "refresh with bearer auth first" in words


async def test_a_key_whose_context_is_too_old_does_not_read_its_projects(registry: Registry, treqs: Treqs) -> None:
    alice = await alice_with_key(registry)
    treqs.answers["Bearer his"] = {**CONTEXT, "user": {"id": "db-2", "sub": "sub-max"}}
    receipt = await (await staged(registry, ByTreqs("his"))).finalize(scope_request=SCOPE)
    path = f"/api/v1/sessions/{receipt['hash']}"
    registry.clock.now += MAX_AGE
    succeeded(await registry.client.get(path, auth=Ssh(alice)))
    registry.clock.now += 1
    refused(await registry.client.get(path, auth=Ssh(alice)), 404)


async def test_a_browser_reads_what_the_service_said_for_as_long_as_a_key(registry: Registry) -> None:
    receipt = await (await staged(registry, ByTreqs())).finalize(scope_request=SCOPE)
    path = f"/dag/{receipt['hash']}"
    browser = Browser(registry.client, "http://registry")
    assert (await browser.sign_in("a wrong token")).status_code == 403
    assert (await browser.sign_in("hers")).status_code == 303, "a bearer of the service"
    assert (await browser.get(path)).status_code == 200
    registry.clock.now += MAX_AGE
    assert (await browser.get("/account")).status_code == 303, "the cookie has ended"
    await browser.sign_in(code_for(registry))
    assert (await browser.get(path)).status_code == 200
    registry.clock.now += 1
    assert (await browser.get("/account")).status_code == 200
    assert (await browser.get(path)).status_code == 404


async def test_a_bearer_refreshes_the_age_though_nothing_has_changed(registry: Registry, treqs: Treqs) -> None:
    alice = await alice_with_key(registry)
    registry.clock.now += MAX_AGE
    succeeded(await registry.client.get(ME, auth=ByTreqs()))
    treqs.answers["Bearer hers"] = REFUSED
    registry.clock.now += MAX_AGE
    await (await staged(registry, Ssh(alice))).finalize(scope_request=SCOPE)


async def test_confirmations_within_moments_are_not_stored_again(registry: Registry) -> None:
    await alice_with_key(registry)
    stored = registry.store.accounts.read(users.user_with_subject, "sub-alice")
    registry.clock.now += CONFIRM_SECONDS - 1
    succeeded(await registry.client.get(ME, auth=ByTreqs()))
    assert registry.store.accounts.read(users.user_with_subject, "sub-alice") == stored


async def test_in_the_registrys_own_accounts_a_key_has_no_such_age(store: Store) -> None:
    registry = make_registry(store)
    async with registry.client:
        alice = registry.person("alice")
        registry.clock.now += 10 * DEFAULT_CONTEXT_AGE
        await (await staged(registry, Ssh(alice))).finalize(scope_request=OWN)


async def test_the_age_of_what_an_earlier_release_cached_begins_at_the_first_start(store: Store, treqs: Treqs) -> None:
    registry = registry_of(store, treqs)
    async with registry.client:
        alice = await alice_with_key(registry)
        store.accounts.write(lambda db: db.execute("UPDATE users SET context_at = NULL"))
    registry = registry_of(store, treqs)
    async with registry.client:
        registry.clock.now += DEFAULT_CONTEXT_AGE
        alice.clock = registry.clock
        first = await staged(registry, Ssh(alice))
        await first.finalize(scope_request=SCOPE)
        registry.clock.now += 1
        refused(await (await staged(registry, Ssh(alice))).post("/finalize", {"scope_request": SCOPE}), 400)
