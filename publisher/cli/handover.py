"""Commands that are not ours: roar-cli's, where it is installed in the same environment."""

import importlib.util
import os
import sys
from collections.abc import Sequence

from roar_publisher import importpath
from roar_publisher.state.errors import UsageProblem

PACKAGE = "roar"
"""The import package of roar-cli."""


def roar_cli_installed() -> bool:
    """Whether `python -P -m roar` would find roar-cli.  Imports nothing."""
    spec = importlib.util.find_spec(PACKAGE)
    return spec is not None and spec.origin is not None  # a mere folder of that name has no origin


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
