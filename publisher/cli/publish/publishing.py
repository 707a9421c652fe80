"""`roar publish` from start to end: freeze or find the publish, run it, report the result."""

import os
import sys
import time
from collections.abc import Mapping
from contextlib import closing
from typing import Any

import anyio

from roar_publisher.auth.choice import Choice
from roar_publisher.auth.keyring import Keyring
from roar_publisher.cli.cancelling import cancel_owned
from roar_publisher.cli.display.base import Display
from roar_publisher.cli.display.result import Result
from roar_publisher.cli.errors import Failed, NotStarted, Unfinished
from roar_publisher.cli.publish.displays import choose_display
from roar_publisher.cli.publish.finish import finish
from roar_publisher.cli.publish.options import Options
from roar_publisher.cli.publish.preparing import Preparation
from roar_publisher.cli.publish.prompts import Declined, Prompter
from roar_publisher.cli.publish.registry_acceptance import accept_registry_of_plan, accept_registry_of_request
from roar_publisher.cli.publish.request import put_request, read_request
from roar_publisher.cli.publish.signals import run_with_signals, stop_by_exception
from roar_publisher.cli.publish.stopping import park_stopped, unfinished_error
from roar_publisher.engine.credentials import user_keyring
from roar_publisher.engine.run import Frontend
from roar_publisher.engine.worker import work
from roar_publisher.exit_codes import ExitCode
from roar_publisher.lineage.project import current_folder
from roar_publisher.planning.freezing import FrozenPlan, freeze
from roar_publisher.planning.plans import PublishRequest
from roar_publisher.report import Noted
from roar_publisher.state.descriptors import raise_limit
from roar_publisher.state.errors import Conclusion, LocalProblem, Owned, PublisherError
from roar_publisher.state.machine import State
from roar_publisher.state.paths import PublishPaths, StateFolder
from roar_publisher.state.publish import OwnedPublish
from roar_publisher.state.record import NamedBy, Progress
from roar_publisher.state.status import CountedStatus
from roar_publisher.state.status_reader import count_status


def run(options: Options) -> int:
    """Carry out a `publish` command line and return its exit code. Errors are raised as PublisherError.

    Running the same command again resumes the publish. SIGINT and SIGTERM stop cleanly: with KeyboardInterrupt or
    Interrupted before anything is kept, with Unfinished afterwards.
    """
    stop_by_exception()
    raise_limit()
    if options.dry_run:
        from roar_publisher.cli.publish.dryrun import show

        request = read_request(options, current_folder(), os.environ)
        put = put_request(options.put, request, follow_links=options.follow_links) if options.put else None
        return show(request, put, as_json=options.as_json, quiet=options.quiet)
    with closing(choose_display(options)) as display:
        prompter = Prompter(present=_user_present() and not options.as_json, yes=options.yes, display=display)
        return _Publishing(options, display, prompter).run()


class _Publishing:
    """One `publish` command line being carried out."""

    def __init__(self, options: Options, display: Display, prompter: Prompter) -> None:
        self._options = options
        self._display = display
        self._prompter = prompter
        self._folder = StateFolder.from_environment(os.environ)

    def run(self) -> int:
        if self._options.resume is None:
            return self._start_new(read_request(self._options, current_folder(), os.environ))
        from roar_publisher.cli.publish.resuming import find_publish

        found = find_publish(self._options, self._folder, current_folder())
        if found.progress.state is State.DONE and not found.owes:
            return finish(self._display, Result(found.plan, found.progress, found.objects), again=True)
        if found.owned_by_daemon:
            return self._watch(found)
        try:
            owned = OwnedPublish.open(found.paths)
        except Owned:  # acquired by another process since it was read
            return self._watch_if_daemon(found.paths)
        frozen = self._accept_to_continue(owned)
        return self._continue(frozen, self._keyring(frozen.plan.registry, frozen.plan.intent), agreed=self._options.yes)

    def _accept_to_continue(self, owned: OwnedPublish) -> FrozenPlan:
        """Return the owned publish to continue, after checking that the user accepts its registry."""
        try:
            if self._options.registry is not None:
                owned.journal.name_registry(NamedBy.OPTION)
            plan = owned.journal.plan()
            accept_registry_of_plan(plan, self._prompter)
        except BaseException:
            owned.release()
            raise
        return FrozenPlan(owned, plan, resumed=True)

    def _start_new(self, request: PublishRequest) -> int:
        accept_registry_of_request(request, self._prompter)
        self._display.planning()
        for note in request.project.config.omit.notes():
            self._display.report(Noted(note))
        keyring = self._keyring(request.registry, request.intent)
        preparation = Preparation(request, self._options, keyring, self._folder, self._display, self._prompter)
        prepared = run_with_signals(preparation.run, self._display, self._prompter)
        try:
            frozen = freeze(
                request,
                self._folder,
                identities=prepared.identities,
                clock=time.time,
                consent=self._prompter.accept_redactions,
                planner=prepared.planner,
                agreed=prepared.agreed,
                again=self._options.put is not None and self._options.put.again,
            )
        except LocalProblem as problem:
            if problem.conclusion is Conclusion.INTERRUPTED:
                raise NotStarted(problem) from problem
            raise
        except Owned as owned:
            if not owned.publish_id:
                raise
            return self._watch_if_daemon(self._folder.find(owned.publish_id))
        if frozen.finished is not None:
            return self._show_finished(frozen, frozen.finished, keyring)
        return self._continue(frozen, keyring, agreed=prepared.agreed)

    def _show_finished(self, frozen: FrozenPlan, progress: Progress, keyring: Keyring) -> int:
        """Handle a put that is already published: pay what it owes, if anything, and show where it is."""
        self._display.report(
            Noted(f"this put is already published, as publish {frozen.plan.id}; --again makes a new one")
        )
        if any(debt.payable for debt in progress.owed):
            try:
                return self._drive(frozen, keyring)
            except Unfinished as error:
                self._display.report(Noted(error.what))
        frozen.publish.release()
        return self._published(frozen, progress, again=True)

    def _continue(self, frozen: FrozenPlan, keyring: Keyring, *, agreed: bool) -> int:
        """Run the publish here or leave it to the daemon.

        Record the options that apply to whichever process continues it.
        """
        options = self._options
        try:
            queue = frozen.publish.journal.queue
            queue.configure(agreed=agreed, limits=options.limits)
            if not options.detach:
                return self._drive(frozen, keyring)
            from roar_publisher.cli.publish.detaching import leave_to_daemon

            leave_to_daemon(frozen, self._folder, self._display)
        except KeyboardInterrupt:  # raised outside the code that handles signals itself
            raise park_stopped(frozen.publish) from None
        return ExitCode.PUBLISHED

    def _watch_if_daemon(self, paths: PublishPaths) -> int:
        """Watch the publish if the daemon works on it, otherwise re-raise Owned. Call while Owned is being handled."""
        found = count_status(paths)
        if not found.owned_by_daemon:
            raise
        return self._watch(found)

    def _watch(self, found: CountedStatus) -> int:
        """Watch a publish that the daemon already works on. With `--detach`, only report that."""
        if self._options.detach:
            self._display.detached(found.plan, resumed=True)
            return ExitCode.PUBLISHED
        from roar_publisher.cli.publish.watching import PublishWatch
        from roar_publisher.state.status_poller import StatusPoller

        with StatusPoller(found.paths) as poller:
            note = "the daemon already works on it; Ctrl-C stops watching only"
            return PublishWatch(poller, self._display).run(note=note)

    def _drive(self, frozen: FrozenPlan, keyring: Keyring) -> int:
        async def drive(stop: anyio.Event) -> Progress:
            async def confirm(choice: Choice) -> bool:
                return await self._prompter.confirm(choice, stop)

            return await work(
                frozen.publish,
                self._folder,
                Frontend(report=self._display.report, confirm=confirm, attended=True),
                stop=stop,
                keyring=keyring,
            )

        paid = frozen.publish.journal.progress().state is State.DONE
        try:
            with frozen.publish as owned:
                self._display.planned(frozen.plan, resumed=frozen.resumed)
                try:
                    progress = run_with_signals(drive, self._display, self._prompter)
                except Declined as no:
                    no.publish_cancelled(frozen.plan.id, cancel_owned(owned))
                    raise
        except Declined:
            raise
        except PublisherError as error:
            raise unfinished_error(error, frozen.publish.paths, self._folder) from error
        if progress.state is not State.DONE:
            raise Failed(frozen.plan.id, progress.detail, reason=progress.failure)
        return self._published(frozen, progress, again=paid)

    def _published(self, frozen: FrozenPlan, progress: Progress, *, again: bool) -> int:
        objects = count_status(frozen.publish.paths).objects
        return finish(self._display, Result(frozen.plan, progress, objects), again=again)

    def _keyring(self, registry: str, intent: Mapping[str, Any]) -> Keyring:
        ask = self._prompter.passphrase if self._prompter.present else None
        return user_keyring(registry, intent, ask=ask, report=self._display.report)


def _user_present() -> bool:
    return sys.stdin.isatty() and sys.stderr.isatty()
