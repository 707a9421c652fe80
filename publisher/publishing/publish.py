"""One publish from start to end: freeze or find it, then drive it here, watch it, or leave it to the daemon."""

import os
import time
from collections.abc import Mapping
from typing import Any

import anyio

from roar_publisher.auth.choice import Choice
from roar_publisher.auth.keyring import Keyring
from roar_publisher.engine.credentials import user_keyring
from roar_publisher.engine.run import Frontend, Resources
from roar_publisher.engine.worker import work
from roar_publisher.glaas.client import HEALTH
from roar_publisher.net.early import EarlyRequest, sent_early
from roar_publisher.planning.freezing import FrozenPlan, freeze
from roar_publisher.planning.plans import PublishRequest
from roar_publisher.publishing.cancelling import cancel_owned
from roar_publisher.publishing.consent import Consent, Declined
from roar_publisher.publishing.errors import Failed, NotStarted, Unfinished
from roar_publisher.publishing.finish import finish
from roar_publisher.publishing.observer import PublishObserver
from roar_publisher.publishing.order import Order
from roar_publisher.publishing.preparing import Preparation
from roar_publisher.publishing.registry_acceptance import accept_registry_of_plan, accept_registry_of_request
from roar_publisher.publishing.request import read_request
from roar_publisher.publishing.result import Result, result_of
from roar_publisher.publishing.running import Runner
from roar_publisher.publishing.stopping import park_stopped, unfinished_error
from roar_publisher.report import Noted
from roar_publisher.state.errors import Conclusion, LocalProblem, Owned, PublisherError
from roar_publisher.state.home import home_to_read
from roar_publisher.state.machine import State
from roar_publisher.state.paths import PublishPaths, StateFolder
from roar_publisher.state.publish import OwnedPublish
from roar_publisher.state.record import NamedBy, Plan, Progress
from roar_publisher.state.status import JournalStatus
from roar_publisher.state.status_reader import count_status, read_status


class Publishing:
    """One order being carried out.

    run_work: runs the asynchronous parts. The rest runs, and the observer is called, in the caller's thread.
    """

    def __init__(self, order: Order, observer: PublishObserver, consent: Consent, run_work: Runner) -> None:
        self._order = order
        self._observer = observer
        self._consent = consent
        self._run_work = run_work
        self._verify: bool | None = None  # None leaves it as it was planned; written by run
        self._early_health: EarlyRequest | None = None
        self._folder = StateFolder.from_environment(os.environ)

    def run(self) -> Result | Plan:
        """Carry out the order, and return the result, or the plan that was left to the daemon.

        Repeating the order resumes the publish. Raises PublisherError: Unfinished if the publish can be resumed.
        """
        self._verify = self._verifies()
        if self._order.resume is None:
            return self._start_new(read_request(self._order, os.environ))
        from roar_publisher.publishing.resuming import find_publish

        found = find_publish(self._order, self._folder)
        if found.progress.state is State.DONE and not found.owes:
            self._note_unverified(found.plan, found.progress)
            return self._published(found.paths, found.plan, found.progress, again=True)
        if found.owned_by_daemon:
            return self._watch(found)
        try:
            owned = OwnedPublish.open(found.paths)
        except Owned:  # acquired by another process since it was read
            return self._watch_if_daemon(found.paths)
        with owned:
            frozen = self._accept_to_continue(owned)
            keyring = self._keyring(frozen.plan.registry, frozen.plan.intent)
            return self._continue(frozen, keyring, agreed=self._order.yes)

    def _accept_to_continue(self, owned: OwnedPublish) -> FrozenPlan:
        """Return the owned publish to continue, after checking that the user accepts its registry."""
        if self._order.registry is not None:
            owned.journal.record_named_by(NamedBy.OPTION)
        plan = owned.journal.plan()
        accept_registry_of_plan(plan, self._consent)
        return FrozenPlan(owned, plan, resumed=True)

    def _start_new(self, request: PublishRequest) -> Result | Plan:
        accept_registry_of_request(request, self._consent)
        if self._order.detach:  # the daemon asks the registry, later
            return self._plan_new(request)
        with sent_early(request.registry, HEALTH) as self._early_health:
            return self._plan_new(request)

    def _plan_new(self, request: PublishRequest) -> Result | Plan:
        self._observer.planning()
        for note in request.project.config.omit.notes():
            self._observer.report(Noted(note))
        keyring = self._keyring(request.registry, request.intent)
        preparation = Preparation(request, self._order, keyring, self._folder, self._observer, self._consent)
        prepared = self._run_work(preparation.run)
        try:
            frozen = freeze(
                request,
                self._folder,
                identities=prepared.identities,
                clock=time.time,
                consent=self._consent.accept_redactions,
                planner=prepared.planner,
                agreed=prepared.agreed,
                again=self._order.put is not None and self._order.put.again,
            )
        except LocalProblem as problem:
            if problem.conclusion is Conclusion.INTERRUPTED:
                raise NotStarted(problem) from problem
            raise
        except Owned as owned:
            if not owned.publish_id:
                raise
            return self._watch_if_daemon(self._folder.find(owned.publish_id))
        with frozen.publish:
            if frozen.finished is not None:
                return self._show_finished(frozen, frozen.finished, keyring)
            return self._continue(frozen, keyring, agreed=prepared.agreed)

    def _show_finished(self, frozen: FrozenPlan, progress: Progress, keyring: Keyring) -> Result:
        """Handle a put that is already published: pay what it owes, if anything, and report where it is."""
        self._observer.report(
            Noted(f"this put is already published, as publish {frozen.plan.id}; `roar put … --again` makes a new one")
        )
        self._note_unverified(frozen.plan, progress)
        if any(debt.payable for debt in progress.owed) and not self._order.detach:
            try:
                return self._drive(frozen, keyring)
            except Unfinished as error:
                self._observer.report(Noted(error.what))
        frozen.publish.release()
        return self._published(frozen.publish.paths, frozen.plan, progress, again=True)

    def _note_unverified(self, plan: Plan, progress: Progress) -> None:
        """Say that `--verify` does nothing for what is published already."""
        if self._order.verify and progress.verification is None:
            self._observer.report(Noted(f"it is already published, and was not verified: roar verify {plan.id}"))

    def _continue(self, frozen: FrozenPlan, keyring: Keyring, *, agreed: bool) -> Result | Plan:
        """Run the publish here or leave it to the daemon. Either releases it; the caller does if this fails.

        Record the options that apply to whichever process continues it.
        """
        try:
            journal = frozen.publish.journal
            journal.queue.configure(agreed=agreed, limits=self._order.limits)
            if self._verify is not None and (self._order.verify is not None or not frozen.resumed):
                journal.remember(verify=self._verify)
            if not self._order.detach:
                return self._drive(frozen, keyring)
            from roar_publisher.publishing.detaching import leave_to_daemon

            leave_to_daemon(frozen, self._folder, self._observer)
        except KeyboardInterrupt:  # raised outside the code that handles a stop itself
            raise park_stopped(frozen.publish) from None
        return frozen.plan

    def _verifies(self) -> bool | None:
        """Return whether a new publish is verified, by the option or the configuration.

        None: it is not, and one that is continued stays as it was begun. Only a typed option changes that one.
        """
        if self._order.verify is not None or self._order.resume is not None:
            return self._order.verify
        from roar_publisher.daemon.settings import user_settings

        return user_settings(os.environ, home_to_read()).verify or None

    def _watch_if_daemon(self, paths: PublishPaths) -> Result | Plan:
        """Watch the publish if the daemon works on it, otherwise re-raise Owned. Call while Owned is being handled."""
        found = read_status(paths)
        if not found.owned_by_daemon:
            raise
        return self._watch(found)

    def _watch(self, found: JournalStatus) -> Result | Plan:
        """Watch a publish that the daemon already works on. If it is to be detached, only report that."""
        if self._order.detach:
            self._observer.detached(found.plan, resumed=True)
            return found.plan
        from roar_publisher.publishing.watching import PublishWatch
        from roar_publisher.state.status_poller import StatusPoller

        with StatusPoller(found.paths) as poller:
            note = "the daemon is already working on it; Ctrl-C only stops watching"
            return PublishWatch(poller, self._observer).run(note=note)

    def _drive(self, frozen: FrozenPlan, keyring: Keyring) -> Result:
        async def drive(stop: anyio.Event) -> Progress:
            async def confirm(choice: Choice) -> bool:
                return await self._consent.confirm(choice, stop)

            return await work(
                frozen.publish,
                self._folder,
                Frontend(report=self._observer.report, confirm=confirm, attended=True),
                stop=stop,
                keyring=keyring,
                resources=Resources(early_health=self._early_health),
            )

        paid = frozen.publish.journal.progress().state is State.DONE
        try:
            with frozen.publish as owned:
                self._observer.planned(frozen.plan, resumed=frozen.resumed)
                try:
                    progress = self._run_work(drive)
                except Declined as no:
                    no.publish_cancelled(frozen.plan.id, cancel_owned(owned, self._run_work))
                    raise
        except Declined:
            raise
        except PublisherError as error:
            raise unfinished_error(error, frozen.publish.paths, self._folder) from error
        if progress.state is not State.DONE:
            raise Failed(frozen.plan.id, progress.detail, reason=progress.failure)
        return self._published(frozen.publish.paths, frozen.plan, progress, again=paid)

    def _published(self, paths: PublishPaths, plan: Plan, progress: Progress, *, again: bool) -> Result:
        objects = count_status(paths).objects
        return finish(self._observer, result_of(paths, plan, progress, objects), again=again)

    def _keyring(self, registry: str, intent: Mapping[str, Any]) -> Keyring:
        ask = self._consent.passphrase if self._consent.present else None
        return user_keyring(registry, intent, ask=ask, report=self._observer.report)
