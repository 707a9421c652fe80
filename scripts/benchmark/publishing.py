"""Runs clients that publish the same synthetic project, each to a fresh registry."""

import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from itertools import count
from pathlib import Path

from benchmark.measure import Cost, fresh_copy, registry, run
from benchmark.person import give_key

LINKS_PER_JOB = 10
DELAYS = (0.0, 0.05)
"""Seconds that a request takes longer than the server needs for it."""

WITHOUT_TRIO = "import sys; sys.modules['trio'] = None; "
"""Only the tests need trio, but HTTP clients load it where it is installed: users have no such modules."""
PROGRAM = (sys.executable, "-c", WITHOUT_TRIO + "from roar_publisher.__main__ import main; main()")
BARE_LOOP = (
    sys.executable,
    "-c",
    WITHOUT_TRIO + "import anyio; from benchmark.bare import main; anyio.run(main, *sys.argv[1:])",
)
PUBLISH = (*PROGRAM, "publish", "--public", "-y", "-q")
ANONYMOUS = (*PROGRAM, "publish", "--anonymous", "-y", "-q")
ROAR_CLI = (sys.executable, "-m", "roar", "register", "--public", "-y")


class Bench:
    """One session of measuring, in a folder that is thrown away."""

    def __init__(self, folder: Path, say: Callable[[str], None]) -> None:
        self.folder = folder
        self.say = say
        self._runs = count(1)

    def project(self, jobs: int) -> Path:
        """A project of so many jobs.

        Made by a process of its own: the memory of this one would count as that of its children.
        """
        project = self.folder / f"project-{jobs}"
        if not project.exists():
            self.say(f"making a project of {jobs:,} jobs")
            command = [sys.executable, "-m", "tests.support.synthetic", str(project)]
            subprocess.run(
                [*command, "--jobs", str(jobs), "--links", str(LINKS_PER_JOB)], check=True, capture_output=True
            )
        return project

    def recording(self, jobs: int) -> Path:
        """The requests of a publish of such a project, as `benchmark.server` writes them."""
        recording = self.folder / f"recording-{jobs}"
        if not recording.exists():
            self.output(PUBLISH, jobs, 0.0, record=recording)
        return recording

    def fresh(self, jobs: int) -> AbstractContextManager[tuple[Path, dict[str, str]]]:
        """A copy of the project, and the environment to publish it in."""
        return fresh_copy(self.project(jobs), self.next_folder())

    def next_folder(self) -> Path:
        """The path of a folder that no other run has."""
        return self.folder / f"run-{next(self._runs)}"

    def client(self, command: Sequence[str], jobs: int, delay: float, *, signed: bool = False) -> Cost:
        """What it costs to run `command` on a project of so many jobs. Raises `Failed`."""
        return self.output(command, jobs, delay, signed=signed)[0]

    def small_requests(self, command: Sequence[str], jobs: int, delay: float) -> Cost:
        """The same, where the registry takes no large requests."""
        return self.output(command, jobs, delay, small_requests=True)[0]

    def output(
        self,
        command: Sequence[str],
        jobs: int,
        delay: float,
        *,
        record: Path | None = None,
        signed: bool = False,
        small_requests: bool = False,
    ) -> tuple[Cost, str]:
        """The same, with what the command wrote."""
        name = "the bare loop" if command[:3] == BARE_LOOP else " ".join(command[2 if command[1] == "-m" else 3 :][:2])
        self.say(f"{name}, {setting(jobs, delay)}")
        with self.fresh(jobs) as (cwd, environ):
            folder = cwd.parent
            if signed:
                give_key(folder, folder / "data")
            with registry(folder / "data", delay=delay, record=record, small_requests=small_requests) as url:
                filled = [part.replace("{url}", url) for part in command]
                return run(filled, cwd=cwd, environ=environ | {"GLAAS_URL": url})

    def forget(self, jobs: int) -> None:
        """Remove a project that is not needed any more: large ones fill a disk in memory."""
        shutil.rmtree(self.folder / f"project-{jobs}", ignore_errors=True)

    def in_turn(
        self, commands: Mapping[str, Sequence[str]], jobs: int, delay: float, runs: int
    ) -> dict[str, list[Cost]]:
        """The costs of several commands that run one after the other, `runs` times."""
        costs: dict[str, list[Cost]] = {name: [] for name in commands}
        for _ in range(runs):
            for name, command in commands.items():
                costs[name].append(self.client(command, jobs, delay))
        return costs

    def signing(self, jobs: int, delay: float, runs: int) -> tuple[list[Cost], list[Cost]]:
        """The costs of an anonymous publish and of one that is signed by an SSH key, in turn."""
        anonymous, signed = [], []
        for _ in range(runs):
            anonymous.append(self.client(ANONYMOUS, jobs, delay))
            signed.append(self.client(PUBLISH, jobs, delay, signed=True))
        return anonymous, signed

    def bare_loop(self, jobs: int) -> tuple[str, ...]:
        """The command of the bare client loop."""
        return (*BARE_LOOP, "{url}", str(self.recording(jobs)))


def setting(jobs: int, delay: float) -> str:
    """The size of a project and the delay, as figures name them."""
    return f"{jobs:,} jobs, {delay * 1000:.0f} ms a request"
