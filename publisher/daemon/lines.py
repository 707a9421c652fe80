"""One line to each registry, shared by every publish to it that is under way, and closed after the last of them."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from roar_publisher.net.connection import Line


@dataclass(slots=True)
class _Shared:
    line: Line
    users: int = 0


class Lines:
    """connect: makes a line to a registry."""

    def __init__(self, connect: Callable[[str], Line]) -> None:
        self._connect = connect
        self._shared: dict[str, _Shared] = {}

    @asynccontextmanager
    async def to(self, registry: str) -> AsyncIterator[Line]:
        """The line to a registry, for as long as this lasts."""
        shared = self._shared.get(registry)
        if shared is None:
            shared = self._shared[registry] = _Shared(self._connect(registry))
        shared.users += 1
        try:
            yield shared.line
        finally:
            shared.users -= 1
            if not shared.users:
                if self._shared.get(registry) is shared:
                    del self._shared[registry]
                await shared.line.__aexit__(None, None, None)

    def renew(self) -> None:
        """Whoever asks next gets new connections: those there are were cut without a word."""
        self._shared.clear()
