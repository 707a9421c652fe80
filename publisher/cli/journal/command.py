"""`roar journal`: the command lines.

The implementations in `views`, `why`, `actions` and `portable` are imported when needed.
"""

import os
import textwrap
from pathlib import Path

import click

from roar_publisher.cli.ids import complete_publish
from roar_publisher.cli.parameters import Parsed
from roar_publisher.exit_codes import exit_code_of
from roar_publisher.naming import DEFAULT, UNAMBIGUOUS
from roar_publisher.state.ages import parse_age
from roar_publisher.state.errors import LocalProblem, UsageProblem
from roar_publisher.state.meanings import MEANINGS
from roar_publisher.state.paths import StateFolder

PRUNE_AFTER = "30d"
HELP_COLUMNS = 78
"""The width of help without its indentation."""


def _reasons() -> str:
    """Return every reason with its exit code, as lines of at most `HELP_COLUMNS`, also under the longer name."""
    width = max(map(len, MEANINGS))
    lines = ["Reasons, and exit codes of a publish (1, not 3, if nothing can be resumed):"]
    columns = HELP_COLUMNS - width - len("      999  ") - len(UNAMBIGUOUS) + len(DEFAULT)
    for reason, meaning in MEANINGS.items():
        first, *rest = textwrap.wrap(meaning.text, columns)
        lines += [
            f"  {reason:<{width}}  {exit_code_of(meaning.conclusion):>3}  {first}",
            *(f"  {'':<{width}}       {line}" for line in rest),
        ]
    return "\n".join(["\b", *lines])


_publish_id = click.argument("publish_id", metavar="ID", shell_complete=complete_publish)
_json = click.option("--json", "as_json", is_flag=True, help="Print one JSON object per line.")


@click.group()
def journal() -> None:
    """Show, cancel, retry, prune and move publishes of this machine.

    ID is a publish's id or its beginning.

    The journals are in $ROAR_STATE_DIR, else $XDG_STATE_HOME/roar, else ~/.local/state/roar. Keep them on a local disk.
    NFS is safe, also for several machines at once, if it is mounted with locks (neither nolock nor local_lock). What
    has no locks, or locks that other machines do not see (sshfs, rclone, SMB …), is refused.
    """


@journal.command("list")
@click.option(
    "--project",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    metavar="DIR",
    help="Only the publishes of this project; the default inside of a project.",
)
@click.option("--all", "everything", is_flag=True, help="The publishes of every project.")
@_json
def list_(project: Path | None, everything: bool, as_json: bool) -> None:
    """List the publishes of this project, newest first.

    Outside of a project, those of all projects are listed. A line on stderr gives the number of others. Publishes that
    cannot be read are always listed.
    """
    from roar_publisher.cli.journal.views import show_list

    if everything and project is not None:
        raise UsageProblem("--all contradicts --project", next_step="leave one of them out")
    show_list(_folder(), None if everything else _project(project), as_json=as_json)


def _project(chosen: Path | None) -> Path | None:
    """Return the root of the project around the chosen folder, or around the current one. None if there is none."""
    from roar_publisher.lineage.project import current_folder, find_project

    try:
        return find_project(chosen or current_folder()).root
    except LocalProblem:
        return chosen.resolve() if chosen is not None else None


@journal.command(epilog=_reasons())
@_publish_id
@click.option("--why", is_flag=True, help="Only the reason for its status: one of those below.")
@_json
def show(publish_id: str, why: bool, as_json: bool) -> None:
    """Show one publish: its plan, its progress, and its history.

    With --why --json: reason, meaning, turn (who acts next: nobody, daemon, network, server, machine, person), detail,
    owner, parked, attempts, next_attempt (Unix seconds), exit_code (what `roar publish` exits with for it) and next.
    """
    paths = _folder().find(publish_id)
    if why:
        from roar_publisher.cli.journal.why import show_why

        return show_why(paths, as_json=as_json)
    from roar_publisher.cli.journal.views import show_one

    return show_one(paths, as_json=as_json)


@journal.command()
@_publish_id
@_json
def cancel(publish_id: str, as_json: bool) -> None:
    """Cancel a publish permanently, unless another terminal works on it.

    What is published already stays published; only the work that follows is given up.
    """
    from roar_publisher.cli.journal.actions import cancel as cancel_publish

    folder = _folder()
    cancel_publish(folder.find(publish_id), folder, as_json=as_json)


@journal.command()
@_publish_id
@_json
def retry(publish_id: str, as_json: bool) -> None:
    """Retry a failed, parked or waiting publish once its cause is fixed."""
    from roar_publisher.cli.journal.actions import retry as retry_publish

    folder = _folder()
    retry_publish(folder.find(publish_id), folder, as_json=as_json)


@journal.command()
@click.option(
    "--older-than",
    type=Parsed(parse_age),
    metavar="AGE",
    default=PRUNE_AFTER,
    show_default=True,
    help="Keep publishes that ended more recently.",
)
@click.option("--all", "everything", is_flag=True, help="Remove every publish that has ended, whatever its age.")
@_json
def prune(older_than: float, everything: bool, as_json: bool) -> None:
    """Remove publishes that have ended, and unfinished plans.

    With --all, what is damaged is removed, too. Interrupted publishes are kept: cancel them first. So is a put whose
    store holds an unfinished upload and cannot be reached.
    """
    from roar_publisher.cli.journal.actions import prune as prune_publishes

    age = 0.0 if everything else older_than
    prune_publishes(_folder(), older_than=age, damaged=everything, as_json=as_json)


@journal.command("export")
@_publish_id
@click.argument("file", type=click.Path(path_type=Path))
@_json
def export(publish_id: str, file: Path, as_json: bool) -> None:
    """Write an interrupted publish to FILE, for another machine.

    It contains neither the files of a put, which are found there by their digests, nor a credential: sign in there.
    Here it is parked from then on, until `roar publish --resume ID` takes it back.
    """
    from roar_publisher.cli.journal.portable import export_publish

    folder = _folder()
    export_publish(folder.find(publish_id), folder, file, as_json=as_json)


@journal.command("import")
@click.argument("file", type=click.Path(path_type=Path))
@click.option(
    "--project",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    metavar="DIR",
    help="The project that it belongs to; by default the one around this folder.",
)
@click.option(
    "--allow",
    "allowed",
    multiple=True,
    metavar="PATH",
    help="What may be read or written outside of the project: a folder, a file or a file:// destination.",
)
@click.option("--tag", is_flag=True, help="Push its git tags, too; otherwise they are only created here.")
@click.option("-y", "--yes", is_flag=True, help="Consent without being asked; what it would do is still shown.")
@_json
def import_(file: Path, project: Path | None, allowed: tuple[str, ...], tag: bool, yes: bool, as_json: bool) -> None:
    """Import a publish that was exported to FILE.

    FILE may come from another person: everything in it is checked, and the files, addresses, tags and the registry that
    it would use are shown before you are asked. Files outside of the project are read and written only with
    --allow. Nothing is sent before you resume it.
    """
    from roar_publisher.cli.journal.portable import ImportOptions, import_publish

    options = ImportOptions(project=project, allowed=allowed, push=tag, yes=yes, as_json=as_json)
    import_publish(file, _folder(), options)


def _folder() -> StateFolder:
    return StateFolder.from_environment(os.environ)
