"""A refresh token that comes a second time: a client that got no answer gets it, and a thief ends the sign-in."""

import anyio
import pytest

from roar_publisher.registry.accounts.grants import ACCESS_LIFETIME, REFRESH_LIFETIME, REPEAT_SECONDS
from tests.support.registry.harness import Json, Registry, refused, succeeded

pytestmark = pytest.mark.anyio

ME, REFRESH = "/api/v1/auth/me", "/api/v1/auth/refresh"


async def refreshed(registry: Registry, token: str) -> Json:
    return succeeded(await registry.client.post(REFRESH, json={"refresh_token": token}))


async def is_refused(registry: Registry, token: str) -> str:
    return refused(await registry.client.post(REFRESH, json={"refresh_token": token}), 401)


async def is_signed_in(registry: Registry, access_token: str) -> bool:
    answer = await registry.client.get(ME, headers={"Authorization": f"Bearer {access_token}"})
    return answer.status_code == 200


@pytest.mark.parametrize("seconds", [REPEAT_SECONDS + 1, 86400.0])
async def test_a_stolen_token_used_second_ends_the_sign_in(registry: Registry, seconds: float) -> None:
    alice = registry.person("alice")
    hers = await refreshed(registry, alice.tokens.refresh_token)
    registry.clock.now += seconds
    assert "sign in again" in await is_refused(registry, alice.tokens.refresh_token)
    for access in (alice.tokens.access_token, hers["access_token"]):
        assert not await is_signed_in(registry, access)
    await is_refused(registry, hers["refresh_token"])


async def test_a_stolen_token_used_first_ends_the_sign_in_when_its_owner_uses_it(registry: Registry) -> None:
    """The thief hurries to have the successor used; so there is nothing to repeat, however soon the owner comes."""
    alice = registry.person("alice")
    stolen = await refreshed(registry, alice.tokens.refresh_token)
    more = await refreshed(registry, stolen["refresh_token"])
    await is_refused(registry, alice.tokens.refresh_token)
    assert not await is_signed_in(registry, more["access_token"])
    await is_refused(registry, more["refresh_token"])


async def test_an_ancestor_ends_the_sign_in_too_and_no_other_one(registry: Registry) -> None:
    alice, bob = registry.person("alice"), registry.person("bob")
    first = alice.tokens.refresh_token
    token = first
    for _ in range(5):
        registry.clock.now += 1
        token = (await refreshed(registry, token))["refresh_token"]
    await is_refused(registry, first)
    await is_refused(registry, token)
    assert await is_signed_in(registry, bob.tokens.access_token)
    await refreshed(registry, bob.tokens.refresh_token)


@pytest.mark.parametrize("seconds", [0.0, 25.0, REPEAT_SECONDS])
async def test_a_client_that_got_no_answer_asks_again_and_gets_the_same(registry: Registry, seconds: float) -> None:
    alice = registry.person("alice")
    lost = await refreshed(registry, alice.tokens.refresh_token)
    registry.clock.now += seconds
    again = await refreshed(registry, alice.tokens.refresh_token)
    assert again == {**lost, "expires_in": ACCESS_LIFETIME - seconds}
    assert await is_signed_in(registry, again["access_token"])
    registry.clock.now += REPEAT_SECONDS
    await refreshed(registry, again["refresh_token"])


async def test_processes_that_refresh_at_once_get_the_same(registry: Registry) -> None:
    alice = registry.person("alice")
    answers: list[str] = []

    async def process() -> None:
        answers.append((await refreshed(registry, alice.tokens.refresh_token))["refresh_token"])

    async with anyio.create_task_group() as group:
        for _ in range(5):
            group.start_soon(process)
    assert len(answers) == 5
    assert len(set(answers)) == 1


async def test_an_expired_spent_token_ends_nothing(registry: Registry) -> None:
    alice = registry.person("alice")
    token = (await refreshed(registry, alice.tokens.refresh_token))["refresh_token"]
    registry.clock.now += REFRESH_LIFETIME / 2
    token = (await refreshed(registry, token))["refresh_token"]
    registry.clock.now += REFRESH_LIFETIME / 2
    await is_refused(registry, alice.tokens.refresh_token)
    await refreshed(registry, token)


async def test_salts_are_kept_for_as_long_as_a_refresh_may_be_repeated(registry: Registry) -> None:
    alice, bob = registry.person("alice"), registry.person("bob")
    await refreshed(registry, alice.tokens.refresh_token)
    registry.clock.now += REPEAT_SECONDS + 1
    await refreshed(registry, bob.tokens.refresh_token)
    salts = "SELECT count(salt), count(*) FROM spent_refresh_tokens"
    assert registry.store.accounts.read(lambda db: tuple(db.execute(salts).fetchone())) == (1, 2)
