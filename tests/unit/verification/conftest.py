"""A registry in memory."""

from collections.abc import Iterator

import pytest

from roar_publisher.registry.data import Store
from tests.support.registry.harness import Registry, make_registry


@pytest.fixture
def store() -> Iterator[Store]:
    store = Store.in_memory(secret=b"secret of the tests")
    yield store
    store.close()


@pytest.fixture
async def registry(anyio_backend: str, store: Store) -> Registry:
    return make_registry(store)
