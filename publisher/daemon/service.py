"""The daemon loop: scan the journals, choose the next publish, run it, record what follows.

    journals ──▶ index ───▶ schedule ──▶ workers ──▶ worker ──▶ journals
                    ▲                      │
                    └─ woken by the socket, a finished publish, or a server that answers again (reachability)

The loop keeps no state that is not in the journals, so a new daemon can continue after a kill at any moment. An idle
daemon scans the state folder every few seconds and uses little memory. Other processes wake it when there is work.
"""

import logging
import os
from collections import Counter
from typing import TYPE_CHECKING

import anyio
from anyio.abc import TaskGroup

from roar_publisher.daemon.dependencies import Dependencies
from roar_publisher.daemon.index import PublishIndex
from roar_publisher.daemon.reachability import Probing, ReachabilityMonitor
from roar_publisher.daemon.schedule import Action, Candidate, Verdict, choose, due
from roar_publisher.daemon.settings import Settings
from roar_publisher.daemon.wake import serve
from roar_publisher.state.errors import PublisherError
from roar_publisher.state.lock import Lock, owner
from roar_publisher.state.paths import StateFolder
from roar_publisher.state.status import PublishStatus
from roar_publisher.tasks import task_group

if TYPE_CHECKING:
    from roar_publisher.daemon.workers import WorkerPool

SCAN_SECONDS = 4.0
"""How long work may wait to be noticed if no process woke the daemon."""
PULSE_SECONDS = 2.0
SLEEP_SECONDS = 5.0
"""A suspension longer than this has broken the machine's connections."""
STOP_SECONDS = 8.0
"""How long active publishes may take to stop. The engine needs at most 5 s."""
REST_SECONDS = 60.0
"""After this long without work, the daemon restarts itself to free the memory that the work took."""


class Daemon:
    """The main loop.

    lock: the folder's daemon lock, already held. Without it, the caller must ensure that no other daemon serves the
    folder.
    """

    def __init__(
        self,
        folder: StateFolder,
        settings: Settings,
        *,
        log: logging.Logger,
        means: Dependencies,
        lock: Lock | None = None,
    ) -> None:
        self._folder = folder
        self._settings = settings
        self._log = log
        self._means = means
        self._lock = lock
        self._run_blocking = means.run_blocking()
        self._index = PublishIndex(folder)
        self._workers: WorkerPool | None = None  # created for the first publish, because its imports take memory
        self._woken = anyio.Event()
        self._verdicts: dict[str, tuple[Verdict, float]] = {}  # last verdict by publish id, and when it was given
        self._changed: set[str] = set()  # publishes released since the last scan
        self._served: dict[str, float] = {}  # when each project's last publish was started, in anyio time
        self._full = False  # whether the full disk has been logged

    async def run(self, stop: anyio.Event) -> bool:
        """Serve until `stop` is set.

        Return True if the daemon ended because it was idle and should restart with fresh memory.
        """
        self._log.info(f"the daemon runs (pid {os.getpid()}), at most {self._settings.max_active} at once")
        async with task_group() as tasks:
            monitor = ReachabilityMonitor(tasks, self._probing, rng=self._means.rng, back=self.wake)
            tasks.start_soon(self._serve_socket)
            tasks.start_soon(self._notice_sleep, monitor)
            tasks.start_soon(self._end, stop)
            resting_since = anyio.current_time()
            while not stop.is_set():
                self._woken = anyio.Event()
                wait, resting = await self._turn(tasks, monitor)
                if not resting:
                    resting_since = anyio.current_time()
                elif self._workers is not None and anyio.current_time() - resting_since >= REST_SECONDS:
                    break
                with anyio.move_on_after(wait):
                    await self._woken.wait()
                if self._lock is not None and not self._lock.in_place:
                    self._log.warning(f"{self._folder.root} was removed or replaced: it is not ours any more")
                    stop.set()
            await self._let_go()
            tasks.cancel_scope.cancel()
        self._log.info("the daemon ends" if stop.is_set() else "nothing to do: the daemon begins anew")
        return not stop.is_set()

    def wake(self) -> None:
        """Scan the journals now."""
        self._woken.set()

    async def _turn(self, tasks: TaskGroup, monitor: ReachabilityMonitor) -> tuple[float, bool]:
        """Start what can be started. Return the seconds until the next scan, and whether there is nothing to do."""
        active = self._workers.active if self._workers is not None else {}
        changed, self._changed = self._changed, set()
        try:
            waiting, untold, claimed = await self._run_blocking(self._look, frozenset(active), changed)
        except PublisherError as problem:  # the state folder cannot be read at the moment
            self._log.error(problem.what)
            return SCAN_SECONDS, False
        for publish_id in claimed:
            if publish_id in active:  # it may have ended during the scan
                active[publish_id].stop.set()
        wanted = [found for found in waiting if not found.queued.parked]
        ready = [found for found in wanted if self._ready(found, monitor)]
        if (ready or untold) and self._room_on_disk():
            workers = self._get_workers(tasks, monitor)
            self._tell(workers, untold)
            self._begin(workers, ready)
        now = self._means.clock()
        later = [at - now for found in wanted if (at := found.queued.next_attempt) is not None and at > now]
        return min([SCAN_SECONDS, *later]), not (wanted or untold or active)

    def _look(
        self, skip: frozenset[str], changed: set[str]
    ) -> tuple[list[PublishStatus], list[PublishStatus], list[str]]:
        """Return waiting publishes, ended but unreported ones, and active ones that another process claims. Blocks."""
        for publish_id in changed:
            self._index.forget(publish_id)
        waiting = self._index.waiting(skip)
        claimed = [id_ for id_ in skip if owner(self._folder.publishes / id_ / "claim") is not None]
        return waiting, self._index.untold(skip), claimed

    def _ready(self, found: PublishStatus, monitor: ReachabilityMonitor) -> bool:
        last, since = self._verdicts.get(found.paths.id, (None, 0.0))
        if self._rests(found.paths.id) or (last is not None and monitor.is_away(last.probe_url)):
            return False
        next_attempt = found.queued.next_attempt
        if next_attempt is None or last is None or last.then is not Action.RETRY:
            return due(next_attempt, self._means.clock())
        # A postponement of our own is measured on a monotonic clock, so setting the wall clock does not change it.
        return since + last.seconds <= self._now()

    def _rests(self, publish_id: str) -> bool:
        last, since = self._verdicts.get(publish_id, (None, 0.0))
        return last is not None and last.then is Action.REST and self._now() < since + last.seconds

    def _now(self) -> float:
        """Return seconds on a clock that includes time asleep and that no one can set."""
        return anyio.current_time() + self._means.slept()

    def _begin(self, workers: "WorkerPool", ready: list[PublishStatus]) -> None:
        by_id = {found.paths.id: found for found in ready}
        candidates = [Candidate(id_, found.plan.project, found.plan.created_at) for id_, found in by_id.items()]
        busy = Counter(errand.project for errand in workers.active.values() if not errand.telling)
        for chosen in choose(candidates, busy, self._served, self._settings.max_active - busy.total()):
            self._served[chosen.project] = anyio.current_time()
            self._verdicts.pop(chosen.id, None)
            workers.begin(by_id[chosen.id])

    def _tell(self, workers: "WorkerPool", untold: list[PublishStatus]) -> None:
        """Report ended publishes, at most `max_active` at once, because each hook is a process."""
        telling = sum(errand.telling for errand in workers.active.values())
        rested = [found for found in untold if not self._rests(found.paths.id)]
        for found in rested[: self._settings.max_active - telling]:
            workers.tell(found)

    def _room_on_disk(self) -> bool:
        room = self._means.has_room(self._folder.root)
        if not room and not self._full:
            self._log.warning(f"the disk of {self._folder.root} is full: nothing is begun until there is room")
        self._full = not room
        return room

    def _get_workers(self, tasks: TaskGroup, monitor: ReachabilityMonitor) -> "WorkerPool":
        if self._workers is None:
            from roar_publisher.daemon.workers import WorkerPool

            def over(publish_id: str, then: Verdict | None) -> None:
                self._over(publish_id, then, monitor)

            self._workers = WorkerPool(tasks, self._folder, self._settings, log=self._log, means=self._means, over=over)
        return self._workers

    def _over(self, publish_id: str, then: Verdict | None, monitor: ReachabilityMonitor) -> None:
        """Record that the daemon has released a publish."""
        self._changed.add(publish_id)
        if then is not None:
            self._verdicts[publish_id] = (then, self._now())
            if then.then is Action.AWAY:
                monitor.wait_for(then.probe_url)
        self.wake()

    def _probing(self, url: str) -> Probing:
        # Imported on first use, like the workers, to keep the idle daemon small.
        from roar_publisher.daemon.workers import probing

        return probing(url, self._means)

    async def _serve_socket(self) -> None:
        try:
            await serve(self._folder, self.wake)
        except OSError as error:
            self._log.warning(
                f"no socket to be woken at ({error.strerror or error}): looking every {SCAN_SECONDS:.0f} s instead"
            )

    async def _notice_sleep(self, monitor: ReachabilityMonitor) -> None:
        before = self._means.slept()
        while True:
            await anyio.sleep(PULSE_SECONDS)
            now = self._means.slept()
            if now - before > SLEEP_SECONDS:
                self._log.info(f"the machine slept for {now - before:.0f} s: everything under way begins anew")
                if self._workers is not None:
                    self._workers.drop_all()
                monitor.hurry()
                self.wake()
            before = now

    async def _end(self, stop: anyio.Event) -> None:
        await stop.wait()
        self.wake()

    async def _let_go(self) -> None:
        """Stop all active publishes and wait until they have written their last checkpoints."""
        if self._workers is None:
            return
        self._workers.stop_all()
        with anyio.move_on_after(STOP_SECONDS):
            while self._workers.active:
                self._woken = anyio.Event()
                if self._workers.active:
                    await self._woken.wait()
