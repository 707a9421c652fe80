"""A registry as the command line runs it, that a test kills and starts again at the same address."""

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from tests.support.checkout import CHECKOUT
from tests.support.ports import reserved_port

PATIENCE = 120
"""Seconds after which a process that should have ended or answered counts as stuck. Draining may take 31 of them."""


@dataclass
class MortalRegistry:
    """`roar registry serve` over `data`, with more `options`."""

    data: Path
    options: Sequence[str] = ()
    port: int = field(default_factory=reserved_port)
    program: Sequence[str] = ("-m", "roar_publisher")
    """What Python runs in place of the command line."""
    _left: set[int] = field(default_factory=set)
    """Workers whose supervisor has been killed."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start it, also after a kill."""
        arguments = ["registry", "serve", "--port", str(self.port), "--data", str(self.data), *self.options]
        self._popen = subprocess.Popen(
            [sys.executable, *self.program, *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(CHECKOUT)},
        )
        assert self._popen.stdout is not None
        line = self._popen.stdout.readline().strip()
        assert line == self.url, self._popen.communicate(timeout=PATIENCE)

    @property
    def workers(self) -> list[int]:
        """The ids of its workers."""
        with suppress(FileNotFoundError):
            pid = self._popen.pid
            return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
        return []

    @property
    def serving(self) -> list[int]:
        """The ids of the processes that serve."""
        return self.workers or [self._popen.pid]

    def kill(self) -> None:
        """SIGKILL for all its processes."""
        workers = self._left | {*self.workers}
        self._popen.kill()
        for pid in workers:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self._left.clear()
        self._popen.communicate(timeout=PATIENCE)  # until no worker holds the pipes

    def kill_supervisor(self) -> str:
        """SIGKILL for the process that was started. Return what its workers still wrote until they ended."""
        self._left = {*self.workers}
        self._popen.kill()
        _, err = self._popen.communicate(timeout=PATIENCE)
        self._left.clear()
        return err

    def stop(self, number: signal.Signals = signal.SIGTERM) -> tuple[int, str]:
        """Stop it. Return its exit status and what it wrote to stderr."""
        self._popen.send_signal(number)
        return self.ended()

    def ended(self) -> tuple[int, str]:
        """Wait for its end. Return its exit status and what it wrote to stderr."""
        _, err = self._popen.communicate(timeout=PATIENCE)
        return self._popen.returncode, err

    def signal(self, number: signal.Signals) -> None:
        """Send a signal, and do not wait."""
        self._popen.send_signal(number)
