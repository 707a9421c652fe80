"""Implements `roar journal export` and `import`, which move an interrupted publish to another machine."""

import json
from functools import partial
from pathlib import Path

import click
from msgspec.structs import asdict

from roar_publisher.cli.journal.consent import confirm_import
from roar_publisher.naming import as_called
from roar_publisher.publishing.exporting import export_publish
from roar_publisher.publishing.importing import ImportOrder, IncomingPublish, import_publish
from roar_publisher.state.paths import PublishPaths, StateFolder
from roar_publisher.text import count, printable, size

MOST_NAMED = 10
"""The maximum number of missing files listed on a terminal."""


def export_file(paths: PublishPaths, folder: StateFolder, file: Path, *, as_json: bool) -> None:
    """Export a publish to `file` (see `export_publish`), and print what follows."""
    length = export_publish(paths, folder, file)
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


def import_file(file: Path, folder: StateFolder, order: ImportOrder, *, yes: bool, as_json: bool) -> None:
    """Import a publish from `file` (see `import_publish`) after the user has agreed, and print what follows.

    yes: agreed on the command line. Raises NeedsUser without consent.
    """
    incoming = import_publish(file, folder, order, partial(confirm_import, str(file), yes=yes))
    _report_import(incoming, as_json=as_json)


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
