"""Releases of roar-cli, each in an environment of its own, with a project that the same release captured.

The release that the tests are installed with is used as it is. The others are installed from the package index on
first use, below `ROAR_TEST_RELEASES` where that is set (so that they are installed once), else in a temporary folder.
"""

import os
import shutil
import sqlite3
import subprocess
import sys
import time
import venv
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from pathlib import Path

from roar_publisher.registry.accounts import grants, public_keys
from roar_publisher.registry.accounts.signin_file import sign_in_document, write_new
from roar_publisher.registry.store import keys
from roar_publisher.registry.store import users as accounts
from roar_publisher.registry.store.users import Accounts
from tests.support.cli.roar_cli import run_roar_cli
from tests.support.put.project import git, home_environment
from tests.support.recording import recordable_folder

INSTALLED = version("roar-cli")
"""The release that is installed beside the tests."""
RELEASES = ("0.2.11", "0.3.0", "0.3.6", "0.3.7", "0.4.0", "0.4.3", "0.4.6", INSTALLED)
"""The first and the last release of each way in which roar-cli speaks to a registry."""
SIGN_IN_SINCE = "0.3.0"
"""The first release that knows bearers, visibility and `logout`."""
TIMEOUT_SECONDS = 300
"""Longer than any command here takes on a busy machine; past it the test fails."""

_DATASET = tuple(f"tables/train/date=2024-01-0{day}/part-0000{day}.parquet" for day in (1, 2, 3))
"""Files in a layout that every release takes for a dataset."""
_STEPS = {
    "collect.py": "open('raw.bin', 'wb').write(b'raw' * 1000)\n",
    "train.py": "open('model.bin', 'wb').write(open('raw.bin', 'rb').read()[:999])\n",
}


@dataclass(frozen=True, slots=True)
class Finished:
    """A command that ended.  output: stdout and stderr."""

    status: int
    output: str


@dataclass
class Desk:
    """A person's home and project, at one release of roar-cli.

    registry, store: addresses of the registry and of an S3 endpoint.
    """

    release: str
    home: Path
    registry: str
    store: str

    @property
    def project(self) -> Path:
        """The root of the project."""
        return self.home / "project"

    @property
    def sign_in_file(self) -> Path:
        """Where roar keeps its sign-in."""
        return self.home / "config" / "roar" / "auth.json"

    def environment(self) -> dict[str, str]:
        """What the person's commands see."""
        return _environment(
            self.home,
            GLAAS_URL=self.registry,
            ROAR_GLAAS__URL=self.registry,
            GLAAS_API_URL=self.registry,
            AWS_ENDPOINT_URL=self.store,
        )

    def roar(self, *arguments: str) -> Finished:
        """Run this release of roar-cli."""
        return run_release(self.project, self.environment(), self.release, *arguments)

    def started(self, *arguments: str) -> subprocess.Popen[str]:
        """Start this release of roar-cli; the caller waits for it."""
        return subprocess.Popen(
            [str(python_of(self.release)), "-P", "-m", "roar", *arguments],
            cwd=self.project,
            env=self.environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )


def desk_of(release: str, home: Path, registry: str, store: str = "http://127.0.0.1:9") -> Desk:
    """A new home with a copy of the project that this release captured."""
    home.mkdir(parents=True)
    desk = Desk(release, home, registry, store)
    template = captured(release)
    shutil.copytree(template, desk.project)
    with closing(sqlite3.connect(desk.project / ".roar" / "roar.db")) as connection, connection:
        for table, column in (("job_outputs", "path"), ("job_inputs", "path"), ("artifacts", "first_seen_path")):
            connection.execute(
                f"UPDATE {table} SET {column} = replace({column}, ?, ?)", (str(template), str(desk.project))
            )
    return desk


def give_key(desk: Desk, data: Path, user: str) -> None:
    """An SSH key in the home, that the registry over `data` knows as this user's."""
    path = desk.home / ".ssh" / "id_ed25519"
    path.parent.mkdir(mode=0o700)
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", path], check=True, timeout=TIMEOUT_SECONDS)
    with closing(Accounts.open(data)) as store:
        store.write(keys.add_key, user, public_keys.parse_key(path.with_suffix(".pub").read_text()))


def sign_in(desk: Desk, data: Path, user: str) -> str:
    """roar's own sign-in in the home; returns the access token."""
    with closing(Accounts.open(data)) as store:
        known, tokens = store.write(grants.issue, user, now=time.time())
    write_new(desk.sign_in_file, sign_in_document(known, tokens, issuer=desk.registry))
    return tokens.access_token


def add_user(data: Path, name: str) -> None:
    """A person whom the registry over `data` knows."""
    with closing(Accounts.open(data)) as store:
        store.write(accounts.add_user, name, email=f"{name}@example.org")


def git_commit(project: Path, message: str) -> None:
    """A new, empty commit: what is published after it is another lineage."""
    git(project, "commit", "--quiet", "--allow-empty", "-m", message)


@cache
def captured(release: str) -> Path:
    """A project of two steps that this release has recorded; it is not to be written to."""
    root = recordable_folder("captured") / "project"
    root.mkdir()
    for name, text in [*_STEPS.items(), *((name, name) for name in _DATASET)]:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    (root / ".gitignore").write_text(".roar/\n*.bin\n")
    git(root, "init", "--quiet", "--initial-branch=main")
    git(root, "add", "-A")
    git(root, "commit", "--quiet", "-m", "the code")
    git(root, "remote", "add", "origin", "https://github.com/acme/releases.git")
    python = str(python_of(release))
    for arguments in (
        ("init", "-y"),
        ("config", "set", "tracer.default", "ptrace"),
        ("config", "set", "filters.ignore_tmp_files", "false"),
        *(("run", python, script) for script in _STEPS),
    ):
        done = run_release(root, _environment(root.parent), release, *arguments)
        assert done.status == 0, (release, arguments, done.output)
    # There is nowhere to push a tag to. Releases that push none do not know the setting.
    without_tags = ("config", "set", "registration.tagging.enabled", "false")
    run_release(root, _environment(root.parent), release, *without_tags)
    return root


@cache
def python_of(release: str) -> Path:
    """The interpreter that runs a release of roar-cli."""
    if release == INSTALLED:
        return Path(sys.executable)
    kept = os.environ.get("ROAR_TEST_RELEASES")
    folder = (Path(kept) if kept else recordable_folder("releases")) / release
    python = folder / "bin" / "python"
    if not (folder / "bin" / "roar").exists():
        venv.create(folder, with_pip=True)
        install = [str(python), "-m", "pip", "install", "--quiet", f"roar-cli=={release}", "boto3"]
        subprocess.run(install, check=True, timeout=2 * TIMEOUT_SECONDS)
    return python


def run_release(folder: Path, environment: Mapping[str, str], release: str, *arguments: str) -> Finished:
    """Run a release of roar-cli in a folder."""
    if release == INSTALLED:
        done = run_roar_cli(*arguments, cwd=folder, env=environment)
        return Finished(done.code, done.out + done.err)
    return _run(folder, environment, str(python_of(release)), "-P", "-m", "roar", *arguments)


def _environment(home: Path, **more: str) -> dict[str, str]:
    own = {"XDG_CONFIG_HOME": str(home / "config"), "XDG_STATE_HOME": str(home / "state"), "PYTHONPATH": ""}
    return home_environment(home, **own, **more)


def _run(folder: Path, environment: Mapping[str, str], *command: str) -> Finished:
    done = subprocess.run(
        command,
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=TIMEOUT_SECONDS,
    )
    return Finished(done.returncode, done.stdout)
