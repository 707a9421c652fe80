"""`roar registry backup | restore | prune`: a registry's data as a whole."""

import json
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from roar_publisher.cli.registry.data import (
    chosen_database,
    data_option,
    data_problem,
    json_option,
    require_files,
    require_registry,
)
from roar_publisher.extras import require
from roar_publisher.text import count

if TYPE_CHECKING:
    from roar_publisher.registry.store.database import StoreDatabase

FILE = click.argument("file", type=click.Path(dir_okay=False, path_type=Path))


@click.command()
@FILE
@data_option
def backup(file: Path, data: Path) -> None:
    """Write lineages, accounts, secret and receipt keys to FILE.

    The registry may keep serving. FILE is either complete or absent, and only you can read it. Keep it as safe as the
    registry: it holds the key from which session tokens are derived, and those that sign receipts. To back up a
    registry on PostgreSQL, use PostgreSQL's own tools, and copy the files secret and receipt-keys in --data.

    \b
      roar registry backup /backups/registry.tar --data ./registry
    """
    require_files()
    with _problems(data):
        from roar_publisher.registry.backup import draft_folder, make_backup
        from roar_publisher.registry.control import ask_for_copy
        from roar_publisher.registry.store.copies import copy_file
        from roar_publisher.registry.store.private_data import LINEAGES_NAME

        require_registry(data, [LINEAGES_NAME])

        def copy_lineages(target: Path) -> None:
            with draft_folder(data) as folder:
                if ask_for_copy(data, folder / LINEAGES_NAME):
                    shutil.move(folder / LINEAGES_NAME, target)
                else:
                    copy_file(data / LINEAGES_NAME, target)

        make_backup(data, file, copy_lineages)
    click.echo(f"{file}: {file.stat().st_size:,} bytes")


@click.command()
@FILE
@click.option("--force", is_flag=True, help="Replace the registry that is in the folder.")
@data_option
def restore(file: Path, force: bool, data: Path) -> None:
    """Put the backup FILE into an empty data folder.

    The backup is checked first. No registry may be running in that folder. To restore a registry on PostgreSQL, use
    PostgreSQL's own tools, and your copy of the files secret and receipt-keys.

    \b
      roar registry restore /backups/registry.tar --data ./registry
    """
    require_files()
    with _problems(data):
        from roar_publisher.registry.backup import restore_backup

        restore_backup(file, data, force=force)
    click.echo(f"{data} holds the registry of {file}.")


@click.command()
@click.option("--dry-run", is_flag=True, help="Only count what would be removed.")
@json_option
@data_option
def prune(dry_run: bool, as_json: bool, data: Path) -> None:
    """Remove expired sessions and what was staged in them.

    A running registry does this by itself, every minute.

    \b
      roar registry prune --dry-run --data ./registry
    """
    with _problems(data):
        from roar_publisher.registry.lineages.sweeping import count_expired, sweep_slice

        store = _opened(data)
        try:
            now = time.time()
            counts = store.read(count_expired, now)
            while not dry_run and store.write(sweep_slice, now):
                pass
        finally:
            store.close()
    if as_json:
        click.echo(json.dumps({"dry_run": dry_run, **counts}))
        return
    click.echo(
        f"{'would remove' if dry_run else 'removed'}: {count(counts['sessions'], 'expired session')},"
        f" {count(counts['staged'], 'abandoned lineage')}, {count(counts['fragment_sessions'], 'fragment session')}"
    )


def _opened(data: Path) -> "StoreDatabase":
    """Open the lineages of a registry that exists. Raises `LocalProblem`, `UsageProblem`, `StoreError` and OSError."""
    database = chosen_database()
    if database is not None:
        from roar_publisher.registry.store.database import StoreDatabase
        from roar_publisher.registry.store.postgres_schema import connect_lineages

        return StoreDatabase(connect_lineages(database))
    from roar_publisher.registry.data import Store
    from roar_publisher.registry.store.private_data import LINEAGES_NAME

    require_registry(data, [LINEAGES_NAME])
    return Store.open(data)


@contextmanager
def _problems(data: Path) -> Iterator[None]:
    """Raise the errors of the block as those of the registry's data."""
    require("registry", "a registry of your own")
    from roar_publisher.registry.store.errors import StoreError

    try:
        yield
    except (OSError, StoreError) as error:
        raise data_problem(data, "data", error) from error
