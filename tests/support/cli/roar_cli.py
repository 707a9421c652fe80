"""Real roar-cli, as its users have it: `roar` on the PATH may be ours, which is installed beside it."""

from collections.abc import Mapping
from pathlib import Path

from tests.support.cli.program import Ended, run
from tests.support.fork_server import Order


def run_roar_cli(*arguments: str, cwd: Path, env: Mapping[str, str]) -> Ended:
    """Run it to its end, without a terminal."""
    return run(Order("roar", arguments, str(cwd), dict(env)))
