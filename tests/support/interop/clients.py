"""Real programs side by side: roar-cli, ours, and the registry that we ship, each in a process of its own."""

import json
import subprocess
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.support.cli.program import Program, serving
from tests.support.cli.roar_cli import run_roar_cli
from tests.support.lineage.captured import captured_project, recorded, run_again
from tests.support.processes import environment

TIMEOUT_SECONDS = 120
"""Longer than any program here takes on a busy machine; past it the test fails."""


class Workplace:
    """A captured project and a home of its own, where either client publishes from."""

    def __init__(self, folder: Path, name: str) -> None:
        folder.mkdir()
        self.root = captured_project(name, folder)
        # roar-cli and ours both look for the output files of a path target.
        run_again(self.root)
        self._home = folder
        self._environ = environment(HOME=str(folder), DO_NOT_TRACK="1")

    def roar_cli(self, registry: str, *arguments: str) -> str:
        """Run real roar-cli; what it wrote."""
        return run_roar_cli(*arguments, cwd=self.root, env=self._environ | {"GLAAS_URL": registry}).output()

    def ours(self, registry: str, *arguments: str) -> str:
        """Run this project's program; what it wrote on stdout."""
        program = Program(self.root, self._home / "state", self._environ | {"GLAAS_URL": registry})
        done = program(*arguments)
        assert done.code == 0, f"{arguments}: {done.code}\n{done.out}\n{done.err}"
        return done.out

    def make_ssh_key(self) -> None:
        """Give the home an SSH key, which makes roar-cli assume that a person can sign in."""
        ssh = self._home / ".ssh"
        ssh.mkdir(mode=0o700)
        command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(ssh / "id_ed25519")]
        subprocess.run(command, check=True, stdin=subprocess.DEVNULL, timeout=TIMEOUT_SECONDS)

    def publish_by_roar_cli(self, registry: str, target: list[str]) -> None:
        """`roar register`, as users have it today."""
        self.roar_cli(registry, "register", "--public", "-y", *target)

    def publish_by_ours(self, registry: str, target: list[str]) -> dict[str, Any]:
        """`roar publish`; its `published` event."""
        lines = self.ours(registry, "publish", "--public", "-y", "--json", *target).splitlines()
        event: dict[str, Any] = json.loads(lines[-1])
        assert event["event"] == "published"
        return event


def target_of(name: str, recording: str) -> list[str]:
    """The target argument of a recorded command, if it had one."""
    last: str = recorded(name, recording)["command"][-1]
    return [] if last.startswith("-") else [last]


@contextmanager
def running_registry(data: Path) -> Iterator[str]:
    """`roar registry serve` on a free port; gives its address."""
    with serving("registry", "serve", "--port", "0", "--data", str(data)) as line:
        address = line.split()[-1]
        assert address.startswith("http://127.0.0.1:")
        yield address


def published(registry: str, lineage_hash: str) -> dict[str, Any]:
    """The lineage as its readers get it, without what differs from publish to publish: the time and the address."""
    with urllib.request.urlopen(f"{registry}/api/v1/sessions/{lineage_hash}") as reply:
        lineage: dict[str, Any] = json.load(reply)
    del lineage["published_at"], lineage["url"]
    return lineage


def lineages(registry: str) -> int:
    """How many lineages the registry lists."""
    with urllib.request.urlopen(f"{registry}/") as reply:
        page: str = reply.read().decode()
    return page.count('href="/dag/')
