"""Puts a captured project (tests/data/projects) on disk as a user has it: a git clone, `.roar/` and output files."""

import atexit
import json
import shlex
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from tests.support.checkout import PROJECTS

NAMES = ("linear", "diamond")


def captured_project(name: str, folder: Path) -> Path:
    """Put the project `name` at `folder/name`, and return its root."""
    root = folder / name
    shutil.copytree(_project(name), root, symlinks=True)
    return root


@cache
def _project(name: str) -> Path:
    """Clone a project once in a process: a copy costs a fraction of a clone."""
    folder = TemporaryDirectory(prefix="roar-captured-")
    atexit.register(folder.cleanup)
    source, root = PROJECTS / name, Path(folder.name) / name
    git("clone", "--quiet", "--template=", str(source / "repo.bundle"), str(root), cwd=root.parent)
    (root / ".git" / "info").mkdir()  # the one folder of git's template that tests use
    git("remote", "set-url", "origin", f"https://github.com/acme/{name}.git", cwd=root)
    shutil.copytree(source / "roar", root / ".roar")
    return root


def run_again(root: Path) -> None:
    """Give a captured project the output files that its commands make."""
    for name, content in _outputs(root.name).items():
        (root / name).write_bytes(content)


@cache
def _outputs(project: str) -> dict[str, bytes]:
    """Run the commands of a project once in a process. Return what they write, by path."""
    with TemporaryDirectory(prefix="roar-outputs-") as folder:
        root = captured_project(project, Path(folder))
        with closing(sqlite3.connect(f"file:{root / '.roar' / 'roar.db'}?mode=ro", uri=True)) as connection:
            commands = [row[0] for row in connection.execute("SELECT command FROM jobs ORDER BY id")]
        before = set(root.rglob("*"))
        for command in commands:
            subprocess.run([sys.executable, *shlex.split(command)[1:]], cwd=root, check=True)
        made = set(root.rglob("*")) - before
        return {str(path.relative_to(root)): path.read_bytes() for path in made}


def recordings() -> list[tuple[str, str]]:
    """Return every (project, recording)."""
    return [(name, path.stem) for name in NAMES for path in sorted((PROJECTS / name / "expected").glob("*.json"))]


def recorded(name: str, recording: str) -> dict[str, Any]:
    """Return one recording: what roar-cli sent for one target."""
    return json.loads((PROJECTS / name / "expected" / f"{recording}.json").read_text())  # type: ignore[no-any-return]


def git(*arguments: str, cwd: Path) -> None:
    """Run git without the machine's configuration."""
    environ = {
        "PATH": "/usr/local/bin:/usr/bin:/bin",
        "HOME": str(cwd),
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_AUTHOR_NAME": "dev",
        "GIT_AUTHOR_EMAIL": "dev@example.org",
        "GIT_COMMITTER_NAME": "dev",
        "GIT_COMMITTER_EMAIL": "dev@example.org",
    }
    subprocess.run(["git", *arguments], cwd=cwd, env=environ, check=True, capture_output=True)
