"""Real roar-cli, as its users have it: `roar` on the PATH may be ours, which is installed beside it."""

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from tests.support.cli.program import PATIENCE, Ended
from tests.support.fork_server import Order, server_for


def run_roar_cli(*arguments: str, cwd: Path, env: Mapping[str, str]) -> Ended:
    """Run it to its end, without a terminal."""
    order = Order("roar", arguments, str(cwd), dict(env))
    server = server_for(order)
    if server is not None:
        return Ended(*server.run(order, PATIENCE))
    done = subprocess.run(
        # -P: a project may have a folder of that name.
        [sys.executable, "-P", "-m", "roar", *arguments],
        cwd=cwd,
        env=env,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    return Ended(done.returncode, done.stdout, done.stderr)
