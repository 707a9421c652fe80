"""The daemon loop: scan the journals, choose the next publish, run it, record what follows.

    journals ──▶ index ───▶ schedule ──▶ workers ──▶ runner ──▶ engine ──▶ journals
                    ▲                      │
                    └─ woken by the socket, a finished publish, or a server that answers again (reachability)

What the loop remembers besides the journals (pauses, whose turn it is) may be lost, so a new daemon can continue after
a kill at any moment. An idle
daemon scans the state folder every few seconds and uses little memory. Other processes wake it when there is work.
"""

import logging
import os
from collections import Counter
from functools import partial
from typing import TYPE_CHECKING

import anyio
from anyio.abc import TaskGroup

from roar_publisher.daemon.dependencies import Dependencies
from roar_publisher.daemon.feeding import Feeding
from roar_publisher.daemon.index import PublishIndex
from roar_publisher.daemon.installation import Installation
from roar_publisher.daemon.reachability import ReachabilityMonitor, ReachabilityProbe
from roar_publisher.daemon.schedule import Action, Candidate, FollowUp, choose, due
from roar_publisher.daemon.settings import DaemonSettings
from roar_publisher.daemon.verifying import Checks, Verifying
from roar_publisher.daemon.wake import serve
from roar_publisher.state.errors import PublisherError
from roar_publisher.state.lock import Lock, is_held
from roar_publisher.state.paths import PublishPaths, StateFolder
from roar_publisher.state.queue import Queued
from roar_publisher.state.status import JournalStatus
from roar_publisher.tasks import task_group

if TYPE_CHECKING:
    from roar_publisher.daemon.workers import WorkerPool

SCAN_INTERVAL_SECONDS = 4.0
"""How long work may wait to be noticed if no process woke the daemon."""
SOCKET_RETRY_SECONDS = 60.0
"""How long until the socket is opened again that could not be, as on a full disk."""
SUSPENSION_CHECK_SECONDS = 2.0
SHORTEST_SUSPENSION_SECONDS = 5.0
"""A suspension longer than this has broken the machine's connections."""
STOP_TIMEOUT_SECONDS = 8.0
"""How long active publishes may take to stop. The engine needs at most 5 s."""
IDLE_RESTART_SECONDS = 60.0
"""After this long without work, the daemon restarts itself to free the memory that the work took."""


class Daemon:
    """The main loop.

    lock: the folder's daemon lock, already held. Without it, the caller must ensure that no other daemon serves the
    folder. drain: end as soon as nothing is due, instead of waiting for more.
    """

    def __init__(
        self,
        folder: StateFolder,
        settings: DaemonSettings,
        *,
        log: logging.Logger,
        dependencies: Dependencies,
        lock: Lock | None = None,
        drain: bool = False,
    ) -> None:
        self._folder = folder
        self._drain = drain
        self._settings = settings
        self._log = log
        self._dependencies = dependencies
        self._lock = lock
        self._run_blocking = dependencies.run_blocking()
        self._index = PublishIndex(folder)
        self._installation = Installation(dependencies.installed)
        self._workers: WorkerPool | None = None  # created for the first publish, because its imports take memory
        self._woken = anyio.Event()
        self._follow_ups: dict[str, tuple[FollowUp, float]] = {}  # the last one by publish id, and when it was decided
        self._changed: set[str] = set()  # publishes released since the last scan
        self._served: dict[str, float] = {}  # when each project's last publish was started, in anyio time
        self._queued: dict[str, Queued] = {}  # what the last scan left to a later one, by publish id
        self._drained = False  # whether the daemon has ended because nothing was due
        self._full_disk_logged = False
        self._verifying = Verifying(self._checks, log, self.wake)
        self._feeding = Feeding(dependencies.feeder, drain=drain, log=log, wake=self.wake)

    async def run(self, stop: anyio.Event) -> bool:
        """Serve until `stop` is set, or if it drains, until everything due is published or postponed.

        Return True if the daemon ended because it was idle and should restart: with fresh memory, or as the release
        that was installed meanwhile.
        """
        self._log.info(
            f"the daemon is running (pid {os.getpid()}), at most {self._settings.max_active} publishes at once"
        )
        self._feeding.begin()
        async with task_group() as tasks:
            monitor = ReachabilityMonitor(tasks, self._probing, rng=self._dependencies.rng, on_reachable=self.wake)
            tasks.start_soon(self._serve_socket)
            tasks.start_soon(self._watch_for_suspension, monitor)
            tasks.start_soon(self._wake_on_stop, stop)
            idle_since = anyio.current_time()
            restart = ""
            while not stop.is_set():
                self._woken = anyio.Event()
                wait, idle = await self._scan(tasks, monitor)
                idle = idle and not self._feeding.active
                self._feeding.start(tasks)
                if idle and not self._drain:
                    self._verifying.start(tasks)
                else:
                    self._verifying.give_way()
                if not idle or self._verifying.active:
                    idle_since = anyio.current_time()
                elif self._workers is not None and anyio.current_time() - idle_since >= IDLE_RESTART_SECONDS:
                    restart = "idle: the daemon restarts to free memory"
                    break
                if self._outdated:
                    restart = "another release was installed: the daemon restarts"
                    break
                if self._drain and not self._busy and not self._woken.is_set():
                    self._drained = True
                    stop.set()
                    break
                with anyio.move_on_after(wait):
                    await self._woken.wait()
                if self._lock is not None and not self._lock.in_place:
                    self._log.warning(f"{self._folder.root} was removed or replaced, so the daemon exits")
                    stop.set()
            self._feeding.stop()
            self._verifying.give_way()
            await self._stop_workers()
            tasks.cancel_scope.cancel()
        self._log.info("the daemon exits" if stop.is_set() else restart)
        return not stop.is_set()

    def wake(self) -> None:
        """Scan the journals now."""
        self._woken.set()

    def left_behind(self) -> bool:
        """Return whether a publish was queued after the last scan of a drain that ended because nothing was due.

        Call it when the lock is free: up to then, whoever queues a publish relies on this daemon. Blocks.
        """
        try:
            waiting = self._index.waiting(frozenset()) if self._drained else []
        except PublisherError:  # the state folder cannot be read at the moment
            return False
        return any(not found.queued.parked and self._queued.get(found.paths.id) != found.queued for found in waiting)

    @property
    def _busy(self) -> bool:
        """Whether a publish is worked on, or was released since the last scan and may be due again.

        A scan starts everything due that there is room for, so afterwards nothing is due if nothing is worked on.
        """
        return bool(self._changed or self._feeding.active or (self._workers is not None and self._workers.active))

    @property
    def _outdated(self) -> bool:
        """Whether nothing is worked on, and another release is installed, whose journals this one may not know."""
        working = self._drain or self._busy or self._verifying.active
        return not working and self._installation.replaced(anyio.current_time())

    async def _scan(self, tasks: TaskGroup, monitor: ReachabilityMonitor) -> tuple[float, bool]:
        """Start what can be started. Return the seconds until the next scan, and whether there is nothing to do."""
        active = self._workers.active if self._workers is not None else {}
        changed, self._changed = self._changed, set()
        try:
            waiting, unreported, claimed = await self._run_blocking(self._read_journals, frozenset(active), changed)
        except PublisherError as problem:  # the state folder cannot be read at the moment
            self._log.error(problem.what)
            return SCAN_INTERVAL_SECONDS, False
        for publish_id in claimed:
            if publish_id in active:  # it may have ended during the scan
                active[publish_id].stop.set()
        wanted = [found for found in waiting if not found.queued.parked]
        self._queued = {found.paths.id: found.queued for found in wanted}
        ready = [found for found in wanted if self._ready(found, monitor)]
        if (ready or unreported) and self._room_on_disk():
            workers = self._get_workers(tasks, monitor)
            self._report_ends(workers, unreported)
            self._start(workers, ready)
        now = self._dependencies.clock()
        later = [at - now for found in wanted if (at := found.queued.next_attempt) is not None and at > now]
        return min([SCAN_INTERVAL_SECONDS, *later]), not (wanted or unreported or active)

    def _read_journals(
        self, skip: frozenset[str], changed: set[str]
    ) -> tuple[list[JournalStatus], list[JournalStatus], list[str]]:
        """Return waiting publishes, ended but unreported ones, and active ones that another process claims. Blocks."""
        for publish_id in changed:
            self._index.forget(publish_id)
        waiting = self._index.waiting(skip)
        claimed = [id_ for id_ in skip if is_held(PublishPaths(self._folder.publishes / id_).claim)]
        return waiting, self._index.unreported(skip), claimed

    def _ready(self, found: JournalStatus, monitor: ReachabilityMonitor) -> bool:
        last, since = self._follow_ups.get(found.paths.id, (None, 0.0))
        if self._is_paused(found.paths.id) or (last is not None and monitor.is_unreachable(last.probe_url)):
            return False
        next_attempt = found.queued.next_attempt
        if next_attempt is None or last is None or last.action is not Action.RETRY:
            return due(next_attempt, self._dependencies.clock())
        # A postponement of our own is measured on a monotonic clock, so setting the wall clock does not change it.
        return since + last.seconds <= self._now()

    def _is_paused(self, publish_id: str) -> bool:
        last, since = self._follow_ups.get(publish_id, (None, 0.0))
        return last is not None and last.action is Action.PAUSE and self._now() < since + last.seconds

    def _now(self) -> float:
        """Return seconds on a clock that includes time asleep and that no one can set."""
        return anyio.current_time() + self._dependencies.suspended_seconds()

    def _start(self, workers: "WorkerPool", ready: list[JournalStatus]) -> None:
        by_id = {found.paths.id: found for found in ready}
        candidates = [Candidate(id_, found.plan.project, found.plan.created_at) for id_, found in by_id.items()]
        busy = Counter(active.project for active in workers.active.values() if not active.reporting)
        for chosen in choose(candidates, busy, self._served, self._settings.max_active - busy.total()):
            self._served[chosen.project] = anyio.current_time()
            self._follow_ups.pop(chosen.id, None)
            workers.start(by_id[chosen.id])

    def _report_ends(self, workers: "WorkerPool", unreported: list[JournalStatus]) -> None:
        """Report ended publishes, at most `max_active` at once, because each hook is a process."""
        reporting = sum(active.reporting for active in workers.active.values())
        candidates = [found for found in unreported if not self._is_paused(found.paths.id)]
        for found in candidates[: self._settings.max_active - reporting]:
            workers.report_end(found)

    def _room_on_disk(self) -> bool:
        room = self._dependencies.has_room(self._folder.root)
        if not room and not self._full_disk_logged:
            self._log.warning(f"the disk of {self._folder.root} is full: nothing is started until there is room")
        self._full_disk_logged = not room
        return room

    def _get_workers(self, tasks: TaskGroup, monitor: ReachabilityMonitor) -> "WorkerPool":
        if self._workers is None:
            from roar_publisher.daemon.workers import WorkerPool

            self._workers = WorkerPool(
                tasks,
                self._folder,
                self._settings,
                log=self._log,
                dependencies=self._dependencies,
                on_released=partial(self._release, monitor),
            )
        return self._workers

    def _release(self, monitor: ReachabilityMonitor, publish_id: str, follow_up: FollowUp | None) -> None:
        """Record that the daemon has released a publish."""
        self._changed.add(publish_id)
        self._feeding.due = True
        if follow_up is not None:
            self._follow_ups[publish_id] = (follow_up, self._now())
            if follow_up.action is Action.UNREACHABLE:
                monitor.watch(follow_up.probe_url)
        self.wake()

    def _checks(self) -> Checks | None:
        if self._dependencies.checks is not None or self._settings.verify_every is None:
            return self._dependencies.checks
        from roar_publisher.checking.scheduled import ScheduledChecks

        clock, every = self._dependencies.clock, self._settings.verify_every
        return ScheduledChecks(self._folder, every, self._settings.limits, clock, self._log)

    def _probing(self, url: str) -> ReachabilityProbe:
        # Imported on first use, like the workers, to keep the idle daemon small.
        from roar_publisher.daemon.workers import reachability_probe

        return reachability_probe(url, self._dependencies)

    async def _serve_socket(self) -> None:
        warned = False
        while True:
            try:
                await serve(self._folder, self._answer_wake)
            except OSError as error:
                if not warned:
                    warned = True
                    why, seconds = error.strerror or error, SCAN_INTERVAL_SECONDS
                    self._log.warning(f"cannot open the socket ({why}): scanning every {seconds:.0f} s only until then")
            await anyio.sleep(SOCKET_RETRY_SECONDS)

    def _answer_wake(self) -> None:
        self._feeding.due = True
        self.wake()

    async def _watch_for_suspension(self, monitor: ReachabilityMonitor) -> None:
        before = self._dependencies.suspended_seconds()
        while True:
            await anyio.sleep(SUSPENSION_CHECK_SECONDS)
            now = self._dependencies.suspended_seconds()
            if now - before > SHORTEST_SUSPENSION_SECONDS:
                self._log.info(f"the machine was suspended for {now - before:.0f} s: every active publish restarts")
                if self._workers is not None:
                    self._workers.restart_all()
                monitor.probe_now()
                self.wake()
            before = now

    async def _wake_on_stop(self, stop: anyio.Event) -> None:
        await stop.wait()
        self.wake()

    async def _stop_workers(self) -> None:
        """Stop all active publishes and wait until they have written their last checkpoints."""
        if self._workers is None:
            return
        self._workers.stop_all()
        with anyio.move_on_after(STOP_TIMEOUT_SECONDS):
            while self._workers.active:
                self._woken = anyio.Event()
                if self._workers.active:
                    await self._woken.wait()
