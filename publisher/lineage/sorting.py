"""Sorting more than memory should hold: sorted runs in temporary files, merged at the end."""

import heapq
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from typing import IO, Self

from state.errors import LocalProblem

RUN_CHARACTERS = 16 * 1024 * 1024
"""How much text is sorted in memory before it is written out as a run."""

Key = tuple[int, int, str]


class ExternalSort:
    """Takes keys in any order and gives them back sorted.  The texts in them are single lines of ASCII.

    Small amounts never touch the disk.  Raises LocalProblem where the temporary folder is full.  Use as a context
    manager: leaving it removes the files.
    """

    def __init__(self) -> None:
        self._keys: list[Key] = []
        self._characters = 0
        self._runs: list[IO[str]] = []
        self._files = ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self._files.close()

    def add(self, key: Key) -> None:
        """Take one key."""
        self._keys.append(key)
        self._characters += len(key[2])
        if self._characters >= RUN_CHARACTERS:
            self._write_run()

    def sorted(self) -> Iterator[Key]:
        """All keys in order, once."""
        self._keys.sort()
        return heapq.merge(*(_read_run(run) for run in self._runs), self._keys)

    def _write_run(self) -> None:
        self._keys.sort()
        try:
            run = self._files.enter_context(tempfile.TemporaryFile("w+", encoding="ascii", newline="\n"))
            run.writelines(f"{known} {step} {text}\n" for known, step, text in self._keys)
            run.seek(0)
        except OSError as error:
            raise LocalProblem(
                f"The lineage can't be sorted in {tempfile.gettempdir()}: {error.strerror}.",
                next_step="Free some disk, or set TMPDIR to a folder with room.",
                reason="disk full",
            ) from error
        self._runs.append(run)
        self._keys.clear()
        self._characters = 0


def _read_run(run: IO[str]) -> Iterator[Key]:
    for line in run:
        known, step, text = line.rstrip("\n").split(" ", 2)
        yield int(known), int(step), text
