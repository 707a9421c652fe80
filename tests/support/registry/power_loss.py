"""What a loss of power leaves of SQLite's files: what was synced, and any part of what was written since.

SQLite syncs its write-ahead log with each commit under `synchronous=FULL`, and before a checkpoint copies it to the
database, which it syncs afterwards (https://sqlite.org/wal.html). So the files are looked at before each statement,
and are written in a commit only: one under FULL, or one after which the database has changed, was synced.
"""

import random
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from roar_publisher.registry.store.private_data import LINEAGES_NAME

NAMES = (LINEAGES_NAME, f"{LINEAGES_NAME}-wal")
SECTOR = 512
Files = tuple[bytes, bytes]
"""The database and its log."""


class PowerLosses:
    """Images of the files in `data` for losses of power at any time while `connection` works."""

    def __init__(self, data: Path, connection: sqlite3.Connection, seed: int) -> None:
        self._data = data
        self._chance = random.Random(seed)
        self._synced = self._read()
        self._last = self._synced
        self._sync = ""
        self._connection = connection
        self.images: dict[Files, int] = {}
        """Each image, with the number of promises that had been made when the power was last lost so."""
        self.promises = 0
        connection.set_trace_callback(self._before)

    def stop(self) -> None:
        """Look at the files for the last time."""
        self._before("")
        self._connection.set_trace_callback(None)

    def _before(self, statement: str) -> None:
        now, before = self._read(), self._last
        self._take((before[0], self._synced[1]), (before[0], now[1]))
        if now[0] != before[0]:
            self._take((before[0], now[1]), now)
            self._synced = now
        elif self._sync == "FULL" and now != before:
            self._synced = now
        self._last = now
        if statement.startswith("PRAGMA synchronous"):
            self._sync = statement.rpartition(" ")[2]

    def _take(self, synced: Files, written: Files) -> None:
        """Add images for a loss of power now."""
        database, log = (list(_mixed(*files, self._chance)) for files in zip(synced, written, strict=True))
        for image in zip(database, log, strict=True):
            self.images[image] = self.promises

    def _read(self) -> Files:
        database, log = ((self._data / name).read_bytes() for name in NAMES)
        return database, log


def _mixed(synced: bytes, written: bytes, chance: random.Random) -> Iterator[bytes]:
    """Yield what may be in a file: what was synced, all that was written, its beginning, and any sectors of it."""
    yield synced
    yield written
    cut = chance.randrange(len(written) + 1)
    yield written[:cut] + synced[cut:]
    size = max(len(synced), len(written))
    known = [content.ljust(size, b"\0") for content in (synced, written)]
    yield b"".join(chance.choice(known)[start : start + SECTOR] for start in range(0, size, SECTOR))


def write_image(image: Files, folder: Path) -> None:
    """Write the files of an image."""
    folder.mkdir()
    for name, content in zip(NAMES, image, strict=True):
        (folder / name).write_bytes(content)
