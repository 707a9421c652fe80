"""Thousands of seeded worlds: whatever is lost, cut, throttled or killed, one lineage is published, once.

A sample of them is run, all of them with ROAR_TEST_EXHAUSTIVE=1, and `ROAR_TEST_WORLDS=200000` makes more; a failure
names the seed, and `ROAR_TEST_SEED=…` runs that one alone.
"""

import os
import random
from pathlib import Path

import anyio
import pytest
from msgspec.structs import replace

from roar_publisher.glaas import compression
from roar_publisher.glaas.features import RegistrationSessionFeatures
from roar_publisher.registry.api.app import ALL_FEATURES
from roar_publisher.registry.api.bulk import BulkFeatures
from roar_publisher.state.debts import DebtKind
from roar_publisher.state.machine import State
from roar_publisher.state.record import Progress
from tests.support.faults.mortal import Life
from tests.support.faults.simulation import World, run_virtually
from tests.support.faults.weather import Weather
from tests.support.lineages import REGISTRY, random_lineage
from tests.support.registry.features import SINGLE_LINKS, SMALL_REQUESTS
from tests.support.sampling import sample

WORLDS = int(os.environ.get("ROAR_TEST_WORLDS", "20000"))
SAMPLE = 50
ONLY_SEED = os.environ.get("ROAR_TEST_SEED")
PORTION = 20
"""Worlds that one test goes through."""
STORMY_LIVES = 12
MOST_LIVES = 40
DAY = 24 * 3600.0
NO_ANONYMOUS_SESSIONS = replace(ALL_FEATURES, anonymous_public=False)
SMALLEST_BODY_LIMIT = 900
"""Bytes; the largest single item fits."""


def features_of(rng: random.Random) -> RegistrationSessionFeatures | None:
    return rng.choices([ALL_FEATURES, SINGLE_LINKS, NO_ANONYMOUS_SESSIONS, None], [4, 4, 1, 1])[0]


def bulk_of(rng: random.Random, body_limit: int) -> BulkFeatures:
    return BulkFeatures(
        limit=rng.choice([None, body_limit, 10**6]),
        encodings=rng.choice([(), ("gzip",)]),
        legacy_links_batch=rng.choice([False, True]),
    )


def without_bulk(features: RegistrationSessionFeatures) -> RegistrationSessionFeatures:
    """What the registry can do after it was rolled back to the release before."""
    return replace(features, links_batch=False)


@pytest.fixture(autouse=True)
def _small_bodies_are_compressed_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compression, "SMALLEST_BYTES", 300)


def weather_of(rng: random.Random, lives: int) -> Weather:
    if lives > STORMY_LIVES:
        return Weather(rng)
    start = rng.uniform(0, 60)
    away = [(start, start + rng.choice([1, 20, 200, 2000]))] if rng.random() < 0.2 else []
    return Weather(rng, storm=rng.choice([0, 0.05, 0.2, 0.5]), slowness=rng.choice([0, 0.1, 5]), away=away)


async def one_world(root: Path, seed: int) -> None:
    rng = random.Random(seed)
    lineage = random_lineage(rng)
    limit = rng.choice([SMALLEST_BODY_LIMIT, 1500, 100_000])
    features, bulk = features_of(rng), bulk_of(rng, limit)
    registry = rng.choice([REGISTRY, "https://registry.example"])
    world = World(root, lineage, features=features, body_limit=limit, bulk=bulk, registry=registry)
    lives = 0
    end: object = None
    while not (isinstance(end, Progress) and end.state is State.DONE):
        lives += 1
        assert lives <= MOST_LIVES, f"it never ends: {end}"
        stormy = lives <= STORMY_LIVES
        dies_at = rng.randint(1, 60) if stormy and rng.random() < 0.7 else None
        end = await world.live(
            weather_of(rng, lives),
            Life(dies_at),
            patience=rng.choice([20.0, 300.0, float("inf")]),
            stop_after=rng.uniform(0, 20) if stormy and rng.random() < 0.2 else None,
        )
        if isinstance(end, Progress):
            assert end.state is State.DONE, end
        if stormy:
            await meanwhile(world, rng)
            if rng.random() < 0.1:
                world.serve(None if features is None else without_bulk(features), SMALL_REQUESTS)
    assert isinstance(end, Progress)
    assert end.hash == lineage.hash
    labels_owed = "labels are still to be sent" in end.detail
    assert not labels_owed or world.store.secret != World.SECRET, "labels are refused only to a token that went void"
    world.check_published(labels=not labels_owed)
    world.check_nothing_left_behind()
    if due := [debt.what for debt in end.owed if debt.payable]:
        assert due == [DebtKind.RECEIPT], "the registry could not be asked for it any more"
        end = await world.live(Weather(rng))
        assert isinstance(end, Progress), end
        assert not any(debt.payable for debt in end.owed), end
    again = await world.live(Weather(rng))
    assert again == end, "a finished publish stays as it is, and sends nothing"


async def meanwhile(world: World, rng: random.Random) -> None:
    """What may happen at the registry between two lives."""
    match rng.randrange(20):
        case 0:
            await anyio.sleep(2 * DAY)  # open sessions expire
        case 1:
            world.do("DELETE FROM sessions WHERE receipt IS NULL")
        case 2:
            world.store.secret = bytes([rng.randrange(256)]) * 32  # tokens given so far are void
        case _:
            await anyio.sleep(rng.uniform(0, 100))


def seeds() -> list[list[int]]:
    if ONLY_SEED:
        return [[int(ONLY_SEED)]]
    chosen = sample("worlds", range(WORLDS), SAMPLE)
    return [chosen[start : start + PORTION] for start in range(0, len(chosen), PORTION)]


@pytest.mark.parametrize("portion", seeds(), ids=lambda portion: f"{portion[0]}-{portion[-1]}")
def test_every_world_ends_with_one_published_lineage(portion: list[int], memory: Path) -> None:
    for seed in portion:
        root = memory / str(seed)
        root.mkdir()
        try:
            run_virtually(lambda root=root, seed=seed: one_world(root, seed), seed)  # type: ignore[misc]
        except BaseException as error:
            error.add_note(f"seed {seed}: ROAR_TEST_SEED={seed} runs it alone")
            raise
