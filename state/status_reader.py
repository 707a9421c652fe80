"""Reading the status of publishes without owning them."""

from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from typing import TypedDict

from roar_publisher.state.errors import LocalProblem, Owned
from roar_publisher.state.journal import Journal
from roar_publisher.state.journal_file import rows_translated
from roar_publisher.state.lock import Lock, owner
from roar_publisher.state.paths import PublishPaths, StateFolder
from roar_publisher.state.queue import Queued
from roar_publisher.state.reasons import Reason
from roar_publisher.state.record import Plan, Progress
from roar_publisher.state.status import CountedStatus, HostStatus, JournalStatus
from roar_publisher.state.sweep import name_planner, remove_folder_leftovers, remove_leftovers, remove_unplanned
from roar_publisher.state.system_errors import explain_os_error

Unreadable = tuple[PublishPaths, LocalProblem]
"""A publish whose journal cannot be read, and why."""

CLOCKS_APART = 60.0
"""How many seconds the clock of a file system may be behind that of this machine."""


class StatusFacts(TypedDict):
    """The fields of `JournalStatus`."""

    paths: PublishPaths
    plan: Plan
    progress: Progress
    queued: Queued
    owner: int | None
    host: HostStatus


def read_facts(paths: PublishPaths, journal: Journal, host: HostStatus, *, owner: int | None) -> StatusFacts:
    """Return what an open journal says. owner: read before, so that an owner's last write is seen if it exits now."""
    return {
        "paths": paths,
        "plan": journal.plan(),
        "progress": journal.progress(),
        "queued": journal.queue.read(),
        "owner": owner,
        "host": host,
    }


def read_status(paths: PublishPaths, host: HostStatus | None = None) -> JournalStatus:
    """Return the status of one publish, at a cost that does not grow with the lineage.

    host: the facts about this machine, if they were read already.

    Raises LocalProblem if it has no finished plan or its journal cannot be read.
    """
    with _opened_for_facts(paths, host) as (_journal, facts):
        return JournalStatus(**facts)


def count_status(paths: PublishPaths, host: HostStatus | None = None) -> CountedStatus:
    """Return the status of one publish with its counts. Like `read_status` in all else."""
    with _opened_for_facts(paths, host) as (journal, facts):
        return _counted(journal, facts)


def _counted(journal: Journal, facts: StatusFacts) -> CountedStatus:
    return CountedStatus(**facts, tally=journal.units.tally(), objects=journal.objects.tally())


def read_all(folder: StateFolder, *, skip: Collection[str] = ()) -> Iterator[JournalStatus | Unreadable]:
    """Yield the status of every publish, newest first. For an unreadable one, yield its paths and the error.

    Removes what killed processes left behind (`state.sweep`). skip: ids of publishes that are left alone.
    """
    return _each(folder, read_status, skip)


def count_all(folder: StateFolder, project: str | None = None) -> Iterator[JournalStatus | Unreadable]:
    """Do the same as `read_all`, with counts. project: count only its publishes; the others are `JournalStatus`."""

    def read(paths: PublishPaths, host: HostStatus) -> JournalStatus:
        with _opened_for_facts(paths, host) as (journal, facts):
            if project is not None and facts["plan"].project != project:
                return JournalStatus(**facts)
            return _counted(journal, facts)

    return _each(folder, read, ())


def _each(
    folder: StateFolder, read: Callable[[PublishPaths, HostStatus], JournalStatus], skip: Collection[str]
) -> Iterator[JournalStatus | Unreadable]:
    host = HostStatus.read(folder)
    found: list[JournalStatus] = []
    for paths in folder.all_publishes():
        if paths.id in skip:
            continue
        try:
            status = read(paths, host)
        except LocalProblem as problem:
            if problem.reason != Reason.NO_PLAN or not remove_unplanned(paths):
                yield paths, name_planner(paths, problem)
        else:
            found.append(status)
            if status.owner is None:
                remove_leftovers(paths, status.progress)
    remove_folder_leftovers(folder)
    yield from _newest_first(found)


def read_with_fingerprint(folder: StateFolder, fingerprint: str, *, skip: Collection[str]) -> list[JournalStatus]:
    """Return the status of each publish that notes this fingerprint, newest first.

    skip: ids of publishes that are left out. What cannot be read is left out, too.
    """
    found = []
    for paths in folder.all_publishes():
        if paths.id not in skip and paths.notes_fingerprint(fingerprint):
            with suppress(LocalProblem):
                found.append(read_status(paths))
    return _newest_first(found)


def read_written_since(folder: StateFolder, since: float, *, skip: Collection[str]) -> list[JournalStatus]:
    """Return the status of each publish whose journal was written since then (Unix seconds), newest first.

    skip: ids of publishes that are left out. What cannot be read is left out, too.
    """
    found = []
    for paths in folder.all_publishes():
        with suppress(LocalProblem, OSError):  # such as the folder of a put that was run with sudo
            if paths.id not in skip and paths.journal.stat().st_mtime >= since - CLOCKS_APART:
                found.append(read_status(paths))
    return _newest_first(found)


def _newest_first(found: list[JournalStatus]) -> list[JournalStatus]:
    return sorted(found, key=lambda status: status.plan.created_at, reverse=True)


@contextmanager
def _opened_for_facts(paths: PublishPaths, host: HostStatus | None) -> Iterator[tuple[Journal, StatusFacts]]:
    host, pid = host or HostStatus.read(StateFolder.of(paths)), owner(paths.lock)
    with _opened(paths) as journal:
        yield journal, read_facts(paths, journal, host, owner=pid)


@contextmanager
def _opened(paths: PublishPaths) -> Iterator[Journal]:
    """Open a journal for reading. One of an older release is migrated first, under a short ownership."""
    try:
        paths.journal.stat()
    except FileNotFoundError as error:
        what = f"publish {paths.id} has no journal"
        raise LocalProblem(what, next_step="roar journal prune --all", reason=Reason.NO_PLAN) from error
    except OSError as error:
        raise out_of_reach(paths, error) from error
    with rows_translated(paths.journal), open_current(paths) as journal:
        yield journal


def out_of_reach(paths: PublishPaths, error: OSError) -> LocalProblem:
    """Return the error of a journal that is not known to be gone, such as in a folder that this user may not enter."""
    found = explain_os_error(error, Reason.JOURNAL)
    return LocalProblem(
        f"the journal {paths.journal} cannot be used at this moment: {found.what}",
        next_step=f"{found.remedy}, then: roar publish --resume {paths.id}",
        reason=found.reason,
        resumable=True,
    )


def open_current(paths: PublishPaths) -> Journal:
    """Open a journal for reading, after it was migrated if an older release wrote it.

    Raises LocalProblem if it cannot be read, or if an older release works on it.
    """
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
