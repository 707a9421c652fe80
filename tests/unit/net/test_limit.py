"""The adaptive limit: doubles, halves once a round, never passes what is allowed, and loses no slot."""

import random

import anyio
import pytest
from anyio.lowlevel import checkpoint

from roar_publisher.net.limit import FIRST_LIMIT, AdaptiveLimit
from tests.support import virtual

pytestmark = pytest.mark.anyio


async def succeed(limit: AdaptiveLimit, times: int) -> None:
    """So many requests, as many at once as may be, each answered soon."""
    for start in range(0, times, limit.most):
        async with anyio.create_task_group() as tasks:
            for _ in range(start, min(times, start + limit.most)):
                tasks.start_soon(_succeed, limit)


async def _succeed(limit: AdaptiveLimit) -> None:
    async with limit.slot() as slot:
        await checkpoint()
        slot.answered("thing", 0.01)


async def strain(limit: AdaptiveLimit) -> None:
    async with limit.slot() as slot:
        slot.congested()


async def test_the_limit_starts_moderately_and_doubles_up_to_its_maximum() -> None:
    limit = AdaptiveLimit(64)
    assert limit.current == FIRST_LIMIT
    await succeed(limit, FIRST_LIMIT)
    assert FIRST_LIMIT < limit.current <= 2 * FIRST_LIMIT
    await succeed(limit, 1000)
    assert limit.current == 64


async def test_a_limit_that_is_not_used_does_not_grow() -> None:
    limit = AdaptiveLimit(64)
    for _ in range(100):
        await _succeed(limit)
    assert limit.current == FIRST_LIMIT


@pytest.mark.parametrize("most", [1, 2, 5])
async def test_a_small_maximum_is_never_exceeded(most: int) -> None:
    limit = AdaptiveLimit(most)
    await succeed(limit, 100)
    assert limit.current == most


async def test_congestion_halves_and_growth_is_additive_from_then_on() -> None:
    limit = AdaptiveLimit(64)
    await strain(limit)
    assert limit.current == FIRST_LIMIT // 2
    rounds = 0
    while limit.current < FIRST_LIMIT:
        await succeed(limit, limit.current)
        rounds += 1
    assert rounds >= FIRST_LIMIT // 2, "one more a round"


async def test_it_never_falls_below_one() -> None:
    limit = AdaptiveLimit(8)
    for _ in range(20):
        await strain(limit)
    assert limit.current == 1


async def test_a_round_halves_once_however_many_of_it_fail() -> None:
    limit = AdaptiveLimit(64)
    everyone_sent = anyio.Event()

    async def send() -> None:
        async with limit.slot() as slot:
            await everyone_sent.wait()
            slot.congested()

    async with anyio.create_task_group() as tasks:
        for _ in range(FIRST_LIMIT):
            tasks.start_soon(send)
        await anyio.wait_all_tasks_blocked()
        everyone_sent.set()
    assert limit.current == FIRST_LIMIT // 2
    await strain(limit)
    assert limit.current == FIRST_LIMIT // 4


async def test_slots_are_limited_and_given_in_fifo_order() -> None:
    limit = AdaptiveLimit(3)
    inside: list[int] = []
    order: list[int] = []
    leave = {number: anyio.Event() for number in range(9)}

    async def send(number: int) -> None:
        async with limit.slot():
            order.append(number)
            inside.append(number)
            assert len(inside) <= 3
            await leave[number].wait()
            inside.remove(number)

    async with anyio.create_task_group() as tasks:
        for number in range(9):
            tasks.start_soon(send, number)
            await anyio.wait_all_tasks_blocked()
        for number in range(9):
            assert number in inside
            leave[number].set()
            await anyio.wait_all_tasks_blocked()
    assert order == list(range(9))


async def test_whoever_sends_one_request_after_another_lets_those_pass_that_wait() -> None:
    limit, order = AdaptiveLimit(1), list[str]()

    async def send(name: str) -> None:
        for _ in range(3):
            async with limit.slot():
                order.append(name)
                await checkpoint()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(send, "a")
        tasks.start_soon(send, "b")
    assert [*order[:6:2], *order[1:6:2]] in ([*"aaabbb"], [*"bbbaaa"])


async def test_a_waiter_that_is_cancelled_as_its_turn_comes_passes_the_slot_on() -> None:
    limit = AdaptiveLimit(1)
    served: list[str] = []

    async def wait(name: str, scope: anyio.CancelScope) -> None:
        with scope:
            async with limit.slot():
                served.append(name)

    first, second = anyio.CancelScope(), anyio.CancelScope()
    async with anyio.create_task_group() as tasks:
        async with limit.slot():
            for name, scope in (("first", first), ("second", second)):
                tasks.start_soon(wait, name, scope)
                await anyio.wait_all_tasks_blocked()
            first.cancel()  # and before it runs, the end of this block offers it the slot
        await anyio.wait_all_tasks_blocked()
        second.cancel()
    assert served == ["second"]


async def test_a_cancelled_waiter_loses_no_slot() -> None:
    limit = AdaptiveLimit(1)
    leave, got_in = anyio.Event(), anyio.Event()
    impatient = anyio.CancelScope()

    async def hold() -> None:
        async with limit.slot():
            await leave.wait()

    async def give_up() -> None:
        with impatient:
            async with limit.slot():
                raise AssertionError("it was cancelled before there was room")

    async def wait() -> None:
        async with limit.slot():
            got_in.set()

    async with anyio.create_task_group() as tasks:
        for task in (hold, give_up, wait):
            tasks.start_soon(task)
            await anyio.wait_all_tasks_blocked()
        impatient.cancel()
        await anyio.wait_all_tasks_blocked()
        leave.set()
        await anyio.wait_all_tasks_blocked()
        assert got_in.is_set()
        tasks.cancel_scope.cancel()


async def test_a_cancelled_request_gives_its_slot_back() -> None:
    limit = AdaptiveLimit(2)
    for _ in range(5):
        async with anyio.create_task_group() as tasks:

            async def hold() -> None:
                async with limit.slot():
                    await anyio.sleep_forever()

            tasks.start_soon(hold)
            tasks.start_soon(hold)
            await anyio.wait_all_tasks_blocked()
            tasks.cancel_scope.cancel()
    with anyio.fail_after(5):
        await succeed(limit, 2)


@pytest.mark.parametrize("seed", range(30))
def test_under_random_loads_and_cancellations_nothing_gets_stuck(seed: int) -> None:
    rng = random.Random(seed)

    async def scenario() -> None:
        limit = AdaptiveLimit(rng.randint(1, 6))
        inside = done = 0

        async def send(stay: float, give_up: float, is_congested: bool) -> None:
            nonlocal inside, done
            with anyio.move_on_after(give_up):
                async with limit.slot() as slot:
                    inside += 1
                    assert inside <= limit.most
                    try:
                        await anyio.sleep(stay)
                        if is_congested:
                            slot.congested()
                    finally:
                        inside -= 1
            done += 1
            await checkpoint()

        with anyio.fail_after(10_000):
            async with anyio.create_task_group() as tasks:
                for _ in range(200):
                    patience = rng.choice([rng.uniform(0, 5), float("inf")])
                    tasks.start_soon(send, rng.uniform(0, 2), patience, rng.random() < 0.2)
        assert (inside, done) == (0, 200)
        assert 1 <= limit.current <= limit.most

    virtual.run(scenario)
