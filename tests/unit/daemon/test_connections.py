"""Publishes to one registry share its connections as long as one of them is active."""

import pytest

from roar_publisher.daemon.connections import SharedConnections
from roar_publisher.net.connection import RegistryConnection

HERE, THERE = "http://here.localhost", "http://there.localhost"

pytestmark = pytest.mark.anyio


class Counted(RegistryConnection):
    """closed: whether its connections are."""

    closed = False

    async def __aexit__(self, *_: object) -> None:
        self.closed = True
        await super().__aexit__(None, None, None)


def closed(connection: RegistryConnection) -> bool:
    assert isinstance(connection, Counted)
    return connection.closed


@pytest.fixture
def connections() -> SharedConnections:
    return SharedConnections(Counted)


async def test_one_connection_pool_per_registry_is_closed_after_its_last_user(connections: SharedConnections) -> None:
    async with connections.to(HERE) as first:
        async with connections.to(HERE) as second, connections.to(THERE) as other:
            assert first is second
            assert first is not other
        assert not closed(first)
        assert closed(other)
    assert closed(first)
    async with connections.to(HERE) as later:
        assert later is not first


async def test_after_a_renewal_the_old_pool_is_closed_by_its_last_user(connections: SharedConnections) -> None:
    async with connections.to(HERE) as old:
        connections.renew()
        async with connections.to(HERE) as new:
            assert new is not old
            async with connections.to(HERE) as same:
                assert same is new
        assert (closed(new), closed(old)) == (True, False)
    assert closed(old)


async def test_an_error_returns_the_connection_too(connections: SharedConnections) -> None:
    with pytest.raises(KeyError):
        async with connections.to(HERE) as connection:
            raise KeyError
    assert closed(connection)
