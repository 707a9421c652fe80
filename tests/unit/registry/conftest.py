"""Fixtures of the registry's tests."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from roar_publisher.registry.data import Store
from tests.support.registry.harness import Registry, make_registry
from tests.support.registry.postgres import Postgres, running_postgres
from tests.support.registry.scene import Scene, private_data
from tests.support.sampling import sample

ON_POSTGRES = 60
"""Tests of the store that the default run repeats on PostgreSQL; some of each module."""
SECRET = b"secret of the tests"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep a sample of the tests that run on PostgreSQL, too."""
    repeated = [item for item in items if _engine_of(item) == "postgresql"]
    kept = sample("engines", repeated, ON_POSTGRES, lambda item: item.path)
    items[:] = [item for item in items if _engine_of(item) != "postgresql" or item in kept]


def _engine_of(item: pytest.Item) -> object:
    call = getattr(item, "callspec", None)
    return None if call is None else call.params.get("store")


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """A PostgreSQL of this process."""
    with running_postgres() as server:
        yield server


@pytest.fixture(scope="session")
def database(postgres: Postgres) -> str:
    """The address of the database that the tests of one process share in turn."""
    return postgres.new_database()


@pytest.fixture(params=["sqlite", "postgresql"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    """A store on each engine."""
    if request.param == "sqlite":
        store = Store.in_memory(secret=SECRET)
    else:
        server, url = request.getfixturevalue("postgres"), request.getfixturevalue("database")
        server.clear(url)
        (tmp_path / "secret of the store").mkdir()
        store = Store.open(tmp_path / "secret of the store", url)
        store.secret = SECRET
    yield store
    store.close()


@pytest.fixture
async def registry(anyio_backend: str, store: Store) -> AsyncIterator[Registry]:
    """A registry with all features."""
    registry = make_registry(store)
    async with registry.client:
        yield registry


@pytest.fixture
async def scene(registry: Registry) -> Scene:
    """A registry with the private data of two people."""
    return await private_data(registry)
