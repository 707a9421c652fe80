"""What `roar journal export` and `import` do: an interrupted publish moves to another machine."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import anyio
import click

from roar_publisher.auth.choice import Decision
from roar_publisher.cli.naming import as_called
from roar_publisher.cli.taking import taken
from roar_publisher.cli.text import count, printable, size
from roar_publisher.glaas.address import registry_address
from roar_publisher.lineage.moved import knows_any
from roar_publisher.lineage.omission import OmitConfig
from roar_publisher.lineage.project import ROAR_FOLDER, current_folder, find_project, load_config
from roar_publisher.lineage.redaction import Redactor
from roar_publisher.put.moving import Move, find_again, moved, redacted
from roar_publisher.put.record import PutRecord
from roar_publisher.staging.objects import content_of
from roar_publisher.state.bundle import damaged
from roar_publisher.state.errors import LocalProblem, UsageProblem
from roar_publisher.state.journal import Journal
from roar_publisher.state.machine import LIVE, Event, State
from roar_publisher.state.paths import PublishPaths, StateFolder
from roar_publisher.state.portable import Whereabouts, arriving, pack, settle
from roar_publisher.state.reasons import Reason
from roar_publisher.state.record import Plan
from roar_publisher.state.units import Kind

NO_SESSION = 0
"""A row that no roar.db has: nothing is marked there."""
MOST_NAMED = 10
"""How many missing files are named on a terminal."""


def export_publish(paths: PublishPaths, folder: StateFolder, file: Path, *, as_json: bool) -> None:
    """Write a publish to `file` and leave it alone from then on; the daemon lets go of it first.

    Raises UsageProblem if it has ended or the file exists, Owned if another terminal works on it, LocalProblem where
    the file can't be written.  Repeating writes another file.
    """
    with taken(paths, folder) as owned:
        plan, state = owned.journal.plan(), owned.journal.progress().state
        if state not in LIVE:
            raise UsageProblem(f"publish {paths.id} is {state}: nothing is left to move", next_step="roar journal list")
        text = paths.read_put_record()
        record = None if text is None else redacted(PutRecord.from_json(text), _redactor(plan)).as_json()
        length = pack(paths, owned.journal, record, file)
        owned.journal.queue.park(reason=Reason.EXPORTED, detail=f"it is in {file.absolute()}")
    facts = {"event": "exported", "publish_id": paths.id, "file": str(file), "bytes": length}
    if as_json:
        click.echo(json.dumps(facts))
        return
    click.echo(printable(f"Exported {paths.id} to {file} ({size(length)}). Files are not in it, nor any credential."))
    click.echo(as_called(f"There: roar journal import FILE.  Once it is published: roar journal cancel {paths.id}"))


def import_publish(file: Path, folder: StateFolder, project: Path | None, *, as_json: bool) -> None:
    """Bring a publish in from `file`, and name the files of it that are not here: it stops at them.

    Nothing is sent, and no daemon takes it, before a person resumes it: `file` names where credentials would go.
    project: where its files and its roar.db are; by default where they were, else the project around the current
    folder.  Raises as `arriving`, and then nothing of it is left here.
    """
    with arriving(file, folder) as arrival:
        registry_address(arrival.journal.plan().registry, os.environ)
        home = _Home.of(arrival.journal, project)
        with _reading(file):
            contents = {row.seq: content_of(row) for row in arrival.journal.objects.all()}
            record = PutRecord.from_json(arrival.record) if arrival.record is not None and home.known else None
        found = anyio.run(find_again, contents.values(), home.move)
        here = {seq: found.get(content.path) or home.move.content(content) for seq, content in contents.items()}
        missing = [here[seq].path for seq, content in contents.items() if content.path not in found]
        _leave_session(arrival.journal)
        settle(arrival.journal, home.whereabouts, {seq: json.dumps(asdict(content)) for seq, content in here.items()})
        if record is not None:
            paths = {path: content.path for path, content in found.items()}
            arrival.paths.write_put_record(moved(record, home.move, paths).as_json())
        plan = arrival.journal.plan()
    _tell(plan, missing, known=home.known, as_json=as_json)


@dataclass(frozen=True, slots=True)
class _Home:
    """Where a publish belongs on this machine.  known: whether the roar.db there has its jobs."""

    move: Move
    whereabouts: Whereabouts
    known: bool

    @classmethod
    def of(cls, journal: Journal, project: Path | None) -> "_Home":
        plan = journal.plan()
        root = _root(project, Path(plan.project))
        database = root / ROAR_FOLDER / "roar.db"
        known = knows_any(database, _jobs(journal))
        whereabouts = Whereabouts(
            project=str(root),
            roar_db=str(database),
            local_session=plan.local_session if known else NO_SESSION,
            ssh_key=(load_config(root).glaas_key or "") if database.parent.is_dir() else "",
        )
        return cls(Move(Path(plan.project), root), whereabouts, known)


def _root(chosen: Path | None, recorded: Path) -> Path:
    """The folder of the project: as chosen, where it was, or around the current folder; else where it was."""
    if chosen is None and recorded.is_dir():
        return recorded
    try:
        return find_project(chosen or current_folder()).root
    except LocalProblem:
        return chosen.resolve() if chosen is not None else recorded


def _jobs(journal: Journal) -> Iterator[tuple[str, float]]:
    """Every job of the lineage, as (uid, timestamp)."""
    for body in journal.bodies(Kind.JOBS):
        for job in json.loads(body):
            yield job["job_uid"], job["timestamp"]


def _leave_session(journal: Journal) -> None:
    """An anonymous session is its token's, which stayed behind: another one is opened here."""
    progress = journal.progress()
    if progress.credential == Decision.ANONYMOUS_SESSION and progress.state in (State.STAGE, State.FINALIZE):
        journal.checkpoint(Event.SESSION_LOST, detail="its token stayed on the other machine")


def _redactor(plan: Plan) -> Redactor:
    """By the rules of the project, as long as it is there; else by the built-in ones."""
    try:
        return Redactor(load_config(Path(plan.project)).omit)
    except LocalProblem:
        return Redactor(OmitConfig())


@contextmanager
def _reading(file: Path) -> Iterator[None]:
    """What another program wrote into the journal or the record makes no sense."""
    try:
        yield
    except (ValueError, TypeError, KeyError) as error:
        raise damaged(file) from error


def _tell(plan: Plan, missing: list[str], *, known: bool, as_json: bool) -> None:
    command = as_called(f"roar publish --resume {plan.id}")
    if as_json:
        facts = {name: getattr(plan, name) for name in ("project", "registry", "destination")}
        facts = {"event": "imported", "publish_id": plan.id} | facts | {"missing": missing, "noted_in_roar_db": known}
        click.echo(json.dumps(facts | {"next": command}))
        return
    files = f"files to {plan.destination}, then " if plan.destination else ""
    lines = [f"Imported {plan.id}: {files}{count(plan.jobs, 'job')} to {plan.registry}"]
    lines.append(f"It belongs to the project in {plan.project}")
    if missing:
        lines.append(f"{count(len(missing), 'file')} of it can't be found on this machine; it stops without:")
        lines += [f"  {path}" for path in missing[:MOST_NAMED]]
        lines += [f"  and {len(missing) - MOST_NAMED:,} more"] if len(missing) > MOST_NAMED else []
    if not known:
        lines.append("No roar.db there knows its jobs: none is told when it is published.")
    for line in [*lines, f"Next: {command}"]:
        click.echo(printable(line))
