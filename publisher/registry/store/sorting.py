"""Sorting of more texts than may be in memory, in a temporary SQLite file that nothing else sees.

The file has no name, so it is gone when it is closed. It works in the same way beside every engine of the store: an
index of PostgreSQL could not hold long texts, and sorting needs no durability.
"""

import sqlite3
from collections.abc import Generator, Iterable

from roar_publisher.registry.store.sqlite import translated_errors

CACHE_KIB = 2048
"""Memory of a sort, in KiB. What exceeds it is written to the file."""


class Sort:
    """Texts with uids, in the order of the texts' bytes, then of the uids. Use it from one thread at a time.

    All methods raise `StoreError`, whatever the engine of the store: `StoreUnavailable` if the file has no room.
    """

    @translated_errors()
    def __init__(self) -> None:
        self._file = sqlite3.connect("", isolation_level=None, check_same_thread=False)
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
