"""Shared code of the commands that work on a registry's data: options, opening the accounts, printing lists."""

import json
import os
import re
import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from roar_publisher.state.errors import LocalProblem, UsageProblem
from roar_publisher.state.reasons import Reason
from roar_publisher.state.xdg import base_folder

if TYPE_CHECKING:
    from roar_publisher.registry.store.users import Accounts

Command = TypeVar("Command", bound=Callable[..., Any])
GROUPS = ("user", "key", "token", "owner", "project")
"""The commands that list something. An error about a taken or unknown name contains one of these words."""
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


def default_data() -> Path:
    """Return the default folder of a registry's data."""
    return base_folder(os.environ, "XDG_DATA_HOME", ".local/share") / "roar" / "registry"


def data_option(command: Command) -> Command:
    """Add the option `--data`."""
    return click.option(
        "--data",
        type=click.Path(path_type=Path),
        default=default_data,
        help="The registry's data; else below $XDG_DATA_HOME.",
    )(command)


def as_json(command: Command) -> Command:
    """Add the option `--json`."""
    return click.option("--json", "as_json", is_flag=True, help="One JSON document, for programs.")(command)


def named(context: click.Context, parameter: click.Parameter, value: str) -> str:
    """Return the value if it can be part of a path of names. Raises BadParameter."""
    if not NAME.fullmatch(value):
        raise click.BadParameter(
            "a name has up to 64 letters, digits, dots, dashes and underscores", context, parameter
        )
    return value


@contextmanager
def opened(data: Path, *, new: bool = False) -> Iterator["Accounts"]:
    """Open the accounts in `data`, which a running registry may also have open. new: create them if necessary.

    Raises `UsageProblem` if a name is taken or unknown, `LocalProblem` if the file cannot be used. In these cases the
    command changes nothing.
    """
    from roar_publisher.registry.store.errors import AlreadyExists, NotFound, StoreError
    from roar_publisher.registry.store.private_data import UnsafeData
    from roar_publisher.registry.store.users import DATABASE_NAME, Accounts

    try:
        if not new and not (data / DATABASE_NAME).exists():
            raise _no_accounts(data)
        accounts = Accounts.open(data)
        try:
            yield accounts
        finally:
            accounts.close()
    except (AlreadyExists, NotFound) as error:
        group = next(word for word in str(error).split() if word in GROUPS)
        next_step = f"roar registry {group} list --data {shlex.quote(str(data))}"
        raise UsageProblem(str(error), next_step=next_step) from error
    except UnsafeData as error:
        raise LocalProblem(
            f"the registry's data is not private: {error}", next_step=error.remedy, reason=Reason.REGISTRY
        ) from error
    except (OSError, StoreError) as error:
        raise LocalProblem(
            f"the registry's accounts in {data} cannot be used: {error}",
            next_step="check its permissions and room, or choose another --data",
            reason=Reason.REGISTRY,
        ) from error


def _no_accounts(data: Path) -> LocalProblem:
    return LocalProblem(
        f"no registry keeps accounts in {data}",
        next_step=f"name its folder with --data, or begin: roar registry user add NAME --data {shlex.quote(str(data))}",
        reason=Reason.REGISTRY,
    )


def listed(as_json: bool, rows: Sequence[Mapping[str, object]]) -> None:
    """Print a list as a JSON array, or as a table whose columns are the keys of the rows."""
    if as_json:
        click.echo(json.dumps(rows, indent=2))
        return
    from rich.table import Table

    from roar_publisher.cli.display.tables import show

    table = Table(box=None, pad_edge=False)
    for column in rows[0] if rows else ():
        table.add_column(column.replace("_", " ").upper(), no_wrap=True)
    for row in rows:
        table.add_row(*(_cell(name, value) for name, value in row.items()))
    show(table if rows else "none", unbroken=True)


def format_time(seconds: float) -> str:
    """Return Unix seconds as a readable time."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M UTC")


def _cell(name: str, value: object) -> str:
    if name.endswith("_at") and isinstance(value, float):
        return format_time(value)
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "-"
    return "-" if value in (None, "") else str(value)
