"""Runs asynchronous work for synchronous callers."""

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Protocol, TypeVar

if TYPE_CHECKING:
    import anyio

T = TypeVar("T")
Work = Callable[["anyio.Event"], Awaitable[T]]
"""Work that ends early and cleanly once its event is set."""


class Runner(Protocol):
    """Runs work in an event loop of its own, and returns its result."""

    def __call__(self, work: Work[T]) -> T: ...


def run_here(work: Work[T]) -> T:
    """Run work in this thread, which has no event loop. Nothing sets its event."""
    import anyio

    async def run() -> T:
        return await work(anyio.Event())

    return anyio.run(run)
