"""The program as a person runs it: a process in a project's folder, with a home and a state folder of its own."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from roar_publisher.publishing.emitting import WORKING
from roar_publisher.state.reasons import Reason
from tests.support.fork_server import Order, server_for
from tests.support.processes import environment, line_of, running

PATIENCE = 120
"""Seconds after which a process that should have ended counts as stuck."""


@dataclass(frozen=True)
class Ended:
    """What a process left: its exit code and what it wrote."""

    code: int
    out: str
    err: str

    @property
    def events(self) -> list[dict[str, Any]]:
        """The objects on stdout; every line is one."""
        return [json.loads(line) for line in self.out.splitlines()]

    @property
    def last(self) -> dict[str, Any]:
        """The last object on stdout."""
        return self.events[-1]

    def output(self, code: int = 0) -> str:
        """Return what it wrote to stdout, and assert its exit code."""
        assert self.code == code, f"exit code {self.code}\n{self.out}\n{self.err}"
        return self.out

    def blames(self, code: int, *words: str) -> None:
        """Assert that it failed with one clear message: this code, these words, and no traceback."""
        assert self.code == code, f"exit code {self.code}\n{self.out}\n{self.err}"
        text = " ".join(self.err.split()).lower()
        assert text.count("error: ") == 1, self.err
        assert "Traceback" not in self.err
        assert "defect" not in self.err
        for word in words:
            assert word.lower() in text, f"{word!r} is not in: {self.err}"


@dataclass(frozen=True)
class Program:
    """`python -m roar_publisher` in the folder `cwd`."""

    cwd: Path
    state: Path
    env: dict[str, str]

    @classmethod
    def within(cls, cwd: Path, folder: Path, **more: str) -> "Program":
        """A program for the project in `cwd`; `folder` gets its home and its state."""
        home, state = folder / "home", folder / "state"
        home.mkdir(exist_ok=True)
        env = environment(HOME=str(home), ROAR_STATE_DIR=str(state), COLUMNS="100", **more)
        return cls(cwd, state, {name: value for name, value in env.items() if name != "SSH_AUTH_SOCK"})

    def __call__(self, *arguments: str, before: Callable[[], None] | None = None) -> Ended:
        """Run it to its end, without a terminal.

        before: called in the new process first. Without it, a fork of a process that has imported the program does.
        """
        return run(Order("roar_publisher", arguments, str(self.cwd), self.env), before=before)

    @contextmanager
    def started(self, *arguments: str) -> Iterator[subprocess.Popen[str]]:
        """Start it, for tests that meddle while it runs; killed on leaving if it still does."""
        with _process(Order("roar_publisher", arguments, str(self.cwd), self.env)) as popen:
            try:
                yield popen
            finally:
                popen.kill()

    @property
    def publishes(self) -> list[str]:
        """The ids of the publishes in the state folder."""
        folder = self.state / "publishes"
        return sorted(os.listdir(folder)) if folder.is_dir() else []


def run(
    order: Order, *, before: Callable[[], None] | None = None, kill_after: Callable[[], object] | None = None
) -> Ended:
    """Run a command line to its end, without a terminal.

    before: called in the new process first. Without it, a fork of a process that has imported the program does.
    kill_after: returns when the run is to be killed.
    """
    server = server_for(order) if before is None else None
    if server is not None:
        return Ended(*server.run(order, PATIENCE, kill_after))
    with _process(order, before) as popen:
        try:
            if kill_after is not None:
                kill_after()
                popen.kill()
            return ended(popen)
        finally:
            popen.kill()


def _process(order: Order, before: Callable[[], None] | None = None) -> subprocess.Popen[str]:
    """Start a command line in a new process, which calls `before` first."""
    safely = ["-P"] if order.program == "roar" else []  # a project may have a folder of that name
    return subprocess.Popen(
        [sys.executable, *safely, "-m", order.program, *order.arguments],
        cwd=order.cwd,
        env=order.env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=before,
    )


def read_until_it_waits(popen: subprocess.Popen[str], reason: Reason) -> None:
    """Read the events of a started publish until it waits, which has to be for this reason.

    A publish that says nothing else for a while says that it works: on a busy machine, also before it waits.
    """
    assert popen.stdout is not None
    waits = (event for event in map(json.loads, popen.stdout) if event["event"] == "waiting")
    found = next((event for event in waits if event["reason"] != WORKING), None)
    assert found is not None, popen.communicate(timeout=PATIENCE)
    assert found["reason"] == reason


@contextmanager
def serving(*arguments: str) -> Iterator[str]:
    """Run the program beside the test. Yield the first line that it prints; kill it on leaving."""
    order = Order("roar_publisher", arguments, os.getcwd(), environment())
    server = server_for(order)
    if server is not None:
        with server.started(order) as line:
            yield line
    else:
        with running("-m", "roar_publisher", *arguments) as process:
            yield line_of(process)


def ended(popen: subprocess.Popen[str]) -> Ended:
    """Wait for a started program."""
    out, err = popen.communicate(timeout=PATIENCE)
    return Ended(popen.returncode, out, err)
