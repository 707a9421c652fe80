"""The active publishes. Each runs in a separate task; all tasks share connections."""

import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import anyio
from anyio.abc import TaskGroup
from msgspec import Struct, field

from roar_publisher.daemon.connections import SharedConnections
from roar_publisher.daemon.dependencies import Dependencies
from roar_publisher.daemon.hooks import EndedPublish, notify_end
from roar_publisher.daemon.log import about
from roar_publisher.daemon.runner import DEFECT, park_defect, report_end, run_publish
from roar_publisher.daemon.schedule import FIRST_RETRY_SECONDS, UNUSABLE_PAUSE_SECONDS, Action, FollowUp
from roar_publisher.daemon.settings import DaemonSettings, project_settings
from roar_publisher.net.budget import UploadBudget
from roar_publisher.net.connection import RegistryConnection
from roar_publisher.net.exchange import Exchange
from roar_publisher.net.route import Unreachable
from roar_publisher.state.errors import NeedsUser, Owned, PublisherError
from roar_publisher.state.paths import StateFolder
from roar_publisher.state.status import JournalStatus
from roar_publisher.state.status_reader import read_status

PROBE_SECONDS = 4.0


class ActivePublish(Struct):
    """An active publish.

    stop: set to release it cleanly. scope: cancelled to drop it; the next scan finds it. reporting: it has ended, and
    its hook is running.
    """

    project: str
    reporting: bool = False
    stop: anyio.Event = field(default_factory=anyio.Event)
    scope: anyio.CancelScope = field(default_factory=anyio.CancelScope)


class WorkerPool:
    """Runs publishes and end-of-publish hooks as tasks.

    on_released: called with the publish id and what follows when the daemon has released a publish. None means that
    it has ended.
    """

    def __init__(
        self,
        tasks: TaskGroup,
        folder: StateFolder,
        settings: DaemonSettings,
        *,
        log: logging.Logger,
        dependencies: Dependencies,
        on_released: Callable[[str, FollowUp | None], None],
    ) -> None:
        self._tasks = tasks
        self._folder = folder
        self._settings = settings
        self._log = log
        self._dependencies = dependencies
        self._on_released = on_released
        self._connections = SharedConnections(
            lambda registry: RegistryConnection(registry, transport=dependencies.transport)
        )
        self._budget = UploadBudget.of(settings.limits.uploads, settings.limits.limit_rate)
        self.active: dict[str, ActivePublish] = {}

    def start(self, found: JournalStatus) -> None:
        """Start to work on a publish in a new task."""
        active = self.active[found.paths.id] = ActivePublish(found.plan.project)
        self._tasks.start_soon(self._run, found, active)

    def report_end(self, found: JournalStatus) -> None:
        """Report the end of a publish in a new task."""
        active = self.active[found.paths.id] = ActivePublish(found.plan.project, reporting=True)
        self._tasks.start_soon(self._report_end, found, active)

    def restart_all(self) -> None:
        """Restart all publishes with new connections, because the existing ones were cut silently. Hooks keep
        running.
        """
        self._connections.renew()
        for active in self.active.values():
            if not active.reporting:
                active.scope.cancel()

    def stop_all(self) -> None:
        """Stop everything cleanly. A running hook is ended; the next daemon runs it again."""
        for active in self.active.values():
            active.stop.set()
            if active.reporting:
                active.scope.cancel()

    async def _run(self, found: JournalStatus, active: ActivePublish) -> None:
        follow_up: FollowUp | None = FollowUp(Action.LEAVE)
        try:
            with active.scope:
                async with self._connections.to(found.plan.registry) as connection:
                    follow_up = await run_publish(
                        found,
                        active.stop,
                        self._folder,
                        connection,
                        self._budget,
                        log=self._log,
                        dependencies=self._dependencies,
                    )
        except Owned:  # the owner is not visible in the lock, so do not retry immediately
            follow_up = FollowUp(Action.PAUSE, seconds=FIRST_RETRY_SECONDS)
        except PublisherError as problem:  # the journal cannot be used, so nothing can be recorded there
            about(self._log, found.paths.id).error(problem.what)
            follow_up = FollowUp(Action.PAUSE, seconds=UNUSABLE_PAUSE_SECONDS)
        except Exception as error:
            follow_up = await park_defect(found, error, log=self._log, dependencies=self._dependencies)
        finally:
            del self.active[found.paths.id]
            self._on_released(found.paths.id, follow_up)
        if follow_up is not None and follow_up.action is Action.PARK and found.live:
            with suppress(PublisherError):  # the notification is optional; the publish is already parked
                await self._notify(await self._dependencies.run_blocking()(read_status, found.paths), hook=False)

    async def _report_end(self, found: JournalStatus, active: ActivePublish) -> None:
        follow_up: FollowUp | None = None
        try:
            with active.scope:
                await report_end(found, self._notify, dependencies=self._dependencies)
        except PublisherError as problem:
            about(self._log, found.paths.id).error(problem.what)
            follow_up = FollowUp(Action.PAUSE, seconds=FIRST_RETRY_SECONDS)
        except Exception as error:
            about(self._log, found.paths.id).error(DEFECT, exc_info=error)
            follow_up = FollowUp(Action.PAUSE, seconds=UNUSABLE_PAUSE_SECONDS)
        finally:
            del self.active[found.paths.id]
            self._on_released(found.paths.id, follow_up)

    async def _notify(self, found: JournalStatus, *, hook: bool = True) -> None:
        """Report an end to the hook and the desktop. With `hook=False`, notify only the desktop.

        Raises LocalProblem if this cannot be done now. An unexpected exception is only logged, so that the hook does
        not run forever.
        """
        log, settings = about(self._log, found.paths.id), self._settings
        try:
            project = Path(found.plan.project)
            settings = await self._dependencies.run_blocking()(project_settings, settings, project, log=log)
        except PublisherError as problem:
            log.warning(problem.what)
        progress = found.progress
        ended = EndedPublish(
            publish_id=found.paths.id,
            state=progress.state,
            hash=progress.hash or "",
            url=progress.url or "",
            project=found.plan.project,
            reason=str(found.reason),
            detail=progress.detail,
        )
        command = settings.on_done if hook else None
        try:
            await notify_end(ended, command or None, notify=settings.notify, log=self._log)
        except PublisherError:
            raise
        except Exception as error:
            log.error(DEFECT, exc_info=error)


@asynccontextmanager
async def reachability_probe(url: str, dependencies: Dependencies) -> AsyncIterator[Callable[[], Awaitable[bool]]]:
    """Provide a function that reports whether anything answers at a URL. It can be called repeatedly."""
    async with Exchange(url, connections=1, transport=dependencies.transport) as exchange:

        async def anything_answers() -> bool:
            try:
                with anyio.fail_after(PROBE_SECONDS):
                    await exchange.send("HEAD", "", None, None)
            except (Unreachable, TimeoutError):
                return False
            except NeedsUser:  # a certificate or proxy problem: the next attempt parks the publish with its message
                return True
            except PublisherError:  # of this machine, which may open no more files, for example
                return False
            return True

        yield anything_answers
