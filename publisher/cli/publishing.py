"""`roar publish` from beginning to end: freeze or find the publish, drive it, say how it ended."""

import os
import sys
import time
from contextlib import closing
from pathlib import Path

import anyio

from publisher.auth.choice import Choice
from publisher.auth.keyring import Keyring
from publisher.auth.known import KnownKeys
from publisher.auth.sshkey import Ask
from publisher.candidates import candidate_identities
from publisher.cli.consent import Person
from publisher.cli.display import choose_display
from publisher.cli.failure import Failed, NotBegun, Unfinished
from publisher.cli.listening import run_listening, stop_by_exception
from publisher.cli.options import Options
from publisher.cli.request import put_request, read_request, refuse_hopeless
from publisher.cli.resuming import find_publish
from publisher.cli.watcher import Watcher
from publisher.plans import Frozen, Planner, Request, freeze
from publisher.worker import MOST_UPLOADS, own_keyring, work
from state.errors import ExitCode, Interrupted, LocalProblem, PublisherError
from state.machine import State
from state.paths import StateFolder
from state.publish import OwnedPublish
from state.record import Progress


def run(options: Options) -> int:
    """Carry a `publish` command line out and return its exit code; what goes wrong is raised as PublisherError.

    Repeating resumes.  SIGINT and SIGTERM stop cleanly: with KeyboardInterrupt or Interrupted before anything is kept,
    with Unfinished after.
    """
    stop_by_exception()
    if options.dry_run:
        from publisher.cli.dryrun import show

        request = read_request(options, Path.cwd(), os.environ)
        put = put_request(options.put, request) if options.put else None
        return show(request, put, as_json=options.as_json, quiet=options.quiet)
    with closing(choose_display(options)) as display:
        person = Person(present=_somebody_there() and not options.as_json, yes=options.yes, display=display)
        return _Publishing(options, display, person).run()


class _Publishing:
    """One `publish` command line being carried out."""

    def __init__(self, options: Options, display: Watcher, person: Person) -> None:
        self._options = options
        self._display = display
        self._person = person
        self._folder = StateFolder.from_environment(os.environ)

    def run(self) -> int:
        if self._options.resume is None:
            frozen, keyring = self._freeze(read_request(self._options, Path.cwd(), os.environ))
            return self._drive(frozen, keyring)
        found = find_publish(self._options.resume, self._folder, Path.cwd())
        if found.progress.state is State.DONE:
            self._display.published(found.plan, found.progress, again=True)
            return ExitCode.PUBLISHED
        frozen = Frozen(OwnedPublish.open(found.paths), found.plan, resumed=True)
        return self._drive(frozen, own_keyring(found.plan.intent, ask=self._ask))

    def _freeze(self, request: Request) -> tuple[Frozen, Keyring]:
        self._display.planning()
        keyring = own_keyring(request.intent, ask=self._ask)

        async def prepare(stop: anyio.Event) -> tuple[list[str], Planner | None]:
            return await self._prepare(request, keyring, stop)

        identities, planner = run_listening(prepare, self._display, self._person)
        consent = self._person.accept_redactions
        try:
            frozen = freeze(
                request, self._folder, identities=identities, clock=time.time, consent=consent, planner=planner
            )
            return frozen, keyring
        except LocalProblem as problem:
            if problem.exit_code is ExitCode.INTERRUPTED:
                raise NotBegun(problem) from problem
            raise

    async def _prepare(self, request: Request, keyring: Keyring, stop: anyio.Event) -> tuple[list[str], Planner | None]:
        """Everybody that the publish may name, and the planner of a put.

        Raises NeedsPerson if it can't be published at all, what the sources of a put raise, or Interrupted.
        """
        prepared: tuple[list[str], Planner | None] | None = None
        failure: PublisherError = Interrupted("stopped on request", kept="Nothing was sent, nothing was kept.")
        async with anyio.create_task_group() as tasks:

            async def give_up() -> None:
                await stop.wait()
                tasks.cancel_scope.cancel()

            tasks.start_soon(give_up)
            try:
                refuse_hopeless(request, await keyring.held(), keyring.unusable)
                planner = await self._planner(request)
                known = KnownKeys(self._folder.identities)
                report = self._display.report
                prepared = (await candidate_identities(request, keyring, report=report, known=known), planner)
            except PublisherError as error:
                failure = error
            tasks.cancel_scope.cancel()
        if prepared is None:
            raise failure
        return prepared

    async def _planner(self, request: Request) -> Planner | None:
        if self._options.put is None:
            return None
        from publisher.put.planner import put_planner

        order = put_request(self._options.put, request)
        return await put_planner(order, report=self._display.report, clock=time.time)

    def _drive(self, frozen: Frozen, keyring: Keyring) -> int:
        async def drive(stop: anyio.Event) -> Progress:
            async def confirm(choice: Choice) -> bool:
                return await self._person.confirm(choice, stop)

            report = self._display.report
            return await work(
                frozen.publish,
                self._folder,
                report=report,
                confirm=confirm,
                stop=stop,
                keyring=keyring,
                most_uploads=self._options.jobs or MOST_UPLOADS,
                upload_rate=self._options.limit_rate,
            )

        with frozen.publish:
            self._display.planned(frozen.plan, resumed=frozen.resumed)
            try:
                progress = run_listening(drive, self._display, self._person)
            except PublisherError as error:
                raise Unfinished(error, frozen.plan.id) from error
        if progress.state is not State.DONE:
            raise Failed(frozen.plan.id, progress.detail, reason=progress.reason)
        self._display.published(frozen.plan, progress)
        return ExitCode.PUBLISHED

    @property
    def _ask(self) -> Ask | None:
        return self._person.passphrase if self._person.present else None


def _somebody_there() -> bool:
    return sys.stdin.isatty() and sys.stderr.isatty()
