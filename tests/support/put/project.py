"""A project that real roar-cli captured: two steps, one of them writing what is put, one file of three parts.

Its folder `outputs` has what uploads stumble over: a file of several parts, an empty one, a duplicate, a name beyond
ASCII, a folder. Its parts are smaller than a user's; an exhaustive run has the usual ones, in 200 MB of files.
"""

import os
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

from roar_publisher.storage.parts import MIB, SMALLEST_PART_BYTES
from tests.support.cli.roar_cli import run_roar_cli
from tests.support.processes import environment
from tests.support.recording import recordable_folder
from tests.support.sampling import EXHAUSTIVE
from tests.support.storage.servers import AWS

PART_BYTES = SMALLEST_PART_BYTES if EXHAUSTIVE else MIB
LARGE = (90_000_000, 70_000_000, 40_000_000) if EXHAUSTIVE else (2_250_000,)
"""Sizes in bytes of the files of several parts; none is a whole number of parts."""
TIMEOUT_SECONDS = 120

_COLLECT = """\
import random
with open("raw.bin", "wb") as raw:
    raw.write(random.Random("raw").randbytes(300_000))
"""
_TRAIN = f"""\
import os, random
with open("raw.bin", "rb") as raw:
    seed = raw.read()
os.makedirs("outputs/deeper", exist_ok=True)
def write(name, content):
    with open("outputs/" + name, "wb") as file:
        file.write(content)
for number, size in enumerate({LARGE}):
    write(f"large-{{number}}.bin", random.Random(seed + bytes([number])).randbytes(size))
for number in range(2):
    write(f"deeper/small-{{number}}.bin", random.Random(number).randbytes(1000 + number))
write("copy.bin", random.Random(0).randbytes(1000))
write("größe 测试.txt", b"a name beyond ASCII")
write("empty", b"")
"""


def capture() -> Path:
    """Let roar-cli run both steps in a new project, and return its root."""
    root = recordable_folder("put") / "captured"
    root.mkdir()
    (root / "collect.py").write_text(_COLLECT)
    (root / "train.py").write_text(_TRAIN)
    (root / ".gitignore").write_text(".roar/\nraw.bin\noutputs/\n")
    git(root, "init", "--quiet", "--initial-branch=main")
    commit(root, "the code")
    for arguments in (
        ("init", "-y"),
        ("tracer", "use", "ptrace"),
        ("config", "set", "filters.ignore_tmp_files", "false"),
        ("run", "python", "collect.py"),
        ("run", "python", "train.py"),
    ):
        roar_cli(root, *arguments)
    return root


def copied(template: Path, root: Path) -> Path:
    """Copy a captured project with the paths in its roar.db, and return its root."""
    shutil.copytree(template, root)
    with closing(sqlite3.connect(root / ".roar" / "roar.db")) as connection, connection:
        for table, column in (("job_outputs", "path"), ("job_inputs", "path"), ("artifacts", "first_seen_path")):
            connection.execute(f"UPDATE {table} SET {column} = replace({column}, ?, ?)", (str(template), str(root)))
    return root


def output_files(root: Path) -> dict[str, bytes]:
    """Return the files in `outputs`, by key."""
    outputs = root / "outputs"
    return {path.relative_to(outputs).as_posix(): path.read_bytes() for path in outputs.rglob("*") if path.is_file()}


def roar_cli(root: Path, *arguments: str, **more: str) -> str:
    """Run real roar-cli in a project, and return its stdout."""
    return run_roar_cli(*arguments, cwd=root, env=home_environment(root.parent, **more)).output()


def git(root: Path, *arguments: str) -> str:
    """Run git in a project without the machine's configuration, and return its stdout."""
    return _run(root, "git", *arguments)


def commit(root: Path, message: str) -> None:
    """Commit every file of the project."""
    git(root, "add", "-A")
    git(root, "commit", "--quiet", "--allow-empty", "-m", message)


def home_environment(home: Path, **more: str) -> dict[str, str]:
    """Return the environment of a user with a home, AWS credentials, and a name for git."""
    author = {f"GIT_{role}_{what}": "dev@example.org" for role in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    own = {"HOME": str(home), "PATH": path, "GIT_CONFIG_NOSYSTEM": "1", "DO_NOT_TRACK": "1", "COLUMNS": "200"}
    env = environment(**AWS, **author, **own)
    for name in ("SSH_AUTH_SOCK", "AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL", "AWS_REGION"):
        env.pop(name, None)
    return env | more


def _run(root: Path, *command: str, **more: str) -> str:
    done = subprocess.run(
        command,
        cwd=root,
        env=home_environment(root.parent, **more),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_SECONDS,
    )
    assert done.returncode == 0, f"{command}: {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout
