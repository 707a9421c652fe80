"""With roar-cli in the same environment, every command that is not ours is its."""

import os
import subprocess
import sys
from pathlib import Path

from tests.support.checkout import CHECKOUT
from tests.support.lineage.captured import captured_project

TIMEOUT_SECONDS = 60


def test_a_command_of_roar_cli_answers_as_if_it_had_been_called_itself(tmp_path: Path) -> None:
    project = captured_project("linear", tmp_path)

    ours, theirs = (_run(module, project, "log") for module in ("roar_publisher", "roar"))

    assert ours.returncode == theirs.returncode == 0
    assert ours.stdout == theirs.stdout != ""


def test_its_exit_code_is_ours(tmp_path: Path) -> None:
    ours, theirs = (_run(module, tmp_path, "no-such-command", "--flag") for module in ("roar_publisher", "roar"))

    assert ours.returncode == theirs.returncode != 0


def _run(module: str, cwd: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environ = {"PATH": os.environ["PATH"], "HOME": str(cwd.parent), "PYTHONPATH": str(CHECKOUT), "DO_NOT_TRACK": "1"}
    return subprocess.run(
        [sys.executable, "-m", module, *arguments],
        cwd=cwd,
        env=environ,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_SECONDS,
    )
