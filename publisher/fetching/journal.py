"""The journal of a fetch: what was asked for, which files that is, and what of them is there.

It survives a killed process without syncs. After a power loss a range may be missing from a file although it is
recorded: the digest of the file shows that, and the file is then fetched again.
"""

import errno
import json
import sqlite3
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from msgspec import Struct
from msgspec.structs import astuple

from roar_publisher.fetching.stored import StoredFile, Unsafe
from roar_publisher.state.errors import LocalProblem
from roar_publisher.state.reasons import Reason
from roar_publisher.state.rebuildable import open_rebuildable, remove
from roar_publisher.state.schema import is_full
from roar_publisher.state.system_errors import SystemProblem, explain_os_error

SCRIPT = """
PRAGMA locking_mode = EXCLUSIVE; -- the folder is locked; needs no shared memory
PRAGMA journal_mode = WAL;
PRAGMA synchronous = NORMAL;
CREATE TABLE IF NOT EXISTS request (text TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS files (digest TEXT PRIMARY KEY, url TEXT NOT NULL, name TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS partial (digest TEXT PRIMARY KEY, size INTEGER NOT NULL, tag TEXT NOT NULL,
    range_bytes INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS ranges (digest TEXT NOT NULL, number INTEGER NOT NULL,
    PRIMARY KEY (digest, number)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS complete (name TEXT PRIMARY KEY, digest TEXT NOT NULL, tag TEXT NOT NULL) WITHOUT ROWID;
"""


class FetchRequest(Struct, frozen=True):
    """What was asked for. registry: its address as it was resolved."""

    lineage: str
    selections: tuple[str, ...]
    registry: str
    force: bool


class FetchJournal:
    """An open journal. Blocking, for one thread at a time. Raises sqlite3.Error (`journal_problem`)."""

    def __init__(self, path: Path) -> None:
        """Open the journal; a damaged one is replaced by an empty one, because it only saves work.

        Also raises LocalProblem.
        """
        self._path = path
        self._is_open = True
        try:
            self._connection = open_rebuildable(path, SCRIPT)
        except (OSError, sqlite3.Error) as error:
            raise journal_problem(path, error) from error

    def request(self) -> FetchRequest | None:
        """Return what an interrupted fetch was asked for, or None."""
        found = self._request()
        if not found:
            return None
        return FetchRequest(found["lineage"], tuple(found["selections"]), found["registry"], found["force"])

    def unsafe(self) -> list[Unsafe]:
        """Return the files of that request that are not fetched; earlier releases did not keep them."""
        return [Unsafe(*each) for each in self._request().get("unsafe", ())]

    def files(self) -> list[StoredFile]:
        """Return the files of that request, in the order of their names."""
        rows = self._connection.execute("SELECT digest, url, name FROM files ORDER BY name")
        return [StoredFile(*row) for row in rows]

    def begin(self, request: FetchRequest, files: Iterable[StoredFile], unsafe: Iterable[Unsafe] = ()) -> None:
        """Record a request and its files, in the place of an earlier one. Ranges that are there stay."""
        text = {
            "lineage": request.lineage,
            "selections": request.selections,
            "registry": request.registry,
            "force": request.force,
            "unsafe": [astuple(each) for each in unsafe],
        }
        with self._transaction():
            self._connection.execute("DELETE FROM request")
            self._connection.execute("DELETE FROM files")
            self._connection.execute("INSERT INTO request VALUES (?)", (json.dumps(text),))
            rows = ((file.digest, file.url, file.name) for file in files)
            self._connection.executemany("INSERT INTO files VALUES (?, ?, ?)", rows)

    def partial_files(self) -> frozenset[str]:
        """Return the digests of the files of which ranges may be there."""
        return frozenset(row[0] for row in self._connection.execute("SELECT digest FROM partial"))

    def begin_file(self, digest: str, size: int, tag: str, range_bytes: int) -> tuple[frozenset[int], int]:
        """Return the numbers of the ranges that are there, of this very object, and the length of its ranges.

        Of another version of it, none are there. range_bytes: the length, unless an earlier release began the file with
        shorter ones.
        """
        row = self._connection.execute(
            "SELECT size, tag, range_bytes FROM partial WHERE digest = ?", (digest,)
        ).fetchone()
        if row is not None and row[:2] == (size, tag) and row[2] <= range_bytes:
            rows = self._connection.execute("SELECT number FROM ranges WHERE digest = ?", (digest,))
            return frozenset(number for (number,) in rows), row[2]
        self.forget_file(digest)
        self._connection.execute("INSERT INTO partial VALUES (?, ?, ?, ?)", (digest, size, tag, range_bytes))
        return frozenset(), range_bytes

    def add_range(self, digest: str, number: int) -> None:
        """Record that a range is there."""
        self._connection.execute("INSERT INTO ranges VALUES (?, ?) ON CONFLICT DO NOTHING", (digest, number))

    def forget_file(self, digest: str) -> None:
        """Forget the ranges of a file that has to begin anew."""
        with self._transaction():
            self._forget_ranges(digest)

    def complete_file(self, file: StoredFile, tag: str) -> None:
        """Record that a file is complete, and forget its ranges. tag: the one it has now (`file_reading.tag_in`)."""
        with self._transaction():
            self._forget_ranges(file.digest)
            row = (file.name, file.digest, tag)
            self._connection.execute("INSERT OR REPLACE INTO complete VALUES (?, ?, ?)", row)

    def tag_of_complete(self, file: StoredFile) -> str | None:
        """Return the tag that a file had when it was complete, or None if that is not recorded."""
        row = self._connection.execute(
            "SELECT tag FROM complete WHERE (name, digest) = (?, ?)", (file.name, file.digest)
        ).fetchone()
        return None if row is None else row[0]

    def end(self) -> None:
        """Forget the request, and close the journal."""
        with self._transaction():
            self._connection.execute("DELETE FROM request")
            self._connection.execute("DELETE FROM files")
            self._connection.execute("DELETE FROM complete")
        self.close()

    def close(self) -> None:
        """Close the journal, and remove it if it has nothing to continue. Harmless if it is closed."""
        if self._is_open:
            needed = self.request() is not None or self.partial_files()
            self._is_open = False
            self._connection.close()
            if not needed:
                remove(self._path)

    def _forget_ranges(self, digest: str) -> None:
        self._connection.execute("DELETE FROM ranges WHERE digest = ?", (digest,))
        self._connection.execute("DELETE FROM partial WHERE digest = ?", (digest,))

    def _request(self) -> dict[str, Any]:
        row = self._connection.execute("SELECT text FROM request").fetchone()
        return {} if row is None else json.loads(row[0])

    def _transaction(self) -> sqlite3.Connection:
        self._connection.execute("BEGIN IMMEDIATE")
        return self._connection


def journal_problem(path: Path, error: OSError | sqlite3.Error) -> LocalProblem:
    """Return the error for a journal that cannot be used. On a full disk, the fetch can be continued later."""
    found = SystemProblem(Reason.JOURNAL, str(error), f"remove {path}")
    full = isinstance(error, sqlite3.Error) and is_full(error)
    if full:
        found = explain_os_error(OSError(errno.ENOSPC, ""), Reason.JOURNAL)
    return LocalProblem(
        f"the journal {path} cannot be used: {found.what}",
        next_step=found.remedy,
        reason=found.reason,
        resumable=full,
    )
