"""Modules of the user's project never shadow what our commands import, whatever they are named."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.checkout import CHECKOUT
from tests.support.cli.program import Program
from tests.support.lineage.captured import captured_project

THIRD_PARTY = (
    "anyio asyncssh blake3 botocore click cryptography google httpcore2 httpx2 idna pydantic pydantic_core rich "
    "sniffio sqlite_utils starlette transitions uvicorn numpy pandas"
).split()
OURS = "state publisher registry daemon config utils data models tests roar".split()
COMMANDS = [
    ["--help"],
    ["--version"],
    ["publish", "--dry-run", "--public"],
    ["publish", "--public", "-y"],
    ["put", "train.py", "s3://bucket/x", "-m", "x", "--dry-run", "--public"],
    ["journal", "list"],
    ["daemon", "status"],
    ["registry", "user", "add", "alice", "--data", "registry"],
    ["completion", "bash"],
    ["log"],
]


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a module under every name that a fresh interpreter has not imported yet; each ends the process."""
    folder = tmp_path_factory.mktemp("hostile")
    loaded = subprocess.run(
        [sys.executable, "-c", "import re, runpy, sys; print(*sys.modules)"], capture_output=True, text=True, check=True
    ).stdout.split()
    real = {name for name in sys.stdlib_module_names if importlib.util.find_spec(name)}
    for name in {*real, *THIRD_PARTY, *OURS} - {part.split(".")[0] for part in loaded}:
        (folder / f"{name}.py").write_text("raise SystemExit(f'{__name__} was shadowed')\n")
    return folder


@pytest.fixture
def shadowed(tmp_path: Path, hostile: Path, registry: str) -> Program:
    """The program in a project that has all of these modules, with `PYTHONPATH=.`."""
    project = captured_project("linear", tmp_path)
    for module in hostile.iterdir():
        (project / module.name).symlink_to(module)
    (project / ".git" / "info" / "exclude").write_text("*.py\n")  # a put wants a clean work tree
    return Program.within(project, tmp_path, PYTHONPATH=f"{CHECKOUT / 'src'}{os.pathsep}.", GLAAS_URL=registry)


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_a_command_imports_nothing_from_the_project(shadowed: Program, command: list[str]) -> None:
    done = shadowed(*command)

    assert "shadowed" not in done.out + done.err
    assert "defect" not in done.err
    assert done.code == (0 if command != ["daemon", "status"] else 3), done.err


def test_the_daemon_imports_nothing_from_the_project(shadowed: Program) -> None:
    started = shadowed("daemon", "start")
    stopped = shadowed("daemon", "stop")

    assert (started.code, stopped.code) == (0, 0), started.err + stopped.err
