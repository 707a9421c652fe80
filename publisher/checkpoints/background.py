"""What the training process does beside its loop: clones of snapshots, and waking or starting the daemon."""

import logging
import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from queue import SimpleQueue
from threading import Event, Thread

from roar_publisher.checkpoints.record import Record
from roar_publisher.checkpoints.series import Series
from roar_publisher.checkpoints.snapshot import clone
from roar_publisher.daemon.background import is_traced, start
from roar_publisher.daemon.settings import user_settings
from roar_publisher.daemon.wake import wake
from roar_publisher.state.errors import PublisherError
from roar_publisher.state.home import home_to_read
from roar_publisher.state.paths import StateFolder

log = logging.getLogger("roar_publisher")
FINISH_SECONDS = 60.0
"""How long the end of the process may wait for copies. One that is incomplete then is not used."""


class Background:
    """A thread that carries out tasks in turn, and ends with the process.

    start_daemon: start one if none runs. Never where the user starts it elsewhere (the setting `start_daemon`), nor
    inside of `roar run`, which would trace it, and wait for its end.
    """

    def __init__(self, folder: StateFolder, series: Series, *, start_daemon: bool) -> None:
        self._folder = folder
        self._series = series
        self._start = start_daemon and not is_traced(os.environ)
        self._tasks = SimpleQueue[Callable[[], None] | None]()
        self._warned = False
        self._thread = Thread(target=self._run, name="roar_publisher checkpoints", daemon=True)
        self._thread.start()

    def submitted(self, record: Record, *, copy: bool) -> None:
        """Do what follows when a checkpoint was submitted: wake the daemon, and give its files blocks of their own.

        copy: copy where a reflink is impossible.
        """
        self._tasks.put(partial(self._clone, record, copy=copy))

    def remove(self, record: Record) -> None:
        """Remove a snapshot. Removing a large file can take longer than holding it."""
        self._tasks.put(partial(self._series.remove_snapshot, record))

    def wake(self) -> None:
        """Let the daemon look for checkpoints now."""
        self._tasks.put(self._wake)

    def flush(self) -> None:
        """Wait until what was asked for is done."""
        done = Event()
        self._tasks.put(done.set)
        done.wait(FINISH_SECONDS)

    def finish(self) -> None:
        """Wait until every task is done, and end the thread. Repetition is harmless."""
        self._tasks.put(None)
        self._thread.join(FINISH_SECONDS)

    def _run(self) -> None:
        while (task := self._tasks.get()) is not None:
            try:
                task()
            except Exception:  # a defect must not keep the next task from being carried out
                log.exception("a task for checkpoints failed; they are kept")

    def _clone(self, record: Record, *, copy: bool) -> None:
        self._wake()
        for number, source in enumerate(record.sources):
            original = Path(record.project, source.typed)
            if not clone(record.snapshot, number, original, source.files, copy=copy):
                break

    def _wake(self) -> None:
        try:
            if wake(self._folder):
                return
            if self._start and user_settings(os.environ, home_to_read()).start_daemon:
                start(self._folder)
                return
            what, next_step = "no daemon runs here that publishes checkpoints", "roar daemon start, outside of roar run"
        except PublisherError as problem:
            what, next_step = problem.what, problem.next_step
        except OSError as error:  # no more files may be opened, for example
            what, next_step = f"the daemon cannot be woken: {error.strerror}", "roar daemon status"
        if not self._warned:
            log.warning("%s; they are kept; next: %s", what, next_step)
            self._warned = True
