"""Reading publishes without owning them: what `roar journal list` shows and `--resume` chooses from."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from roar_publisher.state.errors import LocalProblem, Owned
from roar_publisher.state.file import understood
from roar_publisher.state.journal import Journal
from roar_publisher.state.lock import Lock, owner
from roar_publisher.state.machine import LIVE, State
from roar_publisher.state.objects import ObjectTally
from roar_publisher.state.paths import PublishPaths, StateFolder
from roar_publisher.state.queue import Queued
from roar_publisher.state.reasons import Reason
from roar_publisher.state.record import Plan, Progress, Tally
from roar_publisher.state.sweep import no_plan, tidy, tidy_folder, vanish
from roar_publisher.state.trouble import trouble
from roar_publisher.state.units import Kind


@dataclass(frozen=True, slots=True)
class Glance:
    """The current state of one publish. owner: the pid that works on it now, or None."""

    paths: PublishPaths
    plan: Plan
    progress: Progress
    queued: Queued
    owner: int | None

    @property
    def live(self) -> bool:
        """Whether it has work left."""
        return self.progress.state in LIVE

    @property
    def owes(self) -> bool:
        """Whether it is published and still has a debt that can be paid."""
        return self.progress.state is State.DONE and any(debt.payable for debt in self.progress.owed)

    @property
    def interrupted(self) -> bool:
        """Whether it has work left and no process works on it."""
        return self.live and self.owner is None

    @property
    def reason(self) -> Reason | str:
        """The code of `state.reasons` that says why it is not running, or that it is."""
        noted = self.progress.reason
        match self.progress.state:
            case State.DONE:
                otherwise = Reason.RECEIPT if self.progress.unconfirmed else Reason.PUBLISHED
                return Reason.OWED if self.owes else otherwise
            case State.CANCELLED:
                return Reason.CANCELLED
            case State.FAILED:
                return noted or Reason.FAILED
        if self.owner is not None:
            return noted or Reason.OWNED
        if noted:
            return noted
        never_begun = self.progress.state is State.PROBE and self.queued.detached_at is not None
        return Reason.QUEUED if never_begun else Reason.CRASHED


@dataclass(frozen=True, slots=True)
class Summary(Glance):
    """A glance with counts of units and objects."""

    tally: dict[Kind, Tally]
    objects: ObjectTally


def glance(paths: PublishPaths) -> Glance:
    """Return one publish like `look`, at a cost that does not grow with the lineage."""
    with _reading(paths) as journal:
        return Glance(paths, journal.plan(), journal.progress(), journal.queue.read(), owner(paths.lock))


def look(paths: PublishPaths) -> Summary:
    """Return one publish. Raises LocalProblem if it has no finished plan or its journal cannot be read."""
    with _reading(paths) as journal:
        return Summary(
            paths,
            journal.plan(),
            journal.progress(),
            journal.queue.read(),
            owner(paths.lock),
            journal.tally(),
            journal.objects.tally(),
        )


@contextmanager
def _reading(paths: PublishPaths) -> Iterator[Journal]:
    try:
        paths.journal.stat()
    except FileNotFoundError as error:
        what = f"publish {paths.id} has no journal"
        raise LocalProblem(what, next_step="roar journal prune --all", reason=Reason.NO_PLAN) from error
    except OSError as error:  # such as a folder that this user may not enter
        found = trouble(error, Reason.JOURNAL)
        raise LocalProblem(
            f"the journal {paths.journal} cannot be used at this moment: {found.what}",
            next_step=f"{found.remedy}, then: roar publish --resume {paths.id}",
            reason=found.reason,
            resumable=True,
        ) from error
    with understood(paths.journal), _onlooking(paths) as journal:
        yield journal


def _onlooking(paths: PublishPaths) -> Journal:
    """Open the journal for reading. One of an older release is migrated first, under a short ownership."""
    journal = Journal(paths.journal, read_only=True)
    if not journal.outdated:
        return journal
    journal.close()
    try:
        with Lock(paths.lock):
            Journal(paths.journal).close()
    except Owned as owned:
        raise LocalProblem(
            f"an older release works on publish {paths.id}",
            kept=owned.kept,
            next_step="wait for it, or stop it",
            reason=Reason.JOURNAL,
            resumable=True,
        ) from owned
    return Journal(paths.journal, read_only=True)


def survey(folder: StateFolder) -> Iterator[Summary | tuple[PublishPaths, LocalProblem]]:
    """Yield every publish, newest first. For an unreadable one, yield its paths and the error.

    Removes what killed processes left behind (`state.sweep`).
    """
    found: list[Summary] = []
    for paths in folder.all_publishes():
        try:
            summary = look(paths)
        except LocalProblem as problem:
            if problem.reason != Reason.NO_PLAN or not vanish(paths):
                yield paths, no_plan(paths, problem)
        else:
            found.append(summary)
            if summary.owner is None:
                tidy(paths, summary.progress)
    tidy_folder(folder)
    yield from sorted(found, key=lambda summary: summary.plan.created_at, reverse=True)
