"""A user that a command added is linked to a TReqs account by a mapping or a verified address, never by a name."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from roar_publisher.registry.accounts.treqs import TRUST_SECONDS
from roar_publisher.registry.data import Store
from roar_publisher.registry.store import accounts_schema, users
from roar_publisher.registry.store.errors import AlreadyExists, NotFound
from roar_publisher.registry.store.sqlite import connect, migrate
from tests.support.registry.harness import Json, Registry, succeeded
from tests.support.registry.people import Ssh
from tests.support.registry.treqs import CONTEXT, ME, SCOPE, ByTreqs, Treqs, registry_of, staged

pytestmark = pytest.mark.anyio

BEFORE_LINKING = 3
"""Migrations of the accounts before users could be linked."""


@pytest.fixture
def treqs() -> Treqs:
    return Treqs()


@pytest.fixture
async def registry(anyio_backend: str, store: Store, treqs: Treqs) -> AsyncIterator[Registry]:
    registry = registry_of(store, treqs)
    async with registry.client:
        yield registry


def account(**changes: object) -> Json:
    """What the service says of Alice, with these changes."""
    return {**CONTEXT, "user": {**CONTEXT["user"], **changes}}


async def signed_in(registry: Registry, token: str = "hers") -> Json:
    user: Json = succeeded(await registry.client.get(ME, auth=ByTreqs(token)))["data"]["user"]
    return user


async def test_a_verified_address_links_the_user_who_was_added_with_it(registry: Registry, treqs: Treqs) -> None:
    alice = registry.person("a.smith", email="alice@example.org")
    treqs.answers["Bearer hers"] = account(email_verified=True)
    assert (await signed_in(registry))["id"] == alice.user.id
    assert registry.store.accounts.read(users.find_user, "a.smith").sub == "sub-alice"
    receipt = await (await staged(registry, Ssh(alice))).finalize(scope_request=SCOPE)  # her key has her projects now
    assert (await registry.lineage(receipt["hash"], auth=ByTreqs()))["visibility"] == "private"


@pytest.mark.parametrize(
    "said",
    [
        {},
        {"email_verified": False},
        {"email_verified": None},
        {"email_verified": "true"},
        {"email_verified": 1},
        {"email_verified": True, "email": "Alice@example.org"},
        {"email_verified": True, "email": "alice@example.org "},
        {"email_verified": True, "email": None},
        {"email_verified": True, "email": ""},
    ],
    ids=str,
)
async def test_another_or_an_unverified_address_links_nobody(registry: Registry, treqs: Treqs, said: Json) -> None:
    alice = registry.person("alice")
    nobody = registry.person("nobody", email="")
    treqs.answers["Bearer hers"] = account(**said)
    linked = await signed_in(registry)
    assert linked["id"] not in (alice.user.id, nobody.user.id)
    assert linked["username"].startswith("alice-")


async def test_a_name_links_nobody(registry: Registry, treqs: Treqs) -> None:
    alice = registry.person("alice", email="elsewhere@example.org")
    treqs.answers["Bearer hers"] = account(email_verified=True)
    assert (await signed_in(registry))["id"] != alice.user.id


async def test_an_address_of_several_users_links_none_of_them(registry: Registry, treqs: Treqs) -> None:
    people = [registry.person(name, email="alice@example.org") for name in ("one", "two")]
    treqs.answers["Bearer hers"] = account(email_verified=True)
    assert (await signed_in(registry))["id"] not in {person.user.id for person in people}


async def test_a_linked_user_is_not_linked_to_a_second_account(registry: Registry, treqs: Treqs) -> None:
    alice = registry.person("a.smith", email="alice@example.org")
    treqs.answers["Bearer hers"] = account(email_verified=True)
    treqs.answers["Bearer thief"] = account(email_verified=True, sub="sub-thief", id="db-9")
    assert (await signed_in(registry))["id"] == alice.user.id
    assert (await signed_in(registry, "thief"))["id"] != alice.user.id


async def test_an_administrators_mapping_decides_alone(registry: Registry, treqs: Treqs) -> None:
    """A verified address does not reach a user whom the administrator has given to another account."""
    alice = registry.person("a.smith", email="alice@example.org")
    registry.store.accounts.write(users.link_user, "a.smith", "sub-alice")
    treqs.answers["Bearer thief"] = account(email_verified=True, sub="sub-thief", id="db-9")
    assert (await signed_in(registry, "thief"))["id"] != alice.user.id
    assert (await signed_in(registry))["id"] == alice.user.id


async def test_a_mapping_names_one_user_and_forgets_an_earlier_account(registry: Registry) -> None:
    store = registry.store.accounts
    first = await signed_in(registry)
    registry.person("carol")
    with pytest.raises(AlreadyExists, match="alice"):
        store.write(users.link_user, "carol", "sub-alice")
    with pytest.raises(NotFound):
        store.write(users.link_user, "dave", "sub-dave")
    store.write(users.link_user, "alice", "sub-other")
    assert store.read(users.cached_context, first["id"], since=0.0) is None
    store.write(users.link_user, "carol", "sub-alice")
    registry.clock.now += TRUST_SECONDS
    assert (await signed_in(registry))["username"] == "carol"


def test_users_of_an_earlier_release_are_unlinked_unless_the_service_has_named_them() -> None:
    connection = connect(":memory:", timeout=0)
    migrate(connection, accounts_schema.MIGRATIONS[:BEFORE_LINKING])
    for name, context in (("hand", None), ("treqs", "{}")):
        row: tuple[Any, ...] = (name, name, name, f"{name}@example.org", context)
        connection.execute("INSERT INTO users (id, name, sub, email, context) VALUES (?, ?, ?, ?, ?)", row)
    migrate(connection, accounts_schema.MIGRATIONS)
    found = [users.unlinked_user_with_email(connection, f"{name}@example.org") for name in ("hand", "treqs")]
    assert [user and user.name for user in found] == ["hand", None]
