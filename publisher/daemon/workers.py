"""The active publishes. Each runs in a separate task; all tasks share connections."""

import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import anyio
from anyio.abc import TaskGroup

from roar_publisher.daemon.connections import Lines
from roar_publisher.daemon.dependencies import ActivePublish, Dependencies
from roar_publisher.daemon.hooks import Ended, tell_end
from roar_publisher.daemon.log import about
from roar_publisher.daemon.runner import DEFECT, park_defect, run_publish, tell
from roar_publisher.daemon.schedule import FIRST_RETRY_SECONDS, UNUSABLE_REST_SECONDS, Action, Verdict
from roar_publisher.daemon.settings import Settings, project_settings
from roar_publisher.net.budget import UploadBudget
from roar_publisher.net.connection import RegistryConnection
from roar_publisher.net.exchange import Exchange
from roar_publisher.net.route import Unreachable
from roar_publisher.state.errors import NeedsUser, Owned, PublisherError
from roar_publisher.state.paths import StateFolder
from roar_publisher.state.status import PublishStatus
from roar_publisher.state.status_reader import read_status

PROBE_SECONDS = 4.0


class WorkerPool:
    """Runs publishes and end-of-publish hooks as tasks.

    over: called with the publish id and what follows when the daemon has released a publish. None means that it has
    ended.
    """

    def __init__(
        self,
        tasks: TaskGroup,
        folder: StateFolder,
        settings: Settings,
        *,
        log: logging.Logger,
        means: Dependencies,
        over: Callable[[str, Verdict | None], None],
    ) -> None:
        self._tasks = tasks
        self._folder = folder
        self._settings = settings
        self._log = log
        self._means = means
        self._over = over
        self._lines = Lines(lambda registry: RegistryConnection(registry, transport=means.transport))
        self._share = UploadBudget.of(settings.limits.uploads, settings.limits.limit_rate)
        self.active: dict[str, ActivePublish] = {}

    def begin(self, found: PublishStatus) -> None:
        """Start to work on a publish in a new task."""
        errand = self.active[found.paths.id] = ActivePublish(found.plan.project)
        self._tasks.start_soon(self._carry_out, found, errand)

    def tell(self, found: PublishStatus) -> None:
        """Report the end of a publish in a new task."""
        errand = self.active[found.paths.id] = ActivePublish(found.plan.project, telling=True)
        self._tasks.start_soon(self._tell, found, errand)

    def drop_all(self) -> None:
        """Restart all publishes with new connections, because the existing ones were cut silently. Hooks keep
        running.
        """
        self._lines.renew()
        for errand in self.active.values():
            if not errand.telling:
                errand.scope.cancel()

    def stop_all(self) -> None:
        """Stop everything cleanly. A running hook is ended; the next daemon runs it again."""
        for errand in self.active.values():
            errand.stop.set()
            if errand.telling:
                errand.scope.cancel()

    async def _carry_out(self, found: PublishStatus, errand: ActivePublish) -> None:
        then: Verdict | None = Verdict(Action.LEAVE)
        try:
            with errand.scope:
                async with self._lines.to(found.plan.registry) as line:
                    then = await run_publish(
                        found, errand, self._folder, line, self._share, log=self._log, means=self._means
                    )
        except Owned:  # the owner is not visible in the lock, so do not retry immediately
            then = Verdict(Action.REST, seconds=FIRST_RETRY_SECONDS)
        except PublisherError as problem:  # the journal cannot be used, so nothing can be recorded there
            about(self._log, found.paths.id).error(problem.what)
            then = Verdict(Action.REST, seconds=UNUSABLE_REST_SECONDS)
        except Exception as error:
            await park_defect(found, error, log=self._log, means=self._means)
        finally:
            del self.active[found.paths.id]
            self._over(found.paths.id, then)
        if then is not None and then.then is Action.PARK and found.live:
            with suppress(PublisherError):  # the notification is optional; the publish is already parked
                await self._hear(await self._means.run_blocking()(read_status, found.paths), hook=False)

    async def _tell(self, found: PublishStatus, errand: ActivePublish) -> None:
        then: Verdict | None = None
        try:
            with errand.scope:
                await tell(found, self._hear, means=self._means)
        except PublisherError as problem:
            about(self._log, found.paths.id).error(problem.what)
            then = Verdict(Action.REST, seconds=FIRST_RETRY_SECONDS)
        except Exception as error:
            about(self._log, found.paths.id).error(DEFECT, exc_info=error)
            then = Verdict(Action.REST, seconds=UNUSABLE_REST_SECONDS)
        finally:
            del self.active[found.paths.id]
            self._over(found.paths.id, then)

    async def _hear(self, found: PublishStatus, *, hook: bool = True) -> None:
        """Report an end to the hook and the desktop. With `hook=False`, notify only the desktop.

        Raises LocalProblem if this cannot be done now. An unexpected exception is only logged, so that the hook does
        not run forever.
        """
        log, settings = about(self._log, found.paths.id), self._settings
        try:
            settings = project_settings(settings, Path(found.plan.project), log=log)
        except PublisherError as problem:
            log.warning(problem.what)
        progress = found.progress
        ended = Ended(
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
            await tell_end(ended, command or None, notify=settings.notify, log=self._log)
        except PublisherError:
            raise
        except Exception as error:
            log.error(DEFECT, exc_info=error)


@asynccontextmanager
async def probing(url: str, means: Dependencies) -> AsyncIterator[Callable[[], Awaitable[bool]]]:
    """Provide a function that reports whether anything answers at a URL. It can be called repeatedly."""
    async with Exchange(url, connections=1, transport=means.transport) as exchange:

        async def anything_answers() -> bool:
            try:
                with anyio.fail_after(PROBE_SECONDS):
                    await exchange.send("HEAD", "", None, None)
            except (Unreachable, TimeoutError):
                return False
            except NeedsUser:  # a certificate or proxy problem: the next attempt parks the publish with its message
                return True
            return True

        yield anything_answers
