"""Runs asynchronous work while handling signals and updating the display."""

import signal
from collections.abc import AsyncIterator
from functools import partial
from typing import TypeVar

import anyio

from roar_publisher.cli.publish.prompts import Prompter
from roar_publisher.publishing.observer import PublishObserver
from roar_publisher.publishing.running import Work
from roar_publisher.tasks import background

T = TypeVar("T")

TICK_SECONDS = 0.1
"""The interval between updates of the display."""
STOPPING = (signal.SIGINT, signal.SIGTERM)


def stop_by_exception() -> None:
    """Make SIGTERM raise KeyboardInterrupt, as SIGINT does, for synchronous work."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)


class SignalRunner:
    """Runs work whose event is set when SIGINT or SIGTERM asks the process to stop. Further signals have no effect."""

    def __init__(self, display: PublishObserver, prompter: Prompter) -> None:
        self._display = display
        self._prompter = prompter

    def __call__(self, work: Work[T]) -> T:
        """Run `work` and return its result. Raises what it raises."""
        try:
            return anyio.run(partial(_with_signals, work, self._display, self._prompter))
        finally:
            stop_by_exception()  # the receiver has restored the system's default handler


async def _with_signals(work: Work[T], display: PublishObserver, prompter: Prompter) -> T:
    stop = anyio.Event()
    with anyio.open_signal_receiver(*STOPPING) as signals:
        async with background(partial(_receive, signals, stop, display, prompter), partial(_tick, display)):
            return await work(stop)


async def _receive(
    signals: AsyncIterator[signal.Signals], stop: anyio.Event, display: PublishObserver, prompter: Prompter
) -> None:
    async for _signal in signals:
        if not stop.is_set():
            display.stopping()
            prompter.abort()
            stop.set()


async def _tick(display: PublishObserver) -> None:
    while True:
        await anyio.sleep(TICK_SECONDS)
        display.tick()
