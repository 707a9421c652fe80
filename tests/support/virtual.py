"""Virtual time: trio's clock jumps to the next thing that happens, so hours pass in milliseconds."""

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import TypeVar
from unittest import mock

import trio
from trio.testing import MockClock

T = TypeVar("T")


def run(scenario: Callable[[], Awaitable[T]]) -> T:
    """Run `scenario` on trio; nothing in it may wait for the real world."""
    with without_threads():
        return trio.run(scenario, clock=MockClock(autojump_threshold=0))


@contextmanager
def without_threads() -> Iterator[None]:
    """Run blocking calls where they are made: the clock does not see a thread that works, and would jump meanwhile."""
    with mock.patch("roar_publisher.blocking.to_thread", SimpleNamespace(run_sync=_run_inline)):
        yield


async def _run_inline(call: Callable[[], T], **_: object) -> T:
    return call()
