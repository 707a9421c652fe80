"""roar-cli, where it is installed in the same environment: its commands, and whose the `roar` script is."""

import importlib.util
import os
import sys
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path

from roar_publisher.cli import importpath
from roar_publisher.cli.display.naming import DEFAULT, UNAMBIGUOUS
from roar_publisher.state.errors import UsageProblem

PACKAGE = "roar"
"""The import package of roar-cli."""
SCHEMES = frozenset({"hf", "wandb"})
"""Schemes of destinations that roar-cli stores to and we do not."""
REPAIR = "pip install --force-reinstall --no-deps roar-cli"
"""What puts roar-cli's own `roar` script back, for example after roar-publisher was uninstalled."""


def roar_cli_installed() -> bool:
    """Whether roar-cli can be imported.  Imports nothing."""
    spec = importlib.util.find_spec(PACKAGE)
    return spec is not None and spec.origin is not None  # a mere folder of that name has no origin


def roar_cli_commands() -> Mapping[str, str]:
    """The commands of the installed roar-cli with their summaries; empty where it is missing or has none to tell."""
    if not roar_cli_installed():
        return {}
    try:
        group = import_module("roar.cli").cli
        return {name: each.get_short_help_str(60) for name, each in group.commands.items() if not each.hidden}
    except Exception:  # a foreign package: whatever is wrong with it, our help is still shown
        return {}


def hand_over(arguments: Sequence[str]) -> int:
    """Become roar-cli with the same arguments; its exit code is the process's.

    Returns only by raising: UsageProblem where roar-cli is not installed.
    """
    if not roar_cli_installed():
        raise UsageProblem(
            f"`roar {arguments[0]}` is a command of roar-cli, which is not installed here",
            next_step="pip install roar-cli",
        )
    sys.stdout.flush()
    sys.stderr.flush()
    # Not `-m roar`: a `roar` in the current folder or on PYTHONPATH is not roar-cli.
    os.execv(sys.executable, [sys.executable, "-P", "-m", importpath.__name__, PACKAGE, *arguments])


def script_note() -> str | None:
    """What is wrong with the `roar` script beside this program; None where nothing is.

    Both packages bring one.  The one installed last is there, and uninstalling either removes it.
    """
    called = Path(sys.argv[0])
    missing = called.name == UNAMBIGUOUS and called.is_absolute() and not called.with_name(DEFAULT).exists()
    if not missing or not roar_cli_installed():
        return None
    return f"the `roar` command is missing, and roar-cli is installed; to restore it: {REPAIR}"
