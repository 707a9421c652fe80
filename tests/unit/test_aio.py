"""The asynchronous API leaves the threads of the program's event loop to the program."""

import threading

import anyio
import pytest
from anyio import from_thread, to_thread

from roar_publisher.aio import _carry_out

pytestmark = pytest.mark.anyio


class Long:
    """A call that lasts until it is stopped.  begun: set when it runs."""

    def __init__(self) -> None:
        self.begun = anyio.Event()
        self._stopped = threading.Event()

    def run(self) -> None:
        from_thread.run_sync(self.begun.set)
        self._stopped.wait()

    def stop(self) -> None:
        self._stopped.set()


async def test_calls_that_last_take_none_of_them() -> None:
    calls = [Long() for _ in range(3)]
    async with anyio.create_task_group() as tasks:
        for call in calls:
            tasks.start_soon(_carry_out, call)
        for call in calls:
            await call.begun.wait()
        taken = to_thread.current_default_thread_limiter().borrowed_tokens
        tasks.cancel_scope.cancel()
    assert taken == 0
