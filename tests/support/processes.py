"""Helper processes of tests: started with this interpreter on this checkout, and never left behind."""

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from tests.support.checkout import CHECKOUT


def environment(**more: str) -> dict[str, str]:
    """This process's environment, with the packages importable and no settings of a person's own.

    Programs keep their bytecode, because compiling takes longer than most of them run.
    """
    dropped = ("ROAR_", "GLAAS_", "XDG_", "PYTHONDONTWRITEBYTECODE")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(dropped)}
    return kept | {"PYTHONPATH": str(CHECKOUT)} | more


@contextmanager
def running(*arguments: str, env: Mapping[str, str] | None = None) -> Iterator[subprocess.Popen[str]]:
    """A Python process with pipes for its input and output, killed on leaving if it still runs."""
    process = subprocess.Popen(
        [sys.executable, *arguments],
        env=environment() if env is None else env,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        try:
            yield process
        finally:
            process.kill()


def line_of(process: subprocess.Popen[str]) -> str:
    """The next line that the process prints; empty when it ended."""
    assert process.stdout is not None
    return process.stdout.readline().strip()
