"""Running a verification until it ends or a signal stops it."""

from collections.abc import Awaitable, Callable
from typing import NoReturn, TypeVar

import anyio

from roar_publisher.cli.publish.signals import stop_by_exception, stop_signals
from roar_publisher.cli.verify.progress import ReadingLine
from roar_publisher.tasks import background

T = TypeVar("T")
TICK_SECONDS = 0.25


def run(work: Callable[[anyio.Event], Awaitable[T]], progress: ReadingLine) -> T:
    """Run `work`, whose event SIGINT and SIGTERM set, and show its progress. Raises what it raises."""

    async def show() -> NoReturn:
        while True:
            await anyio.sleep(TICK_SECONDS)
            progress.tick()

    async def until_signal() -> T:
        stop = anyio.Event()
        with anyio.open_signal_receiver(*stop_signals()) as signals:

            async def receive() -> None:
                async for _signal in signals:
                    stop.set()

            async with background(receive, show):
                return await work(stop)

    try:
        return anyio.run(until_signal)
    finally:  # the receiver has restored the system's default handlers
        progress.close()
        stop_by_exception()
