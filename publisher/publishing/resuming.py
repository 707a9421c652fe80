"""Finds the publish that `--resume` means."""

from roar_publisher.lineage.project import find_project
from roar_publisher.publishing.errors import Cancelled, Failed
from roar_publisher.publishing.order import Order
from roar_publisher.publishing.ownership import take_over
from roar_publisher.publishing.plan_check import (
    contradiction_error,
    contradictions,
    differences,
    other_registry,
    typed_command,
)
from roar_publisher.state.errors import Conclusion, LocalProblem, Owned, PublisherError, UsageProblem
from roar_publisher.state.machine import State
from roar_publisher.state.meanings import ELSEWHERE
from roar_publisher.state.paths import PublishPaths, StateFolder
from roar_publisher.state.reasons import Reason
from roar_publisher.state.status import JournalStatus
from roar_publisher.state.status_reader import read_all, read_status

RESUME = "--resume"


def find_publish(order: Order, folder: StateFolder) -> JournalStatus:
    """Return the publish to resume.

    It is the one whose id begins with `order.resume`. If that is "", it is the newest interrupted one of the project
    that agrees with what was typed, or if none is interrupted, the newest that owes something.
    It may be DONE, or the daemon may work on it. With `--registry`, a publish of which no registry holds anything yet
    is redirected to that registry.

    Raises UsageProblem if there is none or it contradicts what was typed, Cancelled or Failed if it has ended so,
    Owned if another terminal works on the only one there is, LocalProblem if a journal temporarily cannot be read.
    """
    if not order.resume:
        return _Candidates(order, folder).newest()
    paths = folder.find(order.resume)
    summary = read_status(paths)
    if found := contradictions(order, summary.plan, paths):
        raise contradiction_error(summary.plan, found, verb=RESUME)
    if summary.progress.state is State.CANCELLED:
        raise Cancelled(summary.plan.id)
    if (registry := other_registry(order, summary.plan)) is not None:
        with take_over(paths, folder) as owned:
            owned.journal.readdress(registry)
        summary = read_status(paths)
    if summary.progress.state is State.FAILED:
        raise Failed(summary.plan.id, summary.progress.detail, reason=summary.progress.failure)
    return summary


class _Candidates:
    """The publishes of the project of the order, newest first, and the first one that cannot be read."""

    def __init__(self, order: Order, folder: StateFolder) -> None:
        self._order = order
        self._project = str(find_project(order.cwd).root)
        self._found: list[JournalStatus] = []
        self._unread: tuple[PublishPaths, LocalProblem] | None = None
        for found in read_all(folder):
            if not isinstance(found, JournalStatus):
                if is_temporary(found[1]):
                    self._unread = self._unread or found
            elif found.plan.project == self._project:
                self._found.append(found)

    def newest(self) -> JournalStatus:
        """Return the publish to resume; see `find_publish`."""
        left = [found for found in self._found if found.interrupted and found.progress.reason not in ELSEWHERE]
        agreeing = next((found for found in left if not self._differences(found)), None)
        if agreeing is not None:
            return agreeing
        running = next((found for found in self._found if found.live and found.owner is not None), None)
        if running is not None and (not left or running.owned_by_daemon):
            return self._running(running)
        if left:
            raise self._contradiction(left[0])
        owing = next((found for found in self._found if found.owes and not self._differences(found)), None)
        if owing is not None:
            return owing
        raise self._nothing()

    def _differences(self, found: JournalStatus) -> list[str]:
        return differences(self._order, found.plan, found.paths)

    def _contradiction(self, found: JournalStatus) -> UsageProblem:
        problem = contradiction_error(found.plan, self._differences(found), verb=RESUME)
        registry = other_registry(self._order, found.plan)
        if registry is not None and not contradictions(self._order, found.plan, found.paths):
            problem.next_step += (
                f"; to send this one there: roar publish {RESUME} {found.plan.id} --registry {registry}"
            )
        return problem

    def _running(self, running: JournalStatus) -> JournalStatus:
        if running.owned_by_daemon:
            if found := self._differences(running):
                raise contradiction_error(running.plan, found, verb="--watch")
            return running
        raise Owned(
            f"publish {running.plan.id} of this project is being worked on (pid {running.owner})",
            kept="It continues.",
            next_step=f"roar publish --watch {running.plan.id}",
            reason=Reason.OWNED,
        )

    def _nothing(self) -> PublisherError:
        """Return the error for a project without a known interrupted publish, which says what to type instead."""
        if self._unread is not None:
            return unreadable_error(*self._unread)
        moved = next((found for found in self._found if found.interrupted), None)
        if moved is not None and moved.progress.reason == Reason.IMPORTED:
            return UsageProblem(
                f"publish {moved.plan.id} of this project was imported and is resumed only by its id",
                next_step=f"roar publish --resume {moved.plan.id}",
            )
        if moved is not None:
            return UsageProblem(
                f"publish {moved.plan.id} of this project was moved to another machine",
                next_step=f"to continue it here: roar publish --resume {moved.plan.id}",
            )
        what = f"no publish of {self._project} is interrupted"
        again = typed_command(self._order)
        last = self._found[0] if self._found else None
        if last is not None and last.progress.state is State.FAILED:
            return UsageProblem(
                f"{what}; the newest, {last.plan.id}, has failed",
                next_step=f"roar journal retry {last.plan.id}, or start a new one: {again}",
            )
        if last is not None and last.progress.state is State.DONE:
            what += f"; the newest, {last.plan.id}, is published ({last.progress.url or last.progress.hash})"
        return UsageProblem(what, next_step=f"{again}, or list those of all projects: roar journal list --all")


def is_temporary(problem: LocalProblem) -> bool:
    """Return whether a journal is only temporarily unreadable. Its publish exists, and may belong to this project."""
    return problem.conclusion is Conclusion.INTERRUPTED


def unreadable_error(paths: PublishPaths, problem: LocalProblem) -> LocalProblem:
    """Return the error for a temporarily unreadable journal, with the id and the command to type."""
    problem.publish_id = paths.id
    if "--resume" not in problem.next_step:
        first = f"{problem.next_step}; then: " if problem.next_step else ""
        problem.next_step = f"{first}roar publish {RESUME} {paths.id}"
    return problem
