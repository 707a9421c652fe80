"""Run the program in processes that may kill themselves.

`python -m tests.support.put.forked_program` reads orders, one JSON text a line. Each order is a command line that a
fork of this process carries out as `roar` does, through its own `main`, so that a run costs no imports. The answer is
one JSON line.
"""

import json
import os
import signal
import sys
import traceback
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import roar_publisher.engine.worker
import roar_publisher.net.gate
import roar_publisher.net.retry
import roar_publisher.publishing.publish
import roar_publisher.storage.destinations
import roar_publisher.storage.http
import roar_publisher.storage.parts
from roar_publisher.__main__ import run
from roar_publisher.engine.run import Resources
from tests.support.imported import import_program
from tests.support.put.moments import Moments, count_moments
from tests.support.put.project import PART_BYTES


@dataclass(frozen=True, slots=True)
class ProgramRun:
    """One run of the program. folder: gets the files `out`, `err` and `passed`.

    kill_at: the kind of moment and its number; None runs to the end.
    short_waits: wait a fraction of the usual time after failures.
    """

    arguments: list[str]
    cwd: str
    env: dict[str, str]
    folder: str
    kill_at: tuple[str, int] | None = None
    short_waits: bool = False


@dataclass(frozen=True, slots=True)
class ProgramResult:
    """How a process ended. passed: how often a survivor passed each kind of moment; empty if it was killed."""

    killed: bool
    code: int
    out: str
    err: str
    passed: dict[str, int]


SHORT_REPLY_SECONDS, SHORT_PATIENCE_SECONDS, SHORT_PAUSE_SECONDS = 6.0, 1.5, 0.01
"""Shortened waits: for a store's answer, for an unreachable store, and between two attempts."""


def execute(order: ProgramRun) -> int:
    """Run the command line in this process, and return its exit code."""
    folder = Path(order.folder)
    os.environ.clear()
    os.environ.update(order.env)
    os.chdir(order.cwd)
    for descriptor, name in ((1, "out"), (2, "err")):
        os.dup2(os.open(folder / name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), descriptor)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    sys.argv = ["roar", *order.arguments]
    moments = Moments(order.kill_at)
    count_moments(moments)
    if order.short_waits:
        _shorten_waits()
    try:
        return run(order.arguments)
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        (folder / "passed").write_text(json.dumps(moments.passed))


def _shorten_waits() -> None:
    """Shorten the waits after failures; how failures are classified stays the same."""
    setattr(roar_publisher.net.retry, "backoff", lambda attempt, rng: SHORT_PAUSE_SECONDS)  # noqa: B010  it imports it
    roar_publisher.net.gate.FIRST_PROBE_SECONDS = SHORT_PAUSE_SECONDS
    for function, name, seconds in (
        (roar_publisher.storage.http.StoreConnection.__init__, "reply_seconds", SHORT_REPLY_SECONDS),
        (roar_publisher.storage.destinations.open_store, "patience", SHORT_PATIENCE_SECONDS),
    ):
        defaults = function.__kwdefaults__
        assert defaults is not None
        defaults[name] = seconds
    resources = partial(Resources, patience=SHORT_PATIENCE_SECONDS)
    for module in (roar_publisher.engine.worker, roar_publisher.publishing.publish):
        setattr(module, "Resources", resources)  # noqa: B010  a class there


def run_publish(order: ProgramRun) -> ProgramResult:
    """Fork, run the order in the child, and print how it ended."""
    folder = Path(order.folder)
    child = os.fork()
    if child == 0:
        code = 99
        try:
            code = execute(order)
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(code)
    _, status = os.waitpid(child, 0)
    killed = os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL
    passed = {} if killed else json.loads((folder / "passed").read_text())
    out, err = ((folder / name).read_text() for name in ("out", "err"))
    return ProgramResult(killed, os.waitstatus_to_exitcode(status), out, err, passed)


def main() -> None:
    import_program()
    roar_publisher.storage.parts.SMALLEST_PART_BYTES = PART_BYTES
    for line in sys.stdin:
        sys.stdout.write(json.dumps(asdict(run_publish(_order(json.loads(line))))) + "\n")
        sys.stdout.flush()


def _order(fields: dict[str, object]) -> ProgramRun:
    kill_at = fields["kill_at"]
    assert kill_at is None or isinstance(kill_at, list)
    return ProgramRun(**fields | {"kill_at": tuple(kill_at) if kill_at else None})  # type: ignore[arg-type]


if __name__ == "__main__":
    main()
