"""Running a verification until it ends or a signal stops it."""

from collections.abc import Awaitable, Callable
from typing import TypeVar

import anyio

from roar_publisher.cli.publish.signals import STOPPING
from roar_publisher.tasks import background

T = TypeVar("T")


def run(work: Callable[[anyio.Event], Awaitable[T]]) -> T:
    """Run `work`, whose event SIGINT and SIGTERM set. Raises what it raises."""

    async def until_signal() -> T:
        stop = anyio.Event()
        with anyio.open_signal_receiver(*STOPPING) as signals:

            async def receive() -> None:
                async for _signal in signals:
                    stop.set()

            async with background(receive):
                return await work(stop)

    return anyio.run(until_signal)
