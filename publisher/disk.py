"""Blocking calls from asynchronous code: the journal, private files, roar.db."""

import functools
from collections.abc import Callable
from typing import ParamSpec, Protocol, TypeVar

from anyio import CapacityLimiter, to_thread

P = ParamSpec("P")
T = TypeVar("T")


class OnDisk(Protocol):
    """Runs a blocking call, one at a time, and returns its result."""

    async def __call__(self, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T: ...


def in_thread() -> OnDisk:
    """Blocking calls in a worker thread, so that the network goes on meanwhile.

    One at a time: an SQLite connection has one user.  A cancelled caller still lets its call finish.
    """
    limiter = CapacityLimiter(1)

    async def run(call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        return await to_thread.run_sync(functools.partial(call, *args, **kwargs), limiter=limiter)

    return run


async def inline(call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Blocking calls right here: for virtual time, which does not wait for threads."""
    return call(*args, **kwargs)
