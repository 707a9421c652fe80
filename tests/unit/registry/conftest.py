"""Fixtures of the registry's tests."""

from collections.abc import AsyncIterator, Iterator

import pytest

from roar_publisher.registry.data import Store
from tests.support.registry.harness import Registry, make_registry


@pytest.fixture
def store() -> Iterator[Store]:
    """A store in memory."""
    store = Store.in_memory(secret=b"secret of the tests")
    yield store
    store.close()


@pytest.fixture
async def registry(anyio_backend: str, store: Store) -> AsyncIterator[Registry]:
    """A registry with all features."""
    registry = make_registry(store)
    async with registry.client:
        yield registry
