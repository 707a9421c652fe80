"""Runs asynchronous work while handling signals and updating the display."""

import functools
import signal
from collections.abc import Awaitable, Callable
from typing import TypeVar

import anyio

from roar_publisher.cli.display.base import Display
from roar_publisher.cli.publish.consent import Person
from roar_publisher.state.errors import PublisherError

T = TypeVar("T")

TICK_SECONDS = 0.1
"""The interval between updates of the display."""
STOPPING = (signal.SIGINT, signal.SIGTERM)


def stop_by_exception() -> None:
    """Make SIGTERM raise KeyboardInterrupt, as SIGINT does, for synchronous work."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)


def run_listening(work: Callable[[anyio.Event], Awaitable[T]], display: Display, person: Person) -> T:
    """Run `work` and return its result.

    The event passed to it is set when SIGINT or SIGTERM asks the process to stop. Raises what `work` raises. Further
    signals have no effect.
    """
    try:
        return anyio.run(functools.partial(_listening, work, display, person))
    finally:
        stop_by_exception()  # the receiver has restored the system's default handler


async def _listening(work: Callable[[anyio.Event], Awaitable[T]], display: Display, person: Person) -> T:
    stop = anyio.Event()
    results: list[T] = []
    failure: PublisherError | None = None
    async with anyio.create_task_group() as tasks:
        await tasks.start(_receive, stop, display, person)
        tasks.start_soon(_tick, display)
        try:
            results.append(await work(stop))
        except PublisherError as error:
            failure = error  # raised outside the task group, which would wrap it
        tasks.cancel_scope.cancel()
    if failure is not None:
        raise failure
    return results[0]


async def _receive(
    stop: anyio.Event, display: Display, person: Person, *, task_status: anyio.abc.TaskStatus[None]
) -> None:
    with anyio.open_signal_receiver(*STOPPING) as signals:
        task_status.started()
        async for _signal in signals:
            if not stop.is_set():
                display.stopping()
                person.leave()
                stop.set()


async def _tick(display: Display) -> None:
    while True:
        await anyio.sleep(TICK_SECONDS)
        display.tick()
