"""Grouped acknowledgements: committed together, some tens of milliseconds after the first of a group.

A commit costs a disk flush; one for each reply would be the slowest part of a publish.  A crash forgets at most the
open group, whose units are then sent again, which the server takes as it did the first time.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

import anyio

T = TypeVar("T")

GROUP_SIZE = 64
GROUP_SECONDS = 0.03


class Acknowledgements(Generic[T]):
    """Collects what was acknowledged and commits it in groups.

    commit: writes a group durably.  Run `serve` in a task; `flush` before anything that relies on them.
    """

    def __init__(self, commit: Callable[[Sequence[T]], Awaitable[None]]) -> None:
        self._commit = commit
        self._open: list[T] = []
        self._first = anyio.Event()  # the open group has a first unit
        self._full = anyio.Event()  # the open group need not wait any longer

    def add(self, acknowledged: T) -> None:
        """Note that the server has it."""
        self._open.append(acknowledged)
        self._first.set()
        if len(self._open) >= GROUP_SIZE:
            self._full.set()

    async def serve(self) -> None:
        """Commit group after group until cancelled."""
        while True:
            await self._first.wait()
            with anyio.move_on_after(GROUP_SECONDS):
                await self._full.wait()
            await self.flush()

    async def flush(self) -> None:
        """Commit the open group now.  Shielded: a cancelled publish still keeps what it heard."""
        group, self._open = self._open, []
        self._first, self._full = anyio.Event(), anyio.Event()
        if group:
            with anyio.CancelScope(shield=True):
                await self._commit(group)
