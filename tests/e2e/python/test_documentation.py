"""The examples of docs/python.md run as they are, one after another in one project."""

import re
import subprocess
import sys

import pytest

from tests.support.checkout import CHECKOUT
from tests.support.cli.program import Program

PAGE = (CHECKOUT / "docs" / "python.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"^```python\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
FUNCTIONS = ("publish", "put", "resume", "fetch", "publishes", "watch", "cancel", "retry")


@pytest.mark.parametrize("number", range(len(EXAMPLES)))
def test_an_example_runs(program: Program, registry: str, number: int) -> None:
    done = subprocess.run(
        [sys.executable, "-c", EXAMPLES[number]],
        cwd=program.cwd,
        env=program.env | {"GLAAS_URL": registry},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout


def test_there_are_examples_and_every_function_is_described() -> None:
    assert len(EXAMPLES) == PAGE.count("```python") == 6
    assert [name for name in FUNCTIONS if f"| `{name}(" not in PAGE] == []
