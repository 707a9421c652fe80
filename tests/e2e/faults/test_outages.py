"""Long trouble, in milliseconds: a day without a network, hours of throttling, and every moment to die in."""

import random
from pathlib import Path

import pytest
import trio

from roar_publisher.engine.loop import GRACE_SECONDS
from roar_publisher.engine.staging.acks import GROUP_SIZE
from roar_publisher.net.gate import LONGEST_PROBE_SECONDS
from roar_publisher.report import Advanced, Retrying, Waiting
from roar_publisher.state.errors import Interrupted, Transient
from roar_publisher.state.limits import MOST_REQUESTS
from roar_publisher.state.machine import State
from roar_publisher.state.record import Progress
from tests.support.faults.mortal import Life
from tests.support.faults.simulation import World, run_virtually
from tests.support.faults.weather import Fault, Weather
from tests.support.lineages import chain, cut
from tests.support.sampling import EXHAUSTIVE, sample

HOUR = 3600.0
FOREVER = float("inf")


def done(end: object, world: World) -> None:
    assert isinstance(end, Progress)
    assert (end.state, end.hash) == (State.DONE, world.lineage.hash)
    world.check_published()


def test_a_long_time_offline_is_waited_out_and_costs_no_attempt(memory: Path) -> None:
    length = (24 if EXHAUSTIVE else 2) * HOUR
    world = World(memory, cut(chain(30)))

    async def scenario() -> None:
        weather = Weather(random.Random(1), slowness=1, away=[(3, 3 + length)])
        done(await world.live(weather, patience=FOREVER), world)
        assert length < trio.current_time() < length + 120

    run_virtually(scenario, 1)
    assert not [report for report in world.reports if isinstance(report, Retrying)]
    offline = [report for report in world.reports if isinstance(report, Waiting)]
    assert {report.reason for report in offline} == {"offline"}
    assert max(report.seconds for report in offline) <= LONGEST_PROBE_SECONDS


def test_a_foreground_publish_gives_up_after_its_patience_and_another_run_goes_on(memory: Path) -> None:
    world = World(memory, cut(chain(30)))

    async def scenario() -> None:
        weather = Weather(random.Random(1), slowness=1, away=[(3, HOUR)])
        end = await world.live(weather, patience=300)
        assert isinstance(end, Transient)
        assert end.reason == "offline"
        assert 300 < trio.current_time() < 330
        await trio.sleep(HOUR)
        done(await world.live(weather), world)

    run_virtually(scenario, 1)


def test_hours_of_throttling_are_sat_out_together(memory: Path) -> None:
    """Every answer of the first three hours asks for another hour."""
    world = World(memory, cut(chain(30)))

    class Throttled(Weather):
        def fault(self) -> Fault:
            return Fault.UNAVAILABLE if 1 < trio.current_time() < 3 * HOUR else Fault.NONE

    class Hours(random.Random):
        def randint(self, a: int, b: int) -> int:
            return int(HOUR)

    async def scenario() -> None:
        done(await world.live(Throttled(Hours(1), slowness=0.3), patience=FOREVER), world)
        assert 3 * HOUR < trio.current_time() < 6 * HOUR

    run_virtually(scenario, 1)
    assert not [report for report in world.reports if isinstance(report, Retrying)]
    planned = len(world.lineage.units) + 3
    assert len(world.requests) <= planned + 6 * MOST_REQUESTS, "not more than a round an hour runs into it"


def test_ctrl_c_while_offline_ends_within_the_grace_period(memory: Path) -> None:
    world = World(memory, cut(chain(30)))

    async def scenario() -> None:
        weather = Weather(random.Random(1), slowness=1, away=[(3, HOUR)])
        end = await world.live(weather, stop_after=60)
        assert isinstance(end, Interrupted)
        assert trio.current_time() < 60.1
        done(await world.live(Weather(random.Random(2))), world)

    run_virtually(scenario, 1)


def test_ctrl_c_waits_no_longer_than_the_grace_period_for_a_silent_registry(memory: Path) -> None:
    world = World(memory, cut(chain(30)))

    class Silent(Weather):
        def fault(self) -> Fault:
            return Fault.SILENT_AFTER if trio.current_time() > 3 else Fault.NONE

    async def scenario() -> None:
        end = await world.live(Silent(random.Random(1), slowness=1), stop_after=10)
        assert isinstance(end, Interrupted)
        assert 10 + GRACE_SECONDS <= trio.current_time() < 10 + GRACE_SECONDS + 0.1
        done(await world.live(Weather(random.Random(2))), world)

    run_virtually(scenario, 1)


def test_ctrl_c_finishes_what_is_under_way_and_keeps_it(memory: Path) -> None:
    world = World(memory, cut(chain(60)))

    async def scenario() -> None:
        end = await world.live(Weather(random.Random(1), slowness=1), stop_after=4)
        assert isinstance(end, Interrupted)
        assert trio.current_time() <= 4 + 2.5

    run_virtually(scenario, 1)
    delivered = sum(report.items for report in world.reports if isinstance(report, Advanced))
    assert len(world.acknowledged) == delivered > 0


def test_killed_at_every_moment_in_virtual_time(memory: Path) -> None:
    """A longer plan than a real sweep can afford, cut by a registry that finds most batches too large."""
    lineage = cut(chain(8), batch=lambda: 4)
    reference = Life()

    async def one(root: Path, life: Life) -> None:
        world = World(root, lineage, body_limit=900)
        end = await world.live(Weather(random.Random(1), slowness=0.2), life)
        if life is not reference:
            end = await world.live(Weather(random.Random(2), slowness=0.2))
        done(end, world)
        world.check_nothing_left_behind()

    run_virtually(lambda: one(memory / "reference", reference), 0)
    assert len(reference.moments) > 60
    for moment in reference.sample("outages", 8):
        root = memory / str(moment)
        try:
            run_virtually(lambda root=root, moment=moment: one(root, Life(moment)), 0)  # type: ignore[misc]
        except BaseException as error:
            error.add_note(f"killed at moment {moment}: {reference.moments[moment - 1]}")
            raise


@pytest.mark.parametrize("moment", sample("crashes of wide plans", [300, 450, 600, 750], 1))
def test_a_crash_forgets_no_more_than_the_open_group_and_what_was_in_flight(memory: Path, moment: int) -> None:
    lineage = cut(chain(200), batch=lambda: 1, labels=False)
    world = World(memory, lineage)
    delivered: list[str] = []

    async def scenario() -> None:
        await world.live(Weather(random.Random(1), slowness=0.5), Life(moment))
        delivered.extend(world.requests)
        kept = len(world.acknowledged)
        world.requests.clear()
        assert len(delivered) - kept <= GROUP_SIZE + MOST_REQUESTS + 2, "beside health and open"
        done(await world.live(Weather(random.Random(2))), world)
        assert kept > 20

    run_virtually(scenario, 1)


def test_a_token_that_the_registry_no_longer_knows_is_replaced(memory: Path) -> None:
    world = World(memory, cut(chain(8)))

    async def scenario() -> None:
        await world.live(Weather(random.Random(1)), Life(40))
        world.store.secret = b"t" * 32
        done(await world.live(Weather(random.Random(1))), world)
        world.check_nothing_left_behind()

    run_virtually(scenario, 1)
