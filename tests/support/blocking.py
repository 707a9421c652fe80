"""Blocking calls in the event loop's thread, because virtual time does not wait for other threads."""

from collections.abc import Callable
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


async def inline(call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Run a blocking call directly."""
    return call(*args, **kwargs)
