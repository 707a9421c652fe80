"""A publish against a registry that limits it: it waits as long as it is asked to, or ends with a clear reason."""

import random
from pathlib import Path

import httpx2
import trio

from roar_publisher.registry.accounts.limits import ClientLimits
from roar_publisher.registry.api.app import create_app
from roar_publisher.state.machine import Event, State
from roar_publisher.state.publish import OwnedPublish
from roar_publisher.state.record import Progress
from tests.support import virtual
from tests.support.faults.simulation import World
from tests.support.faults.weather import Weather
from tests.support.lineages import chain, cut
from tests.support.registry.features import SINGLE_LINKS, SMALL_REQUESTS
from tests.support.registry.harness import run_inline


def limited(root: Path, jobs: int, **limits: int) -> World:
    """A world whose registry has these limits."""
    world = World(root, cut(chain(jobs)))
    world.app = create_app(
        world.store,
        features=SINGLE_LINKS,
        bulk=SMALL_REQUESTS,
        clock=world.now,
        run=run_inline,
        limits=ClientLimits(**limits),
    )
    return world


def test_it_keeps_to_the_rate_and_finishes(tmp_path: Path) -> None:
    world = limited(tmp_path, 80, minute_bytes=25_000)

    async def scenario() -> float:
        ended = await world.live(Weather(random.Random(1)))
        assert isinstance(ended, Progress)
        assert ended.state is State.DONE
        return trio.current_time()

    assert virtual.run(scenario) > 60
    world.check_published()


def test_it_waits_until_another_session_of_its_address_is_finalized(tmp_path: Path) -> None:
    world = limited(tmp_path, 3, open_sessions=1)

    async def scenario() -> float:
        async with httpx2.AsyncClient(transport=httpx2.ASGITransport(world.app), base_url="http://registry") as other:
            opened = await other.post("/api/v1/registration-sessions", json={"mode": "anonymous_public"})
            assert opened.status_code == 201
        async with trio.open_nursery() as nursery:
            nursery.start_soon(end_sessions_after, 100.0)
            ended = await world.live(Weather(random.Random(1)))
        assert isinstance(ended, Progress)
        assert ended.state is State.DONE
        return trio.current_time()

    async def end_sessions_after(seconds: float) -> None:
        await trio.sleep(seconds)
        world.store.write(lambda connection: connection.execute("DELETE FROM sessions").close())

    assert 100 <= virtual.run(scenario) < 200
    assert world.requests.count("/api/v1/registration-sessions") == 3
    world.check_published()


def test_a_session_without_room_ends_it_with_the_reason_and_a_retry_does_not_go_on_for_ever(tmp_path: Path) -> None:
    world = limited(tmp_path, 300, session_bytes=20_000)
    for requests in (100, 200):
        ended = virtual.run(lambda: world.live(Weather(random.Random(1))))
        assert isinstance(ended, Progress)
        assert ended.state is State.FAILED
        assert "would stage more than" in ended.detail
        assert len(world.requests) < requests
        with OwnedPublish.open(world.paths) as owned:
            owned.journal.checkpoint(Event.RETRIED)
