"""Trainings and daemons in forks of the test, which may kill themselves at one of their moments.

A moment is an access to a file or the network: what Python's audit hooks report.
"""

import json
import logging
import os
import signal
import sqlite3
import sys
import traceback
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from roar_publisher import CheckpointPublisher
from roar_publisher.checkpoints.feeder import CheckpointFeeder
from roar_publisher.daemon.dependencies import Dependencies
from roar_publisher.daemon.process import run_daemon
from roar_publisher.state.paths import StateFolder

Make = Callable[..., CheckpointPublisher]
"""Makes publishers of one series."""
MOMENTS = frozenset(
    "open os.link os.listdir os.mkdir os.remove os.rename os.rmdir os.scandir os.symlink os.truncate os.utime"
    " shutil.copyfile shutil.rmtree socket.connect sqlite3.connect".split()
)


def in_fork(function: Callable[[], object], *, dies_at: int | None = None) -> int | None:
    """Run a function in a fork. Return how many moments it passed, or None if it killed itself."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            passed = _count(dies_at)
            function()
            os.write(writer, str(len(passed)).encode())
            os._exit(0)
        except BaseException:
            traceback.print_exc()
            os._exit(1)
    os.close(writer)
    with open(reader) as answer:
        text = answer.read()
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        assert os.WTERMSIG(status) == signal.SIGKILL
        return None
    assert os.WEXITSTATUS(status) == 0
    return int(text)


def drain(state: Path) -> None:
    """Publish everything that is due, as `roar daemon run --drain`. Call it in a fork."""
    folder = StateFolder(state)
    log = logging.getLogger("daemon under test")
    run_daemon(folder, log=log, dependencies=Dependencies(feeder=CheckpointFeeder(folder, log=log)), drain=True)


def outputs_of(roar_db: Path, script: str) -> list[str]:
    """Return the names of the files that the runs of a script wrote, as roar recorded them."""
    with closing(sqlite3.connect(roar_db)) as connection:
        rows = connection.execute(
            "SELECT o.path FROM jobs j JOIN job_outputs o ON o.job_id = j.id WHERE j.command LIKE ? ORDER BY o.path",
            (f"%{script}%",),
        )
        return [os.path.basename(row[0]) for row in rows]


def links_of(roar_db: Path) -> list[tuple[str, list[str]]]:
    """Return the puts of a roar.db: the commit, and the paths of the inputs."""
    with closing(sqlite3.connect(roar_db)) as connection:
        jobs = connection.execute("SELECT id, metadata FROM jobs WHERE job_type = 'put' ORDER BY id").fetchall()
        return [
            (
                json.loads(metadata)["put"]["git_commit"],
                sorted(row[0] for row in connection.execute("SELECT path FROM job_inputs WHERE job_id = ?", (job,))),
            )
            for job, metadata in jobs
        ]


def _count(dies_at: int | None) -> list[str]:
    passed: list[str] = []

    def count(event: str, arguments: tuple[object, ...]) -> None:
        if event in MOMENTS:
            passed.append(event)
            if len(passed) == dies_at:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(count)
    return passed
