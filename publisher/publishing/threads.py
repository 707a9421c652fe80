"""Runs the asynchronous parts of a publish in a thread of their own, for callers of the Python API.

The caller may be any thread, also one in which an event loop runs (a notebook): nothing here touches its loop, its
signal handlers or its output. Meanwhile the calling thread takes what the publish reports, so that callbacks are called
in the thread that waits for the result.
"""

import asyncio
import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from typing import TypeVar

import anyio

from roar_publisher.blocking import no_thread
from roar_publisher.net.event_loop import EventLoop
from roar_publisher.publishing.observer import PublishObserver
from roar_publisher.publishing.result import Result
from roar_publisher.publishing.running import Work
from roar_publisher.report import Report
from roar_publisher.state.record import Plan

T = TypeVar("T")
TICK_SECONDS = 0.5
"""How long the calling thread waits for a report before it tells the observer that time has passed."""


class ThreadRunner:
    """A runner that uses a thread for each work.

    KeyboardInterrupt in the calling thread stops the work cleanly; a second one leaves it behind. interrupted: whether
    there was one; work that was nearly over may have succeeded all the same.
    """

    def __init__(self) -> None:
        self._observer = PublishObserver()
        self._caller = threading.get_ident()
        self._calls: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._changing = threading.Lock()
        self._stopping = False
        self.interrupted = False
        self._wake: Callable[[], object] | None = None  # sets the event of the work that runs

    def __call__(self, work: Work[T]) -> T:
        """Run `work` and return its result. Raises what it raises, and LocalProblem if no thread can be started."""
        result = Future[T]()
        thread = threading.Thread(target=self._run, args=(work, result), name="roar_publisher", daemon=True)
        try:
            thread.start()
        except RuntimeError as error:
            if problem := no_thread(error):
                raise problem from error
            raise
        while True:
            try:
                self._take_calls(result)
                break
            except KeyboardInterrupt:
                if self._stopping:
                    raise
                self.interrupted = True
                self.stop()
        thread.join()
        return result.result()

    def attach(self, observer: PublishObserver) -> None:
        """Let an observer take what follows, in the thread that calls this, which is the one to wait for results."""
        self._observer = observer
        self._caller = threading.get_ident()

    def stop(self) -> None:
        """Ask the work, and any work that follows, to end early and cleanly. Any thread may call it."""
        with self._changing:
            self._stopping = True
            if self._wake is not None:
                self._wake()

    def call(self, function: Callable[[], None]) -> None:
        """Call a function in the thread that waits for the result."""
        if threading.get_ident() == self._caller:
            function()
        else:
            self._calls.put(function)

    def _take_calls(self, result: "Future[T]") -> None:
        while True:
            try:
                call = self._calls.get(timeout=TICK_SECONDS)
            except queue.Empty:
                if result.done():  # a KeyboardInterrupt came between the end and taking note of it
                    return
                call = self._observer.tick
            if call is None:
                return
            call()

    def _run(self, work: Work[T], result: Future[T]) -> None:
        try:
            result.set_result(anyio.run(self._stoppable, work, backend_options={"loop_factory": EventLoop}))
        except BaseException as error:
            result.set_exception(error)
        finally:
            self._calls.put(None)

    async def _stoppable(self, work: Work[T]) -> T:
        stop = anyio.Event()
        with self._changing:
            self._wake = partial(asyncio.get_running_loop().call_soon_threadsafe, stop.set)
            if self._stopping:
                stop.set()
        try:
            return await work(stop)
        finally:
            with self._changing:
                self._wake = None


class CallingObserver(PublishObserver):
    """Passes reports of any thread to an observer in the thread that waits for the result."""

    def __init__(self, runner: ThreadRunner, observer: PublishObserver) -> None:
        self._runner = runner
        self._observer = observer
        runner.attach(observer)

    def planned(self, plan: Plan, *, resumed: bool) -> None:
        self._observer.planned(plan, resumed=resumed)

    def watching(self, plan: Plan) -> None:
        self._observer.watching(plan)

    def published(self, result: Result, *, again: bool = False) -> None:
        self._observer.published(result, again=again)

    def detached(self, plan: Plan, *, resumed: bool) -> None:
        self._observer.detached(plan, resumed=resumed)

    def report(self, report: Report) -> None:
        self._runner.call(partial(self._observer.report, report))

    def tick(self) -> None:
        self._runner.call(self._observer.tick)
