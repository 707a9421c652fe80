"""Sorting of more texts than may be in memory, in a temporary SQLite file that nothing else sees.

The file is in the folder of the registry's data: in a container, nothing else may be writable. It has no name, so it is
gone when it is closed. It works in the same way beside every engine of the store: an
index of PostgreSQL could not hold long texts, and sorting needs no durability.
"""

import os
import sqlite3
import tempfile
from collections.abc import Generator, Iterable
from pathlib import Path

from roar_publisher.registry.store.errors import StoreUnavailable
from roar_publisher.registry.store.sqlite import translated_errors

CACHE_KIB = 2048
"""Memory of a sort, in KiB. What exceeds it is written to the file."""


class Sort:
    """Texts with uids, in the order of the texts' bytes, then of the uids. Use it from one thread at a time.

    `folder` is where the file is; with None, in the system's temporary folder, once there is much to sort.

    All methods raise `StoreError`, whatever the engine of the store: `StoreUnavailable` if the file has no room.
    """

    @translated_errors()
    def __init__(self, folder: Path | None = None) -> None:
        self._file = _connect("") if folder is None else _nameless_file(folder)
        self._file.execute(f"PRAGMA cache_size = -{CACHE_KIB}")
        self._file.execute("CREATE TABLE texts (text TEXT, uid TEXT, PRIMARY KEY (text, uid)) WITHOUT ROWID")

    @translated_errors()
    def add(self, texts: Iterable[tuple[str, str]]) -> None:
        """Add texts, each with its uid."""
        self._file.execute("BEGIN")
        self._file.executemany("INSERT INTO texts (text, uid) VALUES (?, ?)", texts)
        self._file.execute("COMMIT")

    def first(self, limit: int) -> Generator[tuple[str, str], None, None]:
        """Yield the first texts, each with its uid. They are read lazily; close the generator."""
        with translated_errors():
            cursor = self._file.execute("SELECT text, uid FROM texts ORDER BY text, uid LIMIT ?", (limit,))
            try:
                yield from cursor
            finally:
                cursor.close()

    @translated_errors()
    def drop(self, text: str, uid: str) -> None:
        """Remove what sorts up to here."""
        self._file.execute("DELETE FROM texts WHERE (text, uid) <= (?, ?)", (text, uid))

    def close(self) -> None:
        """Remove everything. Repeating it does nothing."""
        self._file.close()


def _nameless_file(folder: Path) -> sqlite3.Connection:
    try:
        handle, name = tempfile.mkstemp(prefix=".sort-", dir=folder)
    except OSError as error:
        raise StoreUnavailable(f"a file to sort in cannot be made: {error}") from error
    os.close(handle)
    try:
        file = _connect(name)
        file.execute("PRAGMA journal_mode = OFF")  # it would have a name, and nothing is undone
        file.execute("PRAGMA synchronous = OFF")
        file.execute("PRAGMA locking_mode = EXCLUSIVE")
    finally:
        os.unlink(name)
    return file


def _connect(name: str) -> sqlite3.Connection:
    return sqlite3.connect(name, isolation_level=None, check_same_thread=False)
