"""`roar registry migrate`: moves a registry from files to PostgreSQL."""

from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import click

from roar_publisher.cli.registry.data import data_problem, default_data
from roar_publisher.state.errors import LocalProblem
from roar_publisher.state.reasons import Reason
from roar_publisher.text import count

if TYPE_CHECKING:
    from roar_publisher.registry.data import Store


@click.command()
@click.option(
    "--from",
    "data",
    type=click.Path(path_type=Path),
    default=default_data,
    help="The registry's data folder; by default ~/.local/share/roar/registry (or below $XDG_DATA_HOME).",
)
@click.option("--to", "database", metavar="postgresql://…", required=True, help="An empty database.")
def migrate(data: Path, database: str) -> None:
    """Move lineages and accounts from files to PostgreSQL.

    Stop the registry first. All rows are compared before the copy is committed, and the files keep their content.
    Afterwards, serve with the same --data, which holds the secret, and with --database.

    \b
      roar registry migrate --from ./registry --to postgresql://roar@db/roar
      roar registry serve --data ./registry --database postgresql://roar@db/roar
    """
    from roar_publisher.extras import require

    require("registry", "a registry of your own")
    require("postgresql", "a registry on PostgreSQL")
    from roar_publisher.registry.data import Store
    from roar_publisher.registry.store.errors import StoreError
    from roar_publisher.registry.store.private_data import LINEAGES_NAME

    if not (data / LINEAGES_NAME).exists():
        raise LocalProblem(
            f"there is no registry in {data}", next_step="name its folder with --from", reason=Reason.REGISTRY
        )
    try:
        with closing(Store.open(data)) as source:
            moved = _move(source, data, database)
    except (OSError, StoreError) as error:
        raise data_problem(data, "data", error) from error
    sizes = ", ".join(count(moved[f"{each}s"], each) for each in ("lineage", "job", "user"))
    click.echo(f"moved: {sizes}")


def _move(source: "Store", data: Path, database: str) -> dict[str, int]:
    """Move the store in `data` to a database. Raises `LocalProblem`, and OSError for the folder."""
    from roar_publisher.registry.data import Store
    from roar_publisher.registry.moving import move_store
    from roar_publisher.registry.store.errors import StoreError

    try:
        with closing(Store.open(data, database)) as target:
            return move_store(source, target)
    except StoreError as error:
        raise LocalProblem(
            f"the registry was not moved, and the files hold what they held: {error}",
            next_step="repeat the command when this is solved, or name another, empty database with --to",
            reason=Reason.REGISTRY,
        ) from error
