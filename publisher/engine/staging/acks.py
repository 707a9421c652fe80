"""Grouped acknowledgements: each group is committed some tens of milliseconds after its first unit.

A commit costs a disk flush, so one commit per reply would be the slowest part of a publish. A crash loses at most the
open group. Its units are sent again, and the registry accepts them as it did the first time.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

import anyio

T = TypeVar("T")

GROUP_SIZE = 64
GROUP_SECONDS = 0.03


class Acknowledgements(Generic[T]):
    """Collects what was acknowledged, units or objects, and commits it in groups.

    commit: writes a group durably.
    Run `serve` in a task, and call `flush` before anything that relies on the acknowledgements.
    """

    def __init__(self, commit: Callable[[Sequence[T]], Awaitable[None]]) -> None:
        self._commit = commit
        self._open: list[T] = []
        self._first = anyio.Event()  # the open group has its first unit
        self._full = anyio.Event()  # the open group is full

    def add(self, acknowledged: T) -> None:
        """Add what was acknowledged. It is durable after the next commit of its group."""
        self._open.append(acknowledged)
        self._first.set()
        if len(self._open) >= GROUP_SIZE:
            self._full.set()

    async def serve(self) -> None:
        """Commit one group after another until cancelled."""
        while True:
            await self._first.wait()
            with anyio.move_on_after(GROUP_SECONDS):
                await self._full.wait()
            await self.flush()

    async def flush(self) -> None:
        """Commit the open group now. Shielded, so that a cancelled publish keeps the acknowledgements it received."""
        group, self._open = self._open, []
        self._first, self._full = anyio.Event(), anyio.Event()
        if group:
            with anyio.CancelScope(shield=True):
                await self._commit(group)
