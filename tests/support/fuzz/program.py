"""The whole program in this process: its command line, files and output, with a network and a clock in memory."""

import io
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Mapping
from contextlib import ExitStack, chdir
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NoReturn, TypeVar
from unittest import mock

import httpx2
import trio
from trio.testing import MockClock

from roar_publisher.__main__ import run
from roar_publisher.net.route import Route
from tests.support.fuzz.wire import Network
from tests.support.virtual import without_threads

T = TypeVar("T")
TICK_SECONDS = 30.0
"""Virtual seconds between two looks of the display; there are hours of them."""
THREADS_SECONDS = 0.05
"""Real seconds of rest after which the clock jumps, where threads work: they are not seen."""
REGISTRY = "http://127.0.0.1:8123"
PASSED_ON = ("PATH", "LANG", "TMPDIR", "LD_LIBRARY_PATH")


@dataclass(frozen=True)
class Place:
    """Where a person works: a home, a project, and the state folder, all below one folder."""

    root: Path

    @property
    def home(self) -> Path:
        return self.root / "home"

    @property
    def project(self) -> Path:
        return self.root / "project"

    @property
    def state(self) -> Path:
        return self.root / "state"

    @property
    def publishes(self) -> list[str]:
        folder = self.state / "publishes"
        return sorted(os.listdir(folder)) if folder.is_dir() else []


@dataclass(frozen=True)
class Ended:
    """An exit code and all that was written, as bytes decode."""

    code: int
    out: str
    err: str


def roar(
    place: Place,
    network: Network,
    *arguments: str,
    environ: Mapping[str, str] | None = None,
    threads: bool = False,
) -> Ended:
    """Run one command line in the project's folder, without a terminal.

    threads: it works with threads, so the clock jumps only once all have been at rest for a moment.
    """
    out, err = (io.TextIOWrapper(io.BytesIO(), "utf-8", write_through=True) for _ in range(2))
    own = {"HOME": str(place.home), "ROAR_STATE_DIR": str(place.state), "COLUMNS": "100", "GLAAS_URL": REGISTRY}
    kept = {name: os.environ[name] for name in PASSED_ON if name in os.environ}

    def transport(route: Route, *, idle_seconds: float) -> httpx2.AsyncBaseTransport:
        return network.transport(route, idle_seconds)

    with ExitStack() as changed:
        changed.enter_context(mock.patch.dict(os.environ, kept | own | dict(environ or {}), clear=True))
        changed.enter_context(chdir(place.project))
        for name, stream in (("stdin", io.StringIO()), ("stdout", out), ("stderr", err)):
            changed.enter_context(mock.patch.object(sys, name, stream))
        changed.enter_context(mock.patch.object(Route, "transport", transport))
        changed.enter_context(mock.patch("roar_publisher.cli.failure.describe_defect", _defect))
        patience = THREADS_SECONDS if threads else 0
        changed.enter_context(mock.patch("anyio.run", partial(_in_virtual_time, patience)))
        changed.enter_context(without_threads())
        changed.enter_context(mock.patch("roar_publisher.cli.publish.signals.TICK_SECONDS", TICK_SECONDS))
        changed.callback(signal.signal, signal.SIGTERM, signal.getsignal(signal.SIGTERM))
        code = run(arguments)
        written = sys.stdout
        written.flush()
        return Ended(int(code), *(_text(stream) for stream in (written, err)))


def _in_virtual_time(patience: float, work: Callable[..., Awaitable[T]], *arguments: Any) -> T:
    return trio.run(work, *arguments, clock=MockClock(autojump_threshold=patience))


def _defect(error: BaseException) -> NoReturn:
    """Where the program would call an exception a defect of its own: the test fails with all of it."""
    raise AssertionError("a defect of the program") from error


def _text(stream: Any) -> str:
    content: bytes = stream.buffer.getvalue()
    return content.decode("utf-8")
