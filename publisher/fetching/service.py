"""One fetch from its request to its result: the command line and the Python API only add how it is shown."""

import os
import shlex
import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path

import anyio
from msgspec import Struct, field

from roar_publisher.blocking import in_thread
from roar_publisher.fetching.asking import LineageReader, lineage_reader
from roar_publisher.fetching.download import Download, NotFetched, Outcome
from roar_publisher.fetching.folder import TargetFolder, local_problem
from roar_publisher.fetching.journal import FetchJournal, FetchRequest, journal_problem
from roar_publisher.fetching.locating import locate, put_jobs, whole_hash
from roar_publisher.fetching.names import WORK_FOLDER
from roar_publisher.fetching.published import NAME_REGISTRY, AskedRegistry, asked_registry, own_lineage
from roar_publisher.fetching.reading import jobs_of
from roar_publisher.fetching.stored import StoredFile, Unsafe, check_lineage, select, steps_in
from roar_publisher.glaas.client import Refused
from roar_publisher.net.budget import UploadBudget
from roar_publisher.report import Reporter
from roar_publisher.state.errors import (
    Conclusion,
    Interrupted,
    LocalProblem,
    PublisherError,
    Rejected,
    Transient,
    UsageProblem,
)
from roar_publisher.state.limits import TransferLimits
from roar_publisher.state.paths import StateFolder
from roar_publisher.storage.destinations import open_readable
from roar_publisher.tasks import until_stopped
from roar_publisher.text import count


class FetchOrder(Struct, frozen=True):
    """What to fetch, and where to.

    lineage: its hash, or the digest of an artifact, or the first 8 or more digits of one, or the id of a publish of
    this machine; empty to continue what was interrupted in this folder. selections: as for `stored.select`. registry:
    its address, if the user names one.
    """

    folder: Path
    lineage: str = ""
    selections: tuple[str, ...] = ()
    force: bool = False
    registry: str | None = None
    limits: TransferLimits = field(default_factory=TransferLimits)


class FetchCounts(Struct):
    """What became of the files. failures: those that are not there, with the reason."""

    fetched: int = 0
    present: int = 0
    bytes: int = 0
    failures: list[NotFetched] = field(default_factory=list)

    def add(self, outcome: Outcome) -> None:
        """Count an outcome."""
        if isinstance(outcome, NotFetched):
            self.failures.append(outcome)
        elif outcome.was_there:
            self.present += 1
        else:
            self.fetched += 1
            self.bytes += outcome.size

    def check(self) -> None:
        """Raise Rejected if a file is not there."""
        if failed := len(self.failures):
            raise Rejected(
                f"{failed} of {count(self.fetched + self.present + failed, 'file')} could not be fetched",
                kept="What was fetched is complete and verified.",
                next_step="fix the causes and repeat the command; it fetches only what is missing",
            )


async def fetch(
    order: FetchOrder, stop: anyio.Event, *, on_outcome: Callable[[Outcome], None], report: Reporter
) -> FetchCounts:
    """Fetch the files of an order, and return what became of them.

    stop: ends it cleanly, with Interrupted. on_outcome: receives what becomes of each file. report: receives
    the progress.
    Repeating it, or an order without a lineage, continues: complete files stay, and of incomplete ones only the missing
    ranges are fetched. Raises UsageProblem, Transient, NeedsUser, LocalProblem, Owned, Rejected.
    """
    counts = FetchCounts()

    def note(outcome: Outcome) -> None:
        counts.add(outcome)
        on_outcome(outcome)

    with TargetFolder.opened(order.folder) as target:
        try:
            journal = await in_thread(FetchJournal, target.journal)
            try:
                await until_stopped(stop, partial(_fetch, order, target, journal, note, report))
            finally:
                journal.close()
        except sqlite3.Error as error:
            raise _resumable(journal_problem(target.journal, error), order, target) from error
        except PublisherError as error:
            raise _resumable(error, order, target) from error.__cause__
    return counts


async def _fetch(
    order: FetchOrder,
    target: TargetFolder,
    journal: FetchJournal,
    on_outcome: Callable[[Outcome], None],
    report: Reporter,
) -> None:
    _discard_strays(target, journal.partial_files())
    if order.lineage:
        request, files, unsafe = await _located(order, target, report)
        journal.begin(request, files, unsafe)
    else:
        found = journal.request()
        if found is None:
            journal.end()
            what = f"no fetch of yours into {order.folder} was interrupted"
            raise UsageProblem(what, next_step="name the lineage (roar fetch --help)")
        request, files, unsafe = found, journal.files(), journal.unsafe()
    for each in unsafe:
        on_outcome(NotFetched(each, Rejected(each.why)))
    budget = UploadBudget.of(order.limits.uploads, order.limits.limit_rate)
    open_store = partial(open_readable, connections=order.limits.uploads, budget=budget, report=report)
    await Download(target, journal, open_store, order.force or request.force, on_outcome, report).run(files)
    journal.end()


def _discard_strays(target: TargetFolder, kept: frozenset[str]) -> None:
    """Remove what the journal does not know: small files, what a power loss took from it, and the work of others."""
    for name in target.incomplete():
        if name not in kept:
            try:
                target.discard(name)
            except OSError as error:
                raise local_problem(f"{WORK_FOLDER}/{name}", error) from error


async def _located(
    order: FetchOrder, target: TargetFolder, report: Reporter
) -> tuple[FetchRequest, list[StoredFile], list[Unsafe]]:
    """Ask the registry which files are meant, and where they are stored."""
    typed, asked = await in_thread(_meant, order)
    steps = steps_in(order.selections)
    async with _reader(asked, report) as reader:
        lineage_hash, digest = await whole_hash(reader, typed)
        found = await put_jobs(jobs_of(reader, lineage_hash), steps)
        files, unsafe = await locate(reader, lineage_hash, found, ignoring_case=target.ignores_case())
    selections = order.selections or ((digest,) if digest else ())
    request = FetchRequest(lineage_hash, selections, asked.address, order.force)
    if not files and not unsafe:
        if digest:
            what = f"the first lineage of this artifact, {lineage_hash}, stored no files"
            raise Rejected(what, next_step="name the lineage of the put instead of the digest")
        raise Rejected(
            "this lineage stored no files", next_step="look at its put jobs: only what `roar put` stored can be fetched"
        )
    return request, *select(files, unsafe, selections, found.of_step)


def _meant(order: FetchOrder) -> tuple[str, AskedRegistry]:
    """Return the hash or digest that an order names, and the registry to ask for it. Blocking."""
    typed = check_lineage(order.lineage)
    own = None
    with suppress(LocalProblem):  # as without a state folder: the registry may know what is meant
        own = own_lineage(typed, StateFolder.from_environment(os.environ))
    return own[0] if own else typed, asked_registry(order.registry or None, own[1] if own else None)


@asynccontextmanager
async def _reader(asked: AskedRegistry, report: Reporter) -> AsyncIterator[LineageReader]:
    try:
        async with lineage_reader(asked.address, asked.intent, report=report) as reader:
            yield reader
    except Refused as refusal:
        if refusal.may_hide:
            refusal.next_step = (
                "check the hash; if it is private, sign in (roar login); "
                f"if another registry than {asked.address} has it, name that one with --registry URL"
            )
        raise
    except Transient as error:
        if asked.guessed:
            error.next_step = f"{error.next_step}; or {NAME_REGISTRY}" if error.next_step else NAME_REGISTRY
        raise


def _resumable(error: PublisherError, order: FetchOrder, target: TargetFolder) -> PublisherError:
    """Complete the error of a fetch that can be continued: what is kept, and how."""
    if error.conclusion in (Conclusion.INTERRUPTED, Conclusion.STOPPED, Conclusion.NEEDS_USER):
        resume = shlex.join(["roar", "fetch", "--resume", "--to", str(order.folder)])
        again = resume if target.can_be_continued else "repeat the command"
        incomplete = " and the fetched ranges of incomplete ones" if target.can_be_continued else ""
        kept = f"Complete files{incomplete} are kept." if target.journal.exists() else "Nothing was fetched."
        error.kept = error.kept or kept
        error.next_step = f"{error.next_step}, then {again}" if error.next_step else again
        if isinstance(error, Interrupted):
            error.next_step = again
    return error
