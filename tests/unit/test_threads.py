"""Work in a thread of its own, whose caller may be interrupted at any moment."""

import queue
from collections.abc import Callable

import anyio
import pytest

from roar_publisher import api
from roar_publisher.publishing import threads
from roar_publisher.publishing.observer import PublishObserver
from roar_publisher.publishing.threads import CallingObserver, ThreadRunner
from roar_publisher.publishing.watching import Halted
from roar_publisher.state.errors import LocalProblem
from roar_publisher.state.paths import StateFolder
from roar_publisher.state.reasons import Reason
from roar_publisher.state.status_reader import count_status
from tests.support.lineages import chain, cut, frozen
from tests.support.threads import no_more_threads


class Ticking(PublishObserver):
    """Gives up on a runner that waits for nothing."""

    def __init__(self) -> None:
        self.ticks = 0

    def tick(self) -> None:
        self.ticks += 1
        assert self.ticks < 1000, "it still waits"


class InterruptedAtTheEnd:
    """The queue of a runner whose user presses Ctrl-C when it has taken the last item, the end of the work."""

    def __init__(self) -> None:
        self._items: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self.put = self._items.put

    def get(self, timeout: float) -> Callable[[], None] | None:
        item = self._items.get(timeout=timeout)
        if item is None:
            raise KeyboardInterrupt
        return item


def test_an_interrupt_at_the_very_end_is_not_waited_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads, "TICK_SECONDS", 0.01)
    runner = ThreadRunner()
    runner.attach(Ticking())
    monkeypatch.setattr(runner, "_calls", InterruptedAtTheEnd())

    async def work(stop: anyio.Event) -> str:
        return "done"

    assert runner(work) == "done"
    assert runner.interrupted


def test_a_thread_that_cannot_be_started_is_a_problem_of_this_machine() -> None:
    async def work(stop: anyio.Event) -> str:
        return "done"

    runner = ThreadRunner()
    with no_more_threads(), pytest.raises(LocalProblem, match="may not start more threads"):
        runner(work)
    assert runner(work) == "done"


def test_time_that_passes_while_another_process_works_is_passed_on() -> None:
    inner = Ticking()
    CallingObserver(ThreadRunner(), inner).tick()
    assert inner.ticks == 1


@pytest.mark.parametrize("reason", [Reason.INTERRUPTED, Reason.AUTH])
def test_a_publish_that_was_stopped_elsewhere_is_no_interrupt_here(folder: StateFolder, reason: Reason) -> None:
    with frozen(folder, cut(chain(1))) as owned:
        owned.journal.park(reason=reason, detail="stopped with Ctrl-C or SIGTERM")

    def follow() -> None:
        raise Halted(count_status(owned.paths))

    with pytest.raises(Halted, match="waits for you"):
        api._interruptible(follow)
