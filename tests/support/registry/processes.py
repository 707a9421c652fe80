"""A registry as a process of its own, on loopback."""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.support.checkout import CHECKOUT
from tests.support.cli import program as cli_program

PROGRAM = """
import sys
from pathlib import Path
from roar_publisher.registry.server.serve import serve

serve(sys.argv[1], 0, Path(sys.argv[2]), lambda url: print(url, flush=True))
print("stopped", flush=True)
"""
PATIENCE = 120
"""Seconds after which a process that should have ended counts as stuck."""


@dataclass
class Process:
    """A running registry. Its first line was its URL."""

    url: str
    popen: subprocess.Popen[str]

    def kill(self) -> None:
        """SIGKILL: no time for a last word."""
        self.popen.kill()
        self.popen.wait(PATIENCE)

    def stop(self, number: signal.Signals = signal.SIGTERM) -> tuple[int, str, str]:
        """The exit status, and what it still wrote to stdout and stderr."""
        self.popen.send_signal(number)
        out, err = self.popen.communicate(timeout=PATIENCE)
        return self.popen.returncode, out, err


@contextlib.contextmanager
def served(data: Path) -> Iterator[str]:
    """Run a registry over `data` beside the test, for tests that need nothing but its URL, and yield that."""
    with cli_program.serving("registry", "serve", "--data", str(data)) as line:
        yield line.split()[-1]


@contextlib.contextmanager
def serving(data: Path, *, host: str = "127.0.0.1", program: str = PROGRAM) -> Iterator[Process]:
    """Run a registry over `data` in a new process for the duration of the block, and kill it afterwards."""
    popen = subprocess.Popen(
        [sys.executable, "-c", program, host, str(data)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=CHECKOUT,
        env={**os.environ, "PYTHONPATH": str(CHECKOUT)},
    )
    with popen:
        try:
            assert popen.stdout is not None
            url = popen.stdout.readline().strip()
            if not url.startswith(("http://", "https://")):
                _, err = popen.communicate(timeout=PATIENCE)
                raise AssertionError(f"the registry did not start: {err}")
            yield Process(url, popen)
        finally:
            if popen.poll() is None:
                popen.kill()
