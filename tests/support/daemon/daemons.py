"""Real daemons under test: whichever a test starts is found by its state folder, and never left behind."""

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from roar_publisher.state.lock import owner
from tests.support.cli.program import PATIENCE, Program


@contextmanager
def program_with_daemons(cwd: Path, folder: Path, **more: str) -> Iterator[Program]:
    """The program with a home and a state folder below `folder`; what it started ends with the test."""
    program = Program.within(cwd, folder, **more)
    try:
        yield program
    finally:
        for pid in daemons_of(program):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def pid_of(program: Program) -> int | None:
    """The daemon that has the lock."""
    return owner(program.state / "daemon.lock")


def daemons_of(program: Program) -> list[int]:
    """The processes that run as daemons of this state folder, with or without its lock; dead ones are none."""
    wanted = f"ROAR_STATE_DIR={program.state}".encode()
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            words = (process / "cmdline").read_bytes().split(b"\0")
            if words[3:6] == [b"roar_publisher", b"daemon", b"run"]:
                if wanted in (process / "environ").read_bytes().split(b"\0"):
                    found.append(int(process.name))
    return found


def until(condition: Callable[[], bool]) -> None:
    """Wait for what another process does; fails when it has not come about within `PATIENCE`."""
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, "it did not come about"
        time.sleep(0.01)
