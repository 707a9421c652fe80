"""A sign-in is due to be renewed, and the registry cannot renew it now: the token is used for as long as it works."""

from collections.abc import Callable
from pathlib import Path

import httpx2
import pytest

from roar_publisher.auth.choice import Flag
from roar_publisher.auth.signin import REFRESH_LEEWAY_S
from roar_publisher.state.errors import Transient
from roar_publisher.state.machine import State
from roar_publisher.state.record import Progress
from tests.support.auth.worlds import BY_BEARER, LAST_LINKS, World
from tests.support.faults.simulation import run_virtually
from tests.support.lineages import chain, cut

LINEAGE = cut(chain(4), batch=lambda: 1)
LIFETIME = 3600.0
"""Seconds that an access token of the registry lives."""
TROUBLES: dict[str, Callable[[], httpx2.Response]] = {
    "failing": lambda: httpx2.Response(500),
    "busy": lambda: httpx2.Response(503),
    "busy for an hour": lambda: httpx2.Response(503, headers={"retry-after": "3600"}),
    "no GLaaS": lambda: httpx2.Response(200, content=b"<html>"),
}
trouble = pytest.mark.parametrize("trouble", TROUBLES)


def in_trouble(world: World, trouble: str) -> None:
    world.instead = lambda path: TROUBLES[trouble]() if path.endswith("/auth/refresh") else None


@trouble
@pytest.mark.parametrize("key", [False, True])
def test_a_token_that_still_works_publishes(trouble: str, key: bool, tmp_path: Path) -> None:
    async def scenario() -> None:
        world = World(tmp_path, LINEAGE, Flag.PRIVATE)
        world.sign_in()
        if key:
            world.make_key()
        world.let_time_pass(LIFETIME - REFRESH_LEEWAY_S + 10)
        in_trouble(world, trouble)
        began = world.now()
        end = await world.live()
        assert isinstance(end, Progress), end
        assert world.now() - began < 60, "the requests do not wait for it one after the other"
        world.check_published(BY_BEARER)
        assert not world.calls("", 401)

    run_virtually(scenario, 0)


def test_it_is_renewed_later_once_the_registry_can(tmp_path: Path) -> None:
    """The network is away for two minutes during the publish; by then it is worth another try."""

    async def scenario() -> None:
        world = World(tmp_path, LINEAGE, Flag.PRIVATE)
        world.sign_in()
        first = world.saved_sign_in()
        world.let_time_pass(LIFETIME - REFRESH_LEEWAY_S + 10)
        in_trouble(world, "failing")

        def before(number: int) -> None:
            if world.calls(LAST_LINKS) and not world.calls("/finalize"):
                world.instead = lambda path: None
                world.let_time_pass(120)
                world.before = lambda number: None

        world.before = before
        assert isinstance(await world.live(), Progress)
        assert world.saved_sign_in()["refresh_token"] != first["refresh_token"]
        assert [sent.status for sent in world.calls("/auth/refresh")][-1] == 200
        world.check_published(BY_BEARER)

    run_virtually(scenario, 0)


@trouble
@pytest.mark.parametrize("key", [False, True])
def test_an_expired_token_waits_for_the_registry(trouble: str, key: bool, tmp_path: Path) -> None:
    async def scenario() -> None:
        world = World(tmp_path, LINEAGE, Flag.PRIVATE)
        world.sign_in()
        if key:
            world.make_key()
        world.let_time_pass(LIFETIME + 1)
        in_trouble(world, trouble)
        assert isinstance(await world.live(), Transient)
        assert not world.calls("/registration-sessions")
        progress = world.progress()
        assert (progress.state, progress.identity) == (State.OPEN, BY_BEARER), "whose it is, the sign-in says itself"
        world.instead = lambda path: None
        assert isinstance(await world.live(), Progress)
        world.check_published(BY_BEARER)

    run_virtually(scenario, 0)
