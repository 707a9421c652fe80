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

    ID is the id of a publish, or its first digits.

    The journals are in $ROAR_STATE_DIR, or else in $XDG_STATE_HOME/roar or ~/.local/state/roar. Keep them on a local
    disk. NFS is safe, even for several machines at once, if it is mounted with locks (neither nolock nor local_lock).
    File systems without locks, or with locks that other machines do not see (sshfs, rclone, SMB …), are refused.

    \b
      roar journal list                      what is unfinished, and why
      roar journal show 1f2e3d4c --why       what to do about it
      roar journal cancel 1f2e3d4c           give it up
    """


@journal.command("list")
@click.option(
    "--project",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    metavar="DIR",
    help="List the publishes of this project. By default, those of the project around the current folder.",
)
@click.option("--all", "everything", is_flag=True, help="List the publishes of every project.")
@_json
def list_(project: Path | None, everything: bool, as_json: bool) -> None:
    """List the publishes of this project, newest first.

    Outside a project, the publishes of all projects are listed. Publishes that cannot be read are always listed. If
    there are publishes of other projects, a line on stderr gives their number.

    \b
      roar journal list --all
      roar journal list --json | jq -r 'select(.status == "failed") | .publish_id'
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
@click.option("--why", is_flag=True, help="Show only why it has its status; the reasons are listed below.")
@_json
def show(publish_id: str, why: bool, as_json: bool) -> None:
    """Show one publish: its plan, its progress, and its history.

    With --why --json: reason, meaning, turn (who acts next: nobody, daemon, network, server, machine, person), detail,
    owner, parked, attempts, next_attempt (Unix seconds), exit_code (of a `roar publish` that ends so) and next.

    \b
      roar journal show 1f2e3d4c
      roar journal show 1f2e3d4c --why
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
    """Cancel a publish permanently.

    A publish that another terminal is working on is not cancelled. If the lineage is already published, it stays
    published, and only the remaining work is dropped.

    \b
      roar journal cancel 1f2e3d4c
    """
    from roar_publisher.cli.journal.actions import cancel as cancel_publish

    folder = _folder()
    cancel_publish(folder.find(publish_id), folder, as_json=as_json)


@journal.command()
@_publish_id
@_json
def retry(publish_id: str, as_json: bool) -> None:
    """Retry a failed, parked or waiting publish, once the cause is fixed.

    If a daemon is running, it makes the attempt; otherwise `roar publish --resume ID` does.

    \b
      roar journal retry 1f2e3d4c
    """
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
    help="Remove only publishes that ended longer ago than this.",
)
@click.option("--all", "everything", is_flag=True, help="Remove every publish that has ended, whatever its age.")
@_json
def prune(older_than: float, everything: bool, as_json: bool) -> None:
    """Remove publishes that have ended, and unfinished plans.

    With --all, damaged publishes are removed, too. Interrupted publishes are kept; cancel them first. A put is also
    kept as long as it has an unfinished upload in a store that cannot be reached.

    \b
      roar journal prune --older-than 12h
      roar journal prune --all
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

    FILE contains no credential, so sign in on the other machine, and not the files of a put, which are found there by
    their digests. On this machine, the publish is parked until `roar publish --resume ID` takes it back.

    \b
      roar journal export 1f2e3d4c publish.tar
    """
    from roar_publisher.cli.journal.portable import export_file

    folder = _folder()
    export_file(folder.find(publish_id), folder, file, as_json=as_json)


@journal.command("import")
@click.argument("file", type=click.Path(path_type=Path))
@click.option(
    "--project",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    metavar="DIR",
    help="The project that it belongs to; by default the one around the current folder.",
)
@click.option(
    "--allow",
    "allowed",
    multiple=True,
    metavar="PATH",
    help="A folder, file or file:// destination outside the project that may be read or written. Repeatable.",
)
@click.option("--tag", is_flag=True, help="Also push its git tags; otherwise they are only created here.")
@click.option("-y", "--yes", is_flag=True, help="Do not ask; what the publish would do is still shown.")
@_json
def import_(file: Path, project: Path | None, allowed: tuple[str, ...], tag: bool, yes: bool, as_json: bool) -> None:
    """Import a publish that was exported to FILE.

    FILE may come from another person, so everything in it is checked, and you are shown the files, addresses, tags and
    registry that it would use before you are asked. Files outside the project are read and written only with --allow.
    Nothing is sent until you resume the publish.

    \b
      roar journal import publish.tar
      roar publish --resume 1f2e3d4c
    """
    from roar_publisher.cli.journal.portable import import_file
    from roar_publisher.publishing.importing import ImportOrder

    order = ImportOrder(project=project, allowed=allowed, push=tag)
    import_file(file, _folder(), order, yes=yes, as_json=as_json)


def _folder() -> StateFolder:
    return StateFolder.from_environment(os.environ)
