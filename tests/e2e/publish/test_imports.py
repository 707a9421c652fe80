"""Each command imports what it uses: the number of modules has a bound, with a little room for other interpreters."""

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.support.cli.program import Program
from tests.support.processes import environment

COUNT = """
import sys
from roar_publisher.__main__ import run

sys.modules["trio"] = None  # only the tests need it, but httpcore2 imports it where it is installed
code = run(sys.argv[1:])
sys.stderr.write("\\n" + " ".join(name for name, module in sys.modules.items() if module))
sys.exit(code)
"""
BEFORE_RECEIPT = """
from roar_publisher.engine.steps import after_publish, finalize

async def nothing(*_):
    return None

after_publish.make_receipt = finalize.import_receipt_file = nothing
"""
UNUSED = {"asyncssh", "botocore", "google.auth", "pydantic", "sqlite_utils", "starlette", "trio._core"}
UNUSED |= {"logging.handlers", "roar_publisher.daemon.log", "roar_publisher.daemon.wake"}
"""What a publish of lineage to a registry does not need; sqlite-utils migrates the journals of older releases, pydantic
checks the requests of a registry and imported bundles."""
OF_THE_SYSTEM = {"sitecustomize", "usercustomize"}
"""What the interpreter of a distribution, such as Debian's, imports before any program."""


def modules(folder: Path, env: Mapping[str, str], *arguments: str, code: int = 0, first: str = "") -> set[str]:
    """Run a command in a process of its own, and return the names of the modules that it has at its end.

    first: a program that it runs before the command.
    """
    done = subprocess.run(
        [sys.executable, "-c", first + COUNT, *arguments],
        cwd=folder,
        env=env,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == code, done.stderr
    return set(done.stderr.splitlines()[-1].split()) - OF_THE_SYSTEM


@pytest.mark.parametrize(
    ("arguments", "most", "code"),
    [
        (["--version"], 113, 0),
        (["publish", "--help"], 120, 0),
        (["put", "--help"], 127, 0),
        (["completion", "bash"], 129, 0),
        (["journal", "list"], 208, 0),
        (["daemon", "status"], 200, 3),
    ],
    ids=str,
)
def test_a_command_imports_what_it_shows(tmp_path: Path, arguments: list[str], most: int, code: int) -> None:
    env = environment(HOME=str(tmp_path), ROAR_STATE_DIR=str(tmp_path / "state"))
    assert len(modules(tmp_path, env, *arguments, code=code)) <= most


def test_a_publish_imports_what_it_sends_with(program: Program, registry: str) -> None:
    found = modules(program.cwd, program.env, "publish", "--public", "-y", "--registry", registry)
    assert UNUSED & found == set()
    assert len(found) <= 629


def test_only_a_receipt_needs_cryptography(program: Program, registry: str) -> None:
    arguments = ("publish", "--public", "-y", "--registry", registry)
    assert "cryptography" not in modules(program.cwd, program.env, *arguments, first=BEFORE_RECEIPT)
