"""One connection pool for each registry, shared by all active publishes to it and closed after the last one."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from msgspec import Struct

from roar_publisher.net.connection import RegistryConnection


class _Shared(Struct):
    connection: RegistryConnection
    users: int = 0


class SharedConnections:
    """A collection of shared connections. connect: opens a connection to a registry."""

    def __init__(self, connect: Callable[[str], RegistryConnection]) -> None:
        self._connect = connect
        self._shared: dict[str, _Shared] = {}

    @asynccontextmanager
    async def to(self, registry: str) -> AsyncIterator[RegistryConnection]:
        """Provide the shared connection to a registry for the duration of the block."""
        shared = self._shared.get(registry)
        if shared is None:
            shared = self._shared[registry] = _Shared(self._connect(registry))
        shared.users += 1
        try:
            yield shared.connection
        finally:
            shared.users -= 1
            if not shared.users:
                if self._shared.get(registry) is shared:
                    del self._shared[registry]
                await shared.connection.__aexit__(None, None, None)

    def renew(self) -> None:
        """Open new connections for later callers, because the existing ones were cut silently."""
        self._shared.clear()
