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


def stop_signals() -> list[signal.Signals]:
    """Return the signals that stop the process. A shell makes what it runs in the background ignore SIGINT."""
    is_ignored = signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    return [signal.SIGTERM] if is_ignored else [signal.SIGINT, signal.SIGTERM]


def stop_by_exception() -> None:
    """Make SIGTERM raise KeyboardInterrupt, as SIGINT does, for synchronous work."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)


def ignore_stops() -> None:
    """Ignore SIGINT and SIGTERM until the process ends, because it is ending already."""
    for each in (signal.SIGINT, signal.SIGTERM):
        signal.signal(each, signal.SIG_IGN)


class SignalRunner:
    """Runs work whose event is set when SIGINT or SIGTERM asks the process to stop.

    Further signals have no effect, not even while the process reports what it stopped and ends.
    """

    def __init__(self, display: PublishObserver, prompter: Prompter) -> None:
        self._display = display
        self._prompter = prompter

    def __call__(self, work: Work[T]) -> T:
        """Run `work` and return its result. Raises what it raises."""
        return anyio.run(partial(_with_signals, work, self._display, self._prompter))


async def _with_signals(work: Work[T], display: PublishObserver, prompter: Prompter) -> T:
    stop = anyio.Event()
    try:
        with anyio.open_signal_receiver(*stop_signals()) as signals:
            async with background(partial(_receive, signals, stop, display, prompter), partial(_tick, display)):
                return await work(stop)
    finally:  # the receiver has restored the system's default handlers
        if stop.is_set():
            ignore_stops()
        else:
            stop_by_exception()


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
