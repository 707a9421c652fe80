"""Virtual time: trio's clock jumps to the next thing that happens, so hours pass in milliseconds."""

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any, TypeVar
from unittest import mock

import anyio
import trio
from anyio import from_thread
from trio.testing import MockClock

T = TypeVar("T")


def run(scenario: Callable[[], Awaitable[T]]) -> T:
    """Run `scenario` on trio; nothing in it may wait for the real world."""
    with without_threads():
        return trio.run(scenario, clock=MockClock(autojump_threshold=0))


@contextmanager
def without_threads() -> Iterator[None]:
    """Run blocking calls where they are made: the clock does not see a thread that works, and would jump meanwhile."""
    with (
        mock.patch("roar_publisher.blocking.to_thread", SimpleNamespace(run_sync=_run_inline)),
        mock.patch("roar_publisher.blocking._in_daemon_thread", _run_inline),
        mock.patch("anyio.from_thread.run_sync", _unless_inline(from_thread.run_sync)),
        mock.patch("anyio.from_thread.check_cancelled", _unless_inline(from_thread.check_cancelled)),
    ):
        yield


async def _run_inline(call: Callable[[], T], **_: object) -> T:
    return call()


def _unless_inline(real: Callable[..., Any]) -> Callable[..., Any]:
    """Return what a blocking call uses of its event loop. If it runs in the loop itself, functions are just called."""

    def use(*arguments: Any, **options: Any) -> Any:
        try:
            return real(*arguments, **options)
        except anyio.NoEventLoopError:
            return arguments[0](*arguments[1:]) if arguments else None

    return use
