"""Takes in a publish that was exported to a file on another machine (`exporting`), and finds its place here."""

import json
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import anyio
from msgspec import Struct
from msgspec.structs import asdict

from roar_publisher.auth.choice import Decision
from roar_publisher.engine.staging.uploader import content_of
from roar_publisher.lineage.boundary import refuse_linked_database
from roar_publisher.lineage.config import ROAR_FOLDER, load_config
from roar_publisher.lineage.project import current_folder, find_project
from roar_publisher.net.address import registry_address
from roar_publisher.planning.bundles.allowed_folders import AllowedFolders, ImportedObject, check_import
from roar_publisher.planning.bundles.checking import check_journal, checked_record
from roar_publisher.planning.bundles.relocation import ProjectMove, has_any_job, locate_files, relocate_record
from roar_publisher.state.bundle import damaged
from roar_publisher.state.errors import LocalProblem, UsageProblem
from roar_publisher.state.journal import Journal
from roar_publisher.state.machine import Event, State
from roar_publisher.state.paths import StateFolder
from roar_publisher.state.portable import unpacked
from roar_publisher.state.record import LocalContext, Plan, Progress
from roar_publisher.state.units import Kind

NO_SESSION = 0
"""A row id that no roar.db uses, so that nothing is marked there."""


class ImportOrder(Struct, frozen=True, kw_only=True):
    """Where an imported publish belongs, and what it may do here.

    project: the folder with its files and its roar.db; None for the project around the current folder. allowed: paths
    or file:// addresses outside of the project that may be read and written. push: also push its git tags.
    """

    project: Path | None = None
    allowed: tuple[str, ...] = ()
    push: bool = False


class IncomingPublish(Struct, frozen=True):
    """What would be imported, with the paths of this machine.

    tags: as in `Plan`. roar_db: whether the project's roar.db contains its jobs, so that it will be updated. missing:
    files that were not found here.
    """

    plan: Plan
    progress: Progress
    stored: Sequence[ImportedObject]
    tags: Sequence[Sequence[str]]
    roar_db: bool
    missing: Sequence[str]


def import_publish(
    file: Path, folder: StateFolder, order: ImportOrder, confirm: Callable[[IncomingPublish], None]
) -> IncomingPublish:
    """Import a publish from `file`, and return it. confirm: called before it exists here; what it raises stops that.

    The file may come from an untrusted source. Nothing is sent, and no daemon takes the publish, before the user
    resumes it, which stops at the missing files. Raises the same as `unpacked` and `confirm`, and UsageProblem for
    files outside of the project. In these cases nothing is imported.
    """
    root = _root(order.project)
    refuse_linked_database(
        root,
        kept="Nothing was imported.",
        next_step="import it in the project that the database belongs to: --project DIR",
    )
    allowed = AllowedFolders.of(root, order.allowed)
    with unpacked(file, folder) as publish:
        with _damage_reported(file):
            check_journal(publish.journal)
            text = publish.record
            record = None if text is None else checked_record(publish.journal, text)
        plan = publish.journal.plan()
        if registry_address(plan.registry, os.environ) != plan.registry:
            raise damaged(file)
        local = _LocalProject.of(publish.journal, root)
        rows = publish.journal.objects.all()
        contents = {row.seq: content_of(row) for row in rows}
        found = anyio.run(locate_files, contents.values(), local.move, allowed.contains)
        here = {seq: found.get(content.path) or local.move.content(content) for seq, content in contents.items()}
        missing = [here[seq].path for seq, content in contents.items() if content.path not in found]
        objects = check_import(allowed, plan.destination, rows, here)
        _drop_anonymous_session(publish.journal)
        context = local.context(publish.journal, allowed, push=order.push)
        publish.journal.adapt(context, {seq: json.dumps(content, default=asdict) for seq, content in here.items()})
        if record is not None and local.known:
            paths = {path: content.path for path, content in found.items()}
            publish.paths.write_put_record(relocate_record(record, local.move, paths).as_json())
        incoming = IncomingPublish(
            publish.journal.plan(),
            publish.journal.progress(),
            objects,
            context.tags,
            local.known,
            missing,
        )
        confirm(incoming)
    return incoming


class _LocalProject(Struct, frozen=True):
    """The place of a publish on this machine. known: whether the roar.db there contains its jobs."""

    move: ProjectMove
    known: bool

    @classmethod
    def of(cls, journal: Journal, root: Path) -> "_LocalProject":
        known = has_any_job(root / ROAR_FOLDER / "roar.db", _jobs(journal))
        return cls(ProjectMove(Path(journal.plan().project), root), known)

    def context(self, journal: Journal, allowed: AllowedFolders, *, push: bool) -> LocalContext:
        """Return the local part of the plan. push: whether its git tags are pushed, not only created here."""
        plan, root = journal.plan(), self.move.new
        database = root / ROAR_FOLDER / "roar.db"
        return LocalContext(
            project=str(root),
            roar_db=str(database),
            local_session=plan.local_session if self.known else NO_SESSION,
            ssh_key=(load_config(root).glaas_key or "") if database.parent.is_dir() else "",
            tags=[tag if push else [*tag[:2], "", ""] for tag in plan.tags],
            url=_trusted_url(journal.progress().url, plan.registry),
            allowed_folders=allowed.paths,
        )


def _root(chosen: Path | None) -> Path:
    """Return the project folder: as chosen, or around the current folder. Never a folder that a bundle names."""
    try:
        return find_project(chosen or current_folder()).root
    except LocalProblem as problem:
        if chosen is not None:
            return chosen.resolve()
        raise UsageProblem(
            f"it is unknown which project it belongs to here: {problem.what}",
            kept="Nothing was imported.",
            next_step="import it in the project's folder, or name the folder: roar journal import FILE --project DIR",
        ) from problem


def _trusted_url(url: str | None, registry: str) -> str | None:
    """Return the address of a lineage if it is on the registry's own host, because it is shown as a link."""
    try:
        return url if url is not None and urlsplit(url)[:2] == urlsplit(registry)[:2] else None
    except ValueError:  # it is no URL
        return None


def _jobs(journal: Journal) -> Iterator[tuple[str, float]]:
    """Yield every job of the lineage, as (uid, timestamp)."""
    for body in journal.units.bodies(Kind.JOBS):
        for job in json.loads(body):
            yield job["job_uid"], job["timestamp"]


def _drop_anonymous_session(journal: Journal) -> None:
    """Drop an anonymous session, because its token stayed on the other machine. A new session is opened here."""
    progress = journal.progress()
    if progress.credential == Decision.ANONYMOUS_SESSION and progress.state in (State.STAGE, State.FINALIZE):
        journal.checkpoint(Event.SESSION_LOST, detail="its token stayed on the other machine")


@contextmanager
def _damage_reported(file: Path) -> Iterator[None]:
    """Report values that no export writes, such as wrong types or unusable addresses, as a damaged bundle."""
    try:
        yield
    except (ValueError, TypeError, KeyError, RecursionError, LocalProblem, UsageProblem) as error:
        raise damaged(file) from error
