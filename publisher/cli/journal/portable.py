"""Implements `roar journal export` and `import`, which move an interrupted publish to another machine."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import anyio
import click
from msgspec import Struct
from msgspec.structs import asdict

from roar_publisher.auth.choice import Decision
from roar_publisher.cli.journal.importing import IncomingPublish, confirm_import
from roar_publisher.engine.staging.uploader import content_of
from roar_publisher.lineage.boundary import refuse_linked_database
from roar_publisher.lineage.config import ROAR_FOLDER, load_config
from roar_publisher.lineage.project import current_folder, find_project
from roar_publisher.lineage.redaction.redactor import Redactor
from roar_publisher.lineage.redaction.settings import OmitConfig
from roar_publisher.naming import as_called
from roar_publisher.net.address import registry_address
from roar_publisher.planning.bundles.allowed_folders import AllowedFolders, check_import
from roar_publisher.planning.bundles.checking import check_journal, checked_record
from roar_publisher.planning.bundles.relocation import (
    ProjectMove,
    has_any_job,
    locate_files,
    redact_record,
    relocate_record,
)
from roar_publisher.planning.put.record import PutRecord
from roar_publisher.publishing.ownership import take_over
from roar_publisher.state.bundle import damaged
from roar_publisher.state.errors import LocalProblem, UsageProblem
from roar_publisher.state.journal import Journal
from roar_publisher.state.machine import LIVE, Event, State
from roar_publisher.state.paths import PublishPaths, StateFolder
from roar_publisher.state.portable import pack, unpacked
from roar_publisher.state.reasons import Reason
from roar_publisher.state.record import LocalContext, Plan
from roar_publisher.state.units import Kind
from roar_publisher.text import count, printable, size

NO_SESSION = 0
"""A row id that no roar.db uses, so that nothing is marked there."""
MOST_NAMED = 10
"""The maximum number of missing files listed on a terminal."""


def export_publish(paths: PublishPaths, folder: StateFolder, file: Path, *, as_json: bool) -> None:
    """Write a publish to `file` and park it. The daemon releases it first.

    Raises UsageProblem if its lineage is published, it has ended or the file exists, Owned if another terminal works on
    it, LocalProblem if the file cannot be written. Repetition writes another file.
    """
    with take_over(paths, folder) as owned:
        plan, progress = owned.journal.plan(), owned.journal.progress()
        if progress.state not in LIVE:
            raise UsageProblem(
                f"publish {paths.id} is {progress.state}: nothing is left to move", next_step="roar journal list"
            )
        if progress.published:
            raise UsageProblem(
                f"publish {paths.id} is already published, and only follow-up work is left",
                kept="It was not moved.",
                next_step=f"roar publish --resume {paths.id}",
            )
        text = paths.read_put_record()
        record = None if text is None else redact_record(PutRecord.from_json(text), _redactor(plan)).as_json()
        length = pack(paths, owned.journal, record, file)
        owned.journal.park(reason=Reason.EXPORTED, detail=f"it is in {file.absolute()}")
    facts = {"event": "exported", "publish_id": paths.id, "file": str(file), "bytes": length}
    if as_json:
        click.echo(json.dumps(facts))
        return
    click.echo(printable(f"Exported {paths.id} to {file} ({size(length)}). It contains neither files nor credentials."))
    click.echo(
        as_called(
            f"On the other machine: roar journal import FILE. Once it is published: roar journal cancel {paths.id}"
        )
    )


class ImportOptions(Struct, frozen=True, kw_only=True):
    """The options of an import, as the command line gives them.

    project: the folder with its files and its roar.db; None for the project around the current folder. allowed: paths
    or file:// addresses outside of the project that may be read and written. push: also push its git tags. yes: the
    user agreed on the command line.
    """

    project: Path | None = None
    allowed: tuple[str, ...] = ()
    push: bool = False
    yes: bool = False
    as_json: bool = False


def import_publish(file: Path, folder: StateFolder, options: ImportOptions) -> None:
    """Import a publish from `file` after the user has agreed to what it would do.

    The file may come from an untrusted source. Nothing is sent, and no daemon takes the publish, before the user
    resumes it. Missing files are listed; the publish stops at them. Raises the same as `unpacked`, UsageProblem for
    files outside of the project, NeedsUser without consent. In these cases nothing is imported.
    """
    root = _root(options.project)
    refuse_linked_database(
        root,
        kept="Nothing was imported.",
        next_step="import it in the project that the database belongs to: --project DIR",
    )
    allowed = AllowedFolders.of(root, options.allowed)
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
        context = local.context(publish.journal, allowed, push=options.push)
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
        confirm_import(str(file), incoming, yes=options.yes)
    _report_import(incoming, as_json=options.as_json)


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


def _redactor(plan: Plan) -> Redactor:
    """Return a redactor with the project's rules if it still exists, otherwise with the built-in ones."""
    try:
        return Redactor(load_config(Path(plan.project)).omit)
    except LocalProblem:
        return Redactor(OmitConfig())


@contextmanager
def _damage_reported(file: Path) -> Iterator[None]:
    """Report values that no export writes, such as wrong types or unusable addresses, as a damaged bundle."""
    try:
        yield
    except (ValueError, TypeError, KeyError, RecursionError, LocalProblem, UsageProblem) as error:
        raise damaged(file) from error


def _report_import(incoming: IncomingPublish, *, as_json: bool) -> None:
    plan, missing = incoming.plan, incoming.missing
    command = as_called(f"roar publish --resume {plan.id}")
    if as_json:
        facts = {name: getattr(plan, name) for name in ("project", "registry", "destination", "tags")}
        facts = {"event": "imported", "publish_id": plan.id} | facts | {"missing": missing}
        facts |= {"noted_in_roar_db": incoming.roar_db, "files": [asdict(one) for one in incoming.stored]}
        click.echo(json.dumps(facts | {"next": command}))
        return
    files = f"files to {plan.destination}, then " if plan.destination else ""
    lines = [f"Imported {plan.id}: {files}{count(plan.jobs, 'job')} to {plan.registry}"]
    lines.append(f"It belongs to the project in {plan.project}")
    if missing:
        lines.append(f"{count(len(missing), 'file')} of it cannot be found on this machine; without them it stops:")
        lines += [f"  {path}" for path in missing[:MOST_NAMED]]
        lines += [f"  and {len(missing) - MOST_NAMED:,} more"] if len(missing) > MOST_NAMED else []
    if not incoming.roar_db:
        lines.append("The project has no roar.db that contains its jobs, so none is updated when it is published.")
    for line in [*lines, f"Next: {command}"]:
        click.echo(printable(line))
