"""How many finalizes run at once, of one session, of one client, and in all."""

from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from typing import TypeVar

import anyio
import httpx2
import pytest

from roar_publisher.registry.data import Store
from roar_publisher.registry.http.refusals import Refusal
from roar_publisher.registry.lineages import finalize
from roar_publisher.registry.lineages.turns import Limits, Turns
from tests.support.registry.harness import GIT, Clock, Registry, Session, job, make_registry, refused
from tests.support.registry.people import Bearer, add_person

pytestmark = pytest.mark.anyio
T = TypeVar("T")


async def filled(session: Session) -> Session:
    await session.add_jobs(job(1))
    return session


async def during_a_finalize(store: Store, limits: Limits, ask: Callable[[Session], Awaitable[T]]) -> T:
    """What `ask`, which gets another session of this client, returns while a finalize hashes."""
    answers: list[T] = []
    asked = False

    async def run(call: Callable[[], object], /) -> object:
        nonlocal asked
        result = call()
        if getattr(call, "args", (None,))[0] is finalize.hash_slice and not asked:
            asked = True
            answers.append(await ask(other))
        return result

    registry = make_registry(store, run=run, turns=Turns(limits))
    async with registry.client:
        first, other = await filled(await registry.open()), await filled(await registry.open())
        await first.finalize()
        # The refused one publishes when it tries again: nothing of it was lost.
        assert (await other.finalize())["status"] == "closed"
    return answers[0]


async def test_too_many_finalizes_of_one_client_are_refused_and_may_try_again(anyio_backend: str, store: Store) -> None:
    async def ask(other: Session) -> httpx2.Response:
        return await other.post("/finalize", GIT)

    response = await during_a_finalize(store, Limits(of_client=1), ask)
    assert "try again in 5 s" in refused(response, 429)
    assert response.headers["Retry-After"] == "5"


async def test_one_client_does_not_use_anothers_turns(anyio_backend: str, store: Store) -> None:
    """The one that is refused comes from an address; a user who finalizes meanwhile is another client."""
    alice = add_person(store.accounts, "alice", Clock())

    async def ask(other: Session) -> httpx2.Response:
        own = Session(other.client, {}, Bearer(alice))
        own.opened = (await other.client.post("/api/v1/registration-sessions", json={}, auth=own.auth)).json()
        return await (await filled(own)).post("/finalize", GIT)

    assert (await during_a_finalize(store, Limits(of_client=1), ask)).status_code == 200


async def test_counts_and_receipts_need_no_turn(anyio_backend: str, registry: Registry) -> None:
    session = await filled(await registry.open())
    receipt = await session.finalize()
    registry = make_registry(registry.store, turns=Turns(Limits(of_session=0, of_client=0)), clock=registry.clock)
    async with registry.client:
        again = Session(registry.client, session.opened)
        assert await again.finalize() == receipt
        other = await filled(await registry.open())
        refused(await other.post("/finalize", {**GIT, "expected": {"jobs": 2}}), 400)
        refused(await other.post("/finalize", GIT), 429)


@pytest.mark.parametrize(
    ("names", "limits"),
    [
        ([("s", "a"), ("s", "b")], Limits()),
        ([("s", "a"), ("t", "a")], Limits(running_of_client=1)),
        ([("s", "a"), ("t", "b")], Limits(running=1)),
    ],
    ids=["session", "client", "all"],
)
async def test_the_second_waits_for_the_first(names: list[tuple[str, str]], limits: Limits) -> None:
    turns = Turns(limits)
    seen: list[str] = []

    async def second() -> None:
        async with turns.turn(*names[1]):
            seen.append("second")

    async with anyio.create_task_group() as group:
        async with turns.turn(*names[0]):
            group.start_soon(second)
            await anyio.wait_all_tasks_blocked()
            seen.append("first ends")
    assert seen == ["first ends", "second"]
    assert turns._queues._queues == {}


async def test_a_cancelled_finalize_leaves_the_queue() -> None:
    turns = Turns(Limits(running_of_client=1, of_client=2))
    async with turns.turn("s", "a"):
        with anyio.move_on_after(0):
            async with turns.turn("t", "a"):
                raise AssertionError("two at once")
        async with AsyncExitStack() as stack, anyio.create_task_group() as group:

            async def wait() -> None:
                async with turns.turn("u", "a"):
                    raise AssertionError("two at once")

            group.start_soon(wait)
            await anyio.wait_all_tasks_blocked()
            with pytest.raises(Refusal):
                await stack.enter_async_context(turns.turn("v", "a"))
            group.cancel_scope.cancel()
    assert turns._queues._queues == {}
