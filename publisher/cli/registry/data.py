"""Shared code of the commands that work on a registry's data: options, opening the accounts, printing lists."""

import json
import os
import re
import shlex
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from roar_publisher.state.errors import LocalProblem, UsageProblem
from roar_publisher.state.reasons import Reason
from roar_publisher.state.xdg import base_folder
from roar_publisher.text import fitted

if TYPE_CHECKING:
    from roar_publisher.registry.store.users import Accounts

Command = TypeVar("Command", bound=Callable[..., Any])
Rows = Sequence[Mapping[str, object]]
"""What a list command prints. The keys of a row are the columns."""
DATABASE = "roar_publisher.registry.database"
"""Key of the database in a command's context."""
LONGEST_CELL = 500
"""Characters of a cell that are shown."""
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


def default_data() -> Path:
    """Return the default folder of a registry's data."""
    return base_folder(os.environ, "XDG_DATA_HOME", ".local/share") / "roar" / "registry"


def data_option(command: Command) -> Command:
    """Add the option `--data`, and `--database`, which `chosen_database` returns."""
    database = click.option(
        "--database",
        metavar="postgresql://…",
        envvar="ROAR_REGISTRY_DATABASE",
        show_envvar=True,
        expose_value=False,
        callback=_keep_database,
        help="The registry's PostgreSQL database, if it does not keep its data in files in --data.",
    )
    return click.option(
        "--data",
        type=click.Path(path_type=Path),
        default=default_data,
        help="The registry's data folder; by default ~/.local/share/roar/registry (or below $XDG_DATA_HOME).",
    )(database(command))


def chosen_database() -> str | None:
    """Return the database of the running command; None if the data is in files. Raises `UsageProblem`."""
    from roar_publisher.extras import require

    database = _database()
    if database is not None:
        require("postgresql", "a registry on PostgreSQL")
    return database


def require_files() -> None:
    """Raise `UsageProblem` if the running command is given a database, because it works on files alone."""
    if _database() is not None:
        raise UsageProblem(
            "backup and restore are for a registry that keeps its data in files, and this one is on PostgreSQL",
            next_step="use pg_dump, with a copy of the files secret and receipt-keys; or leave --database out, and"
            " ROAR_REGISTRY_DATABASE unset, for a registry in files",
        )


def require_registry(data: Path, names: Collection[str]) -> None:
    """Raise `LocalProblem` if the folder `data` has none of these files of a registry."""
    if not any((data / name).exists() for name in names):
        raise LocalProblem(
            f"there is no registry in {data}", next_step="name its folder with --data", reason=Reason.REGISTRY
        )


def _database() -> str | None:
    database: str | None = click.get_current_context().meta.get(DATABASE)
    return database


def _keep_database(context: click.Context, parameter: click.Parameter, value: str | None) -> None:
    context.meta[DATABASE] = value


def json_option(command: Command) -> Command:
    """Add the option `--json`."""
    return click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")(command)


def check_name(context: click.Context, parameter: click.Parameter, value: str) -> str:
    """Return the value if it can be part of a path of names. Raises BadParameter."""
    if not NAME.fullmatch(value):
        raise click.BadParameter(
            "a name has up to 64 letters, digits, dots, dashes and underscores", context, parameter
        )
    return value


def with_accounts(*, new: bool = False) -> Callable[[Callable[..., str]], Callable[..., None]]:
    """Return a decorator for a command whose first argument is the accounts, and that returns what to print.

    The command gets the option `--data`. `new` and the errors are those of `open_accounts`.
    """

    def decorate(command: Callable[..., str]) -> Callable[..., None]:
        @data_option
        @wraps(command)
        def run(*args: Any, data: Path, **kwargs: Any) -> None:
            made = new and _database() is None and not _has_accounts(data)
            with open_accounts(data, new=new) as accounts:
                text = command(accounts, *args, **kwargs)
            click.echo(text)
            if made:
                click.echo(f"This is the first account of a new registry in {data}; --data chooses another.", err=True)

        return run

    return decorate


def list_accounts(command: Callable[["Accounts"], Rows]) -> Callable[..., None]:
    """Decorate a command that returns rows of the accounts, which are printed as a table.

    The command gets the options `--json` and `--data`. The errors are those of `open_accounts`.
    """

    @json_option
    @data_option
    @wraps(command)
    def run(as_json: bool, data: Path) -> None:
        with open_accounts(data) as accounts:
            rows = command(accounts)
        _print_rows(as_json, rows)

    return run


@contextmanager
def open_accounts(data: Path, *, new: bool = False) -> Iterator["Accounts"]:
    """Open the accounts in `data`, which a running registry may also have open. With `new`, create them if necessary.

    Raises `UsageProblem` if a name is taken or unknown, `LocalProblem` if the file cannot be used. In these cases the
    command changes nothing.
    """
    from roar_publisher.registry.store.errors import AlreadyExists, NotFound, StoreError
    from roar_publisher.registry.store.users import Accounts

    try:
        database = chosen_database()
        if database is None and not new and not _has_accounts(data):
            raise _no_accounts(data)
        accounts = Accounts.open(data, database)
        try:
            yield accounts
        finally:
            accounts.close()
    except (AlreadyExists, NotFound) as error:
        next_step = f"roar registry {error.kind} list --data {shlex.quote(str(data))}"
        raise UsageProblem(str(error), next_step=next_step) from error
    except (OSError, StoreError) as error:
        raise data_problem(data, "accounts", error) from error


def _has_accounts(data: Path) -> bool:
    from roar_publisher.registry.store.private_data import ACCOUNTS_NAME

    return (data / ACCOUNTS_NAME).exists()


def data_problem(data: Path, part: str, error: Exception) -> LocalProblem:
    """Return the problem for an error of the registry's files in `data`. `part` is the part that cannot be used."""
    from roar_publisher.registry.store.errors import (
        DataExists,
        DataInUse,
        InvalidBackup,
        NewerSchemaError,
        OldSQLiteError,
        RestoreRuns,
        SharedSessionsError,
        StoreError,
        WrongEncodingError,
    )
    from roar_publisher.registry.store.private_data import UnsafeData

    problem, option = f"the registry's {part} in {data} cannot be used: {error}", "--data"
    if isinstance(error, StoreError) and _database() is not None:
        problem, option = f"the registry's database cannot be used: {error}", "--database"
    match error:
        case WrongEncodingError():
            next_step = "name a database in UTF-8 with --database: createdb -E UTF8 -T template0 roar"
        case SharedSessionsError():
            next_step = "name PostgreSQL itself with --database, or set pool_mode = session in PgBouncer"
        case NewerSchemaError():
            next_step = f"upgrade with `pip install -U roar-publisher`, or choose another {option}"
        case StoreError() if option == "--database":
            next_step = "check that PostgreSQL runs, and that --database names a database that you may use"
        case UnsafeData():
            problem, next_step = f"the registry's data is not private: {error}", error.remedy
        case InvalidBackup():
            problem, next_step = str(error), "name another backup"
        case DataExists():
            next_step = "choose another --data, or replace it with --force"
        case DataInUse():
            next_step = "stop the other registry, or choose another --data"
        case RestoreRuns():
            next_step = "wait until it has ended, or choose another --data"
        case OldSQLiteError():
            next_step = "use a Python with a later SQLite, or PostgreSQL (--database)"
        case _:
            next_step = "check its permissions and room, or choose another --data"
    return LocalProblem(problem, next_step=next_step, reason=Reason.REGISTRY)


def _no_accounts(data: Path) -> LocalProblem:
    return LocalProblem(
        f"no registry keeps accounts in {data}",
        next_step="name its folder with --data, or create them:"
        f" roar registry user add NAME --data {shlex.quote(str(data))}",
        reason=Reason.REGISTRY,
    )


def _print_rows(as_json: bool, rows: Rows) -> None:
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
    """Format Unix seconds for people."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M UTC")


def _cell(name: str, value: object) -> str:
    if name.endswith("_at") and isinstance(value, float):
        return format_time(value)
    text = ", ".join(map(str, value)) if isinstance(value, list) else "" if value is None else str(value)
    return fitted(text, LONGEST_CELL) or "-"  # names and comments come from a service, and from key files
