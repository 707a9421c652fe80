"""Runs asynchronous work while handling signals and updating the display."""

import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from typing import TypeVar

import anyio

from roar_publisher.cli.display.base import Display
from roar_publisher.cli.publish.prompts import Prompter
from roar_publisher.tasks import background

T = TypeVar("T")

TICK_SECONDS = 0.1
"""The interval between updates of the display."""
STOPPING = (signal.SIGINT, signal.SIGTERM)


def stop_by_exception() -> None:
    """Make SIGTERM raise KeyboardInterrupt, as SIGINT does, for synchronous work."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)


def run_with_signals(work: Callable[[anyio.Event], Awaitable[T]], display: Display, prompter: Prompter) -> T:
    """Run `work` and return its result.

    The event passed to it is set when SIGINT or SIGTERM asks the process to stop. Raises what `work` raises. Further
    signals have no effect.
    """
    try:
        return anyio.run(partial(_with_signals, work, display, prompter))
    finally:
        stop_by_exception()  # the receiver has restored the system's default handler


async def _with_signals(work: Callable[[anyio.Event], Awaitable[T]], display: Display, prompter: Prompter) -> T:
    stop = anyio.Event()
    with anyio.open_signal_receiver(*STOPPING) as signals:
        async with background(partial(_receive, signals, stop, display, prompter), partial(_tick, display)):
            return await work(stop)


async def _receive(
    signals: AsyncIterator[signal.Signals], stop: anyio.Event, display: Display, prompter: Prompter
) -> None:
    async for _signal in signals:
        if not stop.is_set():
            display.stopping()
            prompter.abort()
            stop.set()


async def _tick(display: Display) -> None:
    while True:
        await anyio.sleep(TICK_SECONDS)
        display.tick()
