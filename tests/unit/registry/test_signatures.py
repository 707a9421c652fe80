"""Signatures that are checked together: each request gets its own verdict."""

from collections.abc import Callable
from typing import TypeVar

import anyio
import pytest

from roar_publisher.glaas.signature import signing_payload
from roar_publisher.registry.accounts.signatures import Signature, Signatures, Signed
from roar_publisher.registry.data import Store
from roar_publisher.registry.http.refusals import Refusal
from roar_publisher.registry.store import keys
from roar_publisher.registry.store.errors import StoreUnavailable
from roar_publisher.registry.store.users import User
from tests.support.registry.harness import Clock
from tests.support.registry.people import Person, add_person

pytestmark = pytest.mark.anyio

T = TypeVar("T")
GROUP = 20
PATIENCE = 120.0
"""Seconds after which a request that should have its verdict counts as forgotten."""
PATH = "/api/v1/sessions"


class Worker:
    """Runs calls, but holds each back until it is let go.  calls: how many there were."""

    def __init__(self) -> None:
        self.calls = 0
        self.free = anyio.Event()

    async def __call__(self, call: Callable[[], T], /) -> T:
        self.calls += 1
        await self.free.wait()
        return call()


@pytest.fixture
def worker(anyio_backend: str) -> Worker:
    return Worker()


@pytest.fixture
def signatures(store: Store, worker: Worker) -> Signatures:
    return Signatures(store.accounts, worker, Clock())


@pytest.fixture
def alice(store: Store) -> Person:
    return add_person(store.accounts, "alice", Clock())


def signed(person: Person, number: int) -> Signed:
    """The request `number` of a person, as the registry reads it."""
    path = f"{PATH}?limit={number}"
    header = person.signed("GET", path).removeprefix("Signature ")
    signature = Signature.parse(header)
    assert signature is not None
    return Signed(signature, signing_payload(signature.ts, "GET", path, None))


async def verdicts(signatures: Signatures, worker: Worker, requests: list[Signed]) -> list[User | Refusal | Exception]:
    """What becomes of requests that all arrive while the worker is busy with another one's signature."""
    found: list[User | Refusal | Exception] = [RuntimeError("no verdict")] * len(requests)

    async def ask(place: int) -> None:
        try:
            found[place] = await signatures.signer(requests[place])
        except (Refusal, StoreUnavailable) as error:
            found[place] = error

    async with anyio.create_task_group() as tasks:
        for place in range(len(requests)):
            tasks.start_soon(ask, place)
        await anyio.wait_all_tasks_blocked()
        worker.free.set()
    return found


def status(verdict: object) -> int:
    return verdict.status if isinstance(verdict, Refusal) else 200


async def test_those_that_wait_are_checked_in_one_trip(signatures: Signatures, worker: Worker, alice: Person) -> None:
    found = await verdicts(signatures, worker, [signed(alice, number) for number in range(GROUP)])
    assert found == [alice.user] * GROUP
    assert worker.calls <= 2


async def test_each_request_of_a_group_gets_its_own_verdict(
    signatures: Signatures, worker: Worker, alice: Person, store: Store
) -> None:
    bob, stranger = add_person(store.accounts, "bob", Clock()), add_person(store.accounts, "eve", Clock())
    store.accounts.write(keys.remove_key, stranger.keyid)
    forged = Signed(signed(alice, 1).signature, signed(alice, 2).payload)
    requests = [signed(alice, 3), forged, signed(bob, 3), signed(stranger, 3), signed(alice, 4)]
    found = await verdicts(signatures, worker, requests)
    assert [status(verdict) for verdict in found] == [200, 401, 200, 401, 200]
    assert [found[0], found[2], found[4]] == [alice.user, bob.user, alice.user]


async def test_equal_requests_in_one_group_are_all_accepted(
    signatures: Signatures, worker: Worker, alice: Person
) -> None:
    assert await verdicts(signatures, worker, [signed(alice, 1)] * GROUP) == [alice.user] * GROUP


async def test_a_store_error_reaches_the_whole_group_and_passes(
    signatures: Signatures, worker: Worker, alice: Person, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    requests = [signed(alice, number) for number in range(GROUP)]

    def full(*args: object, **kwargs: object) -> None:
        raise StoreUnavailable("database or disk is full")

    with monkeypatch.context() as patched:
        patched.setattr(store.accounts, "read", full)
        found = await verdicts(signatures, worker, requests)
        assert all(isinstance(error, StoreUnavailable) for error in found)
    assert await verdicts(signatures, worker, requests) == [alice.user] * GROUP


async def test_the_first_of_a_group_may_be_cancelled(signatures: Signatures, worker: Worker, alice: Person) -> None:
    found: list[User] = []

    async def ask(number: int) -> None:
        found.append(await signatures.signer(signed(alice, number)))

    with anyio.fail_after(PATIENCE):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(ask, 0)  # keeps the worker busy
            await anyio.wait_all_tasks_blocked()
            async with anyio.create_task_group() as first_of_its_group:
                first_of_its_group.start_soon(ask, 1)
                await anyio.wait_all_tasks_blocked()
                for number in range(2, GROUP):
                    tasks.start_soon(ask, number)
                await anyio.wait_all_tasks_blocked()
                worker.free.set()
                first_of_its_group.cancel_scope.cancel()
    assert len(found) >= GROUP - 1
