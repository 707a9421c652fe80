"""Each command imports what it uses: the number of modules has a bound, with a little room for other interpreters."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.processes import environment

COUNT = """
import sys
from roar_publisher.__main__ import run

code = run(sys.argv[1:])
print(len(sys.modules), file=sys.stderr)
sys.exit(code)
"""


def modules(folder: Path, *arguments: str, code: int = 0) -> int:
    """Run a command in a process of its own, and return how many modules it has at its end."""
    done = subprocess.run(
        [sys.executable, "-c", COUNT, *arguments],
        cwd=folder,
        env=environment(HOME=str(folder), ROAR_STATE_DIR=str(folder / "state")),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == code, done.stderr
    return int(done.stderr.splitlines()[-1])


@pytest.mark.parametrize(
    ("arguments", "most"),
    [
        (["--version"], 115),
        (["publish", "--help"], 120),
        (["put", "--help"], 130),
        (["completion", "bash"], 130),
    ],
    ids=str,
)
def test_a_command_that_shows_a_text_imports_little(tmp_path: Path, arguments: list[str], most: int) -> None:
    assert modules(tmp_path, *arguments) <= most
