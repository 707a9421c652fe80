"""Sort more than memory should hold: sorted runs in temporary files, merged at the end.

The data is not redacted yet, and no secret may reach a disk. So each run is encrypted with a key that never leaves this
process; its file has no name either.
"""

import heapq
import secrets
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, suppress
from typing import IO, Self

from roar_publisher.state.errors import LocalProblem
from roar_publisher.state.temporary import no_room, python_folder

RUN_CHARACTERS = 8 * 1024 * 1024
"""How many characters of text are sorted in memory before they are written as a run."""

BLOCK_BYTES = 64 * 1024
"""How many bytes of each run are in memory while runs are merged."""

Key = tuple[int, int, str]


class ExternalSort:
    """Takes keys in any order and returns them sorted. Their texts must be single lines of ASCII.

    Small amounts never touch the disk. Raises LocalProblem if the temporary folder cannot be used. A context manager:
    leaving it removes the files.
    """

    def __init__(self) -> None:
        self._keys: list[Key] = []
        self._characters = 0
        self._runs: list[_EncryptedRun] = []
        self._files = ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        with suppress(OSError):  # what could not be written is not needed any more
            self._files.close()

    def add(self, key: Key) -> None:
        """Add a key."""
        self._keys.append(key)
        self._characters += len(key[2])
        if self._characters >= RUN_CHARACTERS:
            self._write_run()

    def sorted(self) -> Iterator[Key]:
        """Return all keys in order. Call once."""
        self._keys.sort()
        return heapq.merge(*(run.keys() for run in self._runs), self._keys)

    def _write_run(self) -> None:
        self._keys.sort()
        try:
            run = _EncryptedRun(self._files.enter_context(tempfile.TemporaryFile()))
            run.write(self._keys)
        except OSError as error:
            raise _unusable(error) from error
        self._runs.append(run)
        self._keys.clear()
        self._characters = 0


class _EncryptedRun:
    """One sorted run on disk, readable only by this process."""

    def __init__(self, file: IO[bytes]) -> None:
        # Imported here because most lineages are too small to need it.
        from cryptography.hazmat.primitives.ciphers import Cipher
        from cryptography.hazmat.primitives.ciphers.algorithms import ChaCha20

        self._file = file
        self._cipher = Cipher(ChaCha20(secrets.token_bytes(32), secrets.token_bytes(16)), mode=None)

    def write(self, keys: Iterable[Key]) -> None:
        """Write the run, once."""
        encryptor = self._cipher.encryptor()
        for known, step, text in keys:
            self._file.write(encryptor.update(f"{known} {step} {text}\n".encode("ascii")))
        self._file.flush()

    def keys(self) -> Iterator[Key]:
        """Yield the keys as they were written. Raises LocalProblem."""
        self._file.seek(0)
        decryptor = self._cipher.decryptor()
        pieces: list[bytes] = []  # of a line that is longer than a block
        while block := self._read():
            end, *lines = decryptor.update(block).split(b"\n")
            pieces.append(end)
            for line in lines:
                yield _key(b"".join(pieces))
                pieces = [line]

    def _read(self) -> bytes:
        try:
            return self._file.read(BLOCK_BYTES)
        except OSError as error:
            raise _unusable(error) from error


def _unusable(error: OSError) -> LocalProblem:
    return no_room(python_folder(), error.strerror or "a file there cannot be used")


def _key(line: bytes) -> Key:
    known, step, text = line.decode("ascii").split(" ", 2)
    return int(known), int(step), text
