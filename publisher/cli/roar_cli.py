"""Finds roar-cli in the same environment: its commands, and which package installed the `roar` script."""

import os
import sys
from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import Any

from roar_publisher.cli import importpath
from roar_publisher.naming import DEFAULT, UNAMBIGUOUS
from roar_publisher.state.errors import UsageProblem

PACKAGE = "roar"
"""The import package of roar-cli."""
SCHEMES = frozenset({"hf", "wandb"})
"""Schemes of destinations that roar-cli supports and roar-publisher does not."""
REPAIR = "pip install --force-reinstall --no-deps roar-cli"
"""The command that restores roar-cli's `roar` script, for example after roar-publisher was uninstalled."""

SIMILARITY = 0.8
"""How similar a command must be to one of ours to be a misspelling of it."""


def roar_cli_installed() -> bool:
    """Return whether roar-cli can be imported. Imports nothing."""
    from importlib.util import find_spec

    spec = find_spec(PACKAGE)
    return spec is not None and spec.origin is not None  # a plain folder of that name has no origin


def only_in_roar_cli(destination: str) -> bool:
    """Return whether only roar-cli stores files at a destination."""
    return destination.partition(":")[0].lower() in SCHEMES


def roar_cli_commands() -> Mapping[str, str]:
    """Return the commands of the installed roar-cli with their summaries.

    Empty if it is missing or cannot list them.
    """
    try:
        return {name: each.get_short_help_str(60) for name, each in _their_commands().items() if not each.hidden}
    except Exception:  # an error of another package must not break our help
        return {}


def _their_commands() -> Mapping[str, Any]:
    """Return the commands of roar-cli, also hidden ones. Empty if they cannot be listed."""
    if not roar_cli_installed():
        return {}
    try:
        return dict(import_module("roar.cli").cli.commands)
    except Exception:
        return {}


def _misspelt(command: str) -> str | None:
    """Return the command of ours that is meant by a similar name, unless roar-cli has that, too."""
    from difflib import get_close_matches

    from roar_publisher.cli.commands import COMMANDS

    near = get_close_matches(command, COMMANDS, n=1, cutoff=SIMILARITY)
    if command in COMMANDS or not near or command in (theirs := _their_commands()) or not theirs:
        return None
    return near[0]


def run_roar_cli(arguments: Sequence[str]) -> int:
    """Replace this process with roar-cli and the same arguments. Its exit code becomes the process's.

    Does not return. Raises UsageProblem if roar-cli is not installed, and for a misspelt command of ours that roar-cli
    does not have.
    """
    if not roar_cli_installed():
        raise _missing(arguments[0])
    if meant := _misspelt(arguments[0]):
        raise UsageProblem(f"there is no command `roar {arguments[0]}`", next_step=f"roar {meant}, or: roar --help")
    sys.stdout.flush()
    sys.stderr.flush()
    # `-m roar` could run a `roar` in the current folder or on PYTHONPATH that is not roar-cli.
    os.execv(sys.executable, [sys.executable, "-P", "-m", importpath.__name__, PACKAGE, *arguments])


def _missing(command: str) -> UsageProblem:
    """Return the error for what only roar-cli may know. A command that looks like one of ours may be mistyped."""
    from difflib import get_close_matches

    from roar_publisher.cli.commands import COMMANDS

    remedy = "pip install roar-cli"
    what = f"`roar {command}` needs roar-cli, which is not installed here"
    if command not in COMMANDS and (meant := get_close_matches(command, COMMANDS, n=1)):
        return UsageProblem(f"there is no command `roar {command}` here", next_step=f"roar {meant[0]}, or: {remedy}")
    return UsageProblem(what, next_step=remedy)


def roar_script_note() -> str | None:
    """Return what is wrong with the `roar` script beside this program, or None.

    Both packages install one. The one installed last is present, and uninstalling either removes it.
    """
    folder, name = os.path.split(sys.argv[0])
    missing = name == UNAMBIGUOUS and os.path.isabs(folder) and not os.path.exists(os.path.join(folder, DEFAULT))
    if not missing or not roar_cli_installed():
        return None
    return f"the `roar` command is missing, and roar-cli is installed; to restore it: {REPAIR}"
