"""Several processes that serve one socket, and the process that starts them, keeps their number, and stops them.

uvicorn's supervisor does not fit: it pickles the app, which holds open connections, and leaves its workers alone when
it is killed. Here each worker is a fork made before anything is opened. A worker that ends is replaced. Workers are
sessions of their own, so the terminal's signals reach them only through the supervisor; without it, they drain and end.
"""

import contextlib
import io
import logging
import os
import signal
import tempfile
import time
from collections.abc import Callable, Iterator
from typing import NoReturn

from roar_publisher.registry.store.errors import StoreError

SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
"""Signals that stop the workers. They get the same one, but SIGTERM for SIGHUP."""
STARTED = b"started"
RETRY_SECONDS = 1.0
"""Seconds from one replacement of a worker to the next, which may fail, for example while the database restarts."""

logger = logging.getLogger(__name__)

Work = Callable[[int, Callable[[], None], int], None]
"""What a worker does: gets its number from 0, what to call once it accepts connections, and a file descriptor that is
at its end when the supervisor has ended."""


class Supervisor:
    """Runs `work` in processes of its own. `ended` is called with the id of each process that has ended."""

    def __init__(self, work: Work, ended: Callable[[int], None] = lambda pid: None) -> None:
        self._work = work
        self._ended = ended
        self._workers: dict[int, int] = {}
        self._stopping = False
        self._replaced_at = -RETRY_SECONDS
        self._life_read, self._life_write = os.pipe()
        self._handlers_before: dict[signal.Signals, signal._HANDLER] = {}

    def run(self, count: int, announce: Callable[[], None]) -> None:
        """Serve with `count` workers until a signal has stopped them. `announce` is called once all have started.

        Call this from the main thread of a process without others. Raises OSError if a worker cannot start.
        """
        with self._handled_signals():
            try:
                for number in range(count):
                    if problem := self._start(number):
                        raise OSError(problem)
                if not self._stopping:
                    announce()
                self._keep_running()
            finally:
                self._stop(signal.SIGTERM)
                while self._workers:
                    self._wait()
                os.close(self._life_read)
                os.close(self._life_write)

    def _keep_running(self) -> None:
        while not self._stopping:
            number = self._wait()
            while number is not None and not self._stopping:
                logger.error("worker %d has ended; another one takes its place", number)
                time.sleep(max(0.0, self._replaced_at + RETRY_SECONDS - time.monotonic()))
                self._replaced_at = time.monotonic()
                problem = self._start(number)
                if not problem:
                    break
                logger.error("worker %d cannot start now: %s", number, problem)

    def _wait(self) -> int | None:
        """Wait until a child has ended. Return its number, if it is a worker."""
        pid, _status = os.wait()
        self._ended(pid)
        return self._workers.pop(pid, None)

    def _start(self, number: int) -> str:
        """Start a worker. Return why it does not serve, or an empty text."""
        read, write = os.pipe()
        signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)  # none may come between the fork and its entry
        pid = os.fork()
        if pid == 0:
            os.close(read)
            self._be_worker(number, open(write, "wb", buffering=0))
        self._workers[pid] = number
        signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
        os.close(write)
        with open(read, "rb") as answers:
            answer = answers.read()
        if answer == STARTED or self._stopping:
            return ""
        os.waitpid(pid, 0)
        self._ended(pid)
        del self._workers[pid]
        return answer.decode() or "it ended at once"

    def _be_worker(self, number: int, answers: io.FileIO) -> NoReturn:
        status, problem = 1, ""

        def started() -> None:
            answers.write(STARTED)
            answers.close()

        try:
            os.setsid()
            os.close(self._life_write)
            for name, handler in self._handlers_before.items():
                signal.signal(name, handler)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
            self._work(number, started, self._life_read)
            status = 0
        except KeyboardInterrupt:
            status = 0
        except (OSError, StoreError) as error:
            problem = getattr(error, "strerror", None) or str(error)
        except BaseException:
            logger.exception("worker %d has failed", number)
        finally:
            if problem and answers.closed:
                logger.error("worker %d has failed: %s", number, problem)
            elif problem:
                answers.write(problem.encode())
            os._exit(status)

    @contextlib.contextmanager
    def _handled_signals(self) -> Iterator[None]:
        ignored = {name for name in SIGNALS if signal.getsignal(name) is signal.SIG_IGN}  # SIGHUP, under nohup
        before = {name: signal.signal(name, self._handle) for name in SIGNALS if name not in ignored}
        self._handlers_before = before
        try:
            yield
        finally:
            for name, handler in before.items():
                signal.signal(name, handler)

    def _handle(self, number: int, _frame: object) -> None:
        self._stop(signal.SIGTERM if number == signal.SIGHUP else number)

    def _stop(self, number: int) -> None:
        self._stopping = True
        for pid in list(self._workers):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)


@contextlib.contextmanager
def shared_figures(wanted: bool) -> Iterator[Callable[[int], None]]:
    """Let the workers that are started in the block keep their figures where they can be summed.

    Return what a `Supervisor` calls when a process has ended.
    """
    if not wanted:
        yield lambda pid: None
        return
    with tempfile.TemporaryDirectory(prefix="roar-registry-figures-") as folder:
        os.environ["PROMETHEUS_MULTIPROC_DIR"] = folder  # read when prometheus_client is imported

        def ended(pid: int) -> None:
            from prometheus_client.multiprocess import mark_process_dead

            mark_process_dead(pid, folder)  # type: ignore[no-untyped-call]

        yield ended
