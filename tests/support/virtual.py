"""Virtual time: trio's clock jumps to the next thing that happens, so hours pass in milliseconds."""

from collections.abc import Awaitable, Callable
from typing import TypeVar

import trio
from trio.testing import MockClock

T = TypeVar("T")


def run(scenario: Callable[[], Awaitable[T]]) -> T:
    """Run `scenario` on trio; nothing in it may wait for the real world."""
    return trio.run(scenario, clock=MockClock(autojump_threshold=0))
