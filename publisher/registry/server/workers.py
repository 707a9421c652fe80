"""Several processes that serve one socket, and the process that starts them, keeps their number, and stops them.

uvicorn's supervisor does not fit: it pickles the app, which holds open connections, and leaves its workers alone when
it is killed. Here each worker is a fork made before anything is opened. A worker that ends is replaced. Workers are
sessions of their own, so the terminal's signals reach them only through the supervisor; without it, they drain and end.

The event loop of a worker writes a byte to the supervisor every second. A worker that writes nothing while the
supervisor looks `MOST_SILENT_LOOKS` times hangs: it is killed and replaced. Looks are counted instead of time, because
a machine that has slept or was stopped wakes with a jump of the clock and workers that could not write.
"""

import contextlib
import io
import logging
import os
import select
import signal
import tempfile
import time
from collections.abc import Callable, Iterator
from typing import NoReturn

from msgspec import Struct

from roar_publisher.registry.store.errors import StoreError

SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
"""Signals that stop the workers. They get the same one, but SIGTERM for SIGHUP."""
ALIVE = b"\0"
"""What a worker writes once it accepts connections, and then every second. If it cannot start, it writes why."""
RETRY_SECONDS = 1.0
"""Seconds from one replacement of a worker to the next, which may fail, for example while the database restarts."""
START_SECONDS = 120.0
"""Seconds in which a worker must have started. It may have to wait for locks of the database."""
LOOK_SECONDS = 2.0
"""Seconds from one look at the workers to the next."""
MOST_SILENT_LOOKS = 15
"""Looks in a row that find nothing written by a worker, after which it hangs."""
READ_BYTES = 4096

logger = logging.getLogger(__name__)

Work = Callable[[int, Callable[[], None], int], None]
"""What a worker does: gets its number from 0, what to call once it accepts connections and every second from then on,
and a file descriptor that is at its end when the supervisor has ended."""


class _Worker(Struct):
    """A running worker. `alive` is the file descriptor from which its bytes are read."""

    number: int
    alive: int
    silent_looks: int = 0


class Supervisor:
    """Runs `work` in processes of its own. `ended` is called with the id of each process that has ended."""

    def __init__(self, work: Work, ended: Callable[[int], None] = lambda pid: None) -> None:
        self._work = work
        self._ended = ended
        self._workers: dict[int, _Worker] = {}
        self._looked_at = time.monotonic()
        self._stopping = False
        self._replaced_at = -RETRY_SECONDS
        self._supervisor_read, self._supervisor_write = os.pipe()
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
                os.close(self._supervisor_read)
                os.close(self._supervisor_write)

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
        """Wait for what workers write, but not longer than for the next look. If one has ended, return its number."""
        written, _, _ = select.select([worker.alive for worker in self._workers.values()], [], [], LOOK_SECONDS)
        for pid, worker in self._workers.items():
            if worker.alive in written:
                worker.silent_looks = 0
                if not os.read(worker.alive, READ_BYTES):
                    os.waitpid(pid, 0)
                    self._forget(pid)
                    return worker.number
        if time.monotonic() >= self._looked_at + LOOK_SECONDS:
            self._look()
        return None

    def _look(self) -> None:
        """Kill the workers that hang. Their end is noticed as any other."""
        self._looked_at = time.monotonic()
        for pid, worker in self._workers.items():
            worker.silent_looks += 1
            if worker.silent_looks == MOST_SILENT_LOOKS:
                logger.error("worker %d hangs, so it is killed", worker.number)
                os.kill(pid, signal.SIGKILL)
        self._reap_others()

    def _reap_others(self) -> None:
        """Reap processes that lost their parents. In a container, the first process gets them as its children.

        A worker that has ended is reaped when its pipe is read; those behind it are reaped at the next look.
        """
        with contextlib.suppress(ChildProcessError):
            while ended := os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT):
                if ended.si_pid in self._workers:
                    return
                os.waitpid(ended.si_pid, 0)

    def _forget(self, pid: int) -> None:
        os.close(self._workers.pop(pid).alive)
        self._ended(pid)

    def _start(self, number: int) -> str:
        """Start a worker. Return why it does not serve, or an empty text."""
        try:
            pid, read = self._fork(number)
        except OSError as error:  # the other workers go on serving
            return error.strerror or str(error)
        in_time, _, _ = select.select([read], [], [], START_SECONDS)
        answer = os.read(read, READ_BYTES) if in_time else b"it did not start in time"
        if answer.startswith(ALIVE) or self._stopping:
            return ""
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        self._forget(pid)
        return answer.decode(errors="replace") or "it ended at once"

    def _fork(self, number: int) -> tuple[int, int]:
        """Return the id of a new worker and the file descriptor from which its bytes are read. Raises OSError."""
        read, write = os.pipe()
        signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)  # none may come between the fork and its entry
        try:
            pid = os.fork()
        except OSError:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
            os.close(read)
            os.close(write)
            raise
        if pid == 0:
            os.close(read)
            self._be_worker(number, open(write, "wb", buffering=0))
        self._workers[pid] = _Worker(number, read)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
        os.close(write)
        return pid, read

    def _be_worker(self, number: int, answers: io.FileIO) -> NoReturn:
        status, problem, serving = 1, "", False

        def alive() -> None:
            nonlocal serving
            serving = True
            with contextlib.suppress(BrokenPipeError):  # the worker learns by `_supervisor_read` that it is alone
                answers.write(ALIVE)  # if the supervisor does not read now, this is dropped

        try:
            os.setsid()
            os.close(self._supervisor_write)
            os.set_blocking(answers.fileno(), False)
            for other in self._workers.values():
                os.close(other.alive)
            for name, handler in self._handlers_before.items():
                signal.signal(name, handler)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
            self._work(number, alive, self._supervisor_read)
            status = 0
        except KeyboardInterrupt:
            status = 0
        except (OSError, StoreError) as error:
            problem = getattr(error, "strerror", None) or str(error)
        except BaseException:
            logger.exception("worker %d has failed", number)
        finally:
            try:
                if problem and serving:
                    logger.error("worker %d has failed: %s", number, problem)
                elif problem:
                    answers.write(problem.encode(errors="replace"))
            finally:  # whatever happens, this process must not go on as a second supervisor
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
