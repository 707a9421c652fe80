"""What an inspection has read already, in a small SQLite file of the state folder: an interrupted one continues there.

A row says that the bytes of one version of an object, or of one of its parts, are proven. It only saves work: a file
that is damaged or missing, also by a loss of power, costs reading again.
"""

import sqlite3
from pathlib import Path
from typing import Self

from roar_publisher.state.errors import LocalProblem
from roar_publisher.state.reasons import Reason
from roar_publisher.state.rebuildable import open_rebuildable

SCRIPT = """
PRAGMA synchronous = OFF; -- two syncs for each object take longer than reading a small one
CREATE TABLE IF NOT EXISTS proven (lineage TEXT NOT NULL, url TEXT NOT NULL, digest TEXT NOT NULL, tag TEXT NOT NULL,
    part INTEGER NOT NULL, PRIMARY KEY (lineage, url, digest, tag, part)) WITHOUT ROWID
"""
WHOLE = 0
"""The number of a part that stands for a whole object."""


class RecordProblem(LocalProblem):
    """The record cannot be used: an inspection whose progress would be lost ends."""


class InspectionRecord:
    """The record of one lineage's inspection. Blocking; a context manager that closes it. Raises RecordProblem.

    resume: go on where an earlier inspection ended; otherwise what it proved is forgotten.
    """

    def __init__(self, path: Path, lineage: str, *, resume: bool) -> None:
        self._path, self._lineage = path, lineage
        try:
            self._connection = open_rebuildable(path, SCRIPT)
        except (OSError, sqlite3.Error) as error:
            raise self._problem(error) from error
        if not resume:
            self.forget()

    def parts(self, url: str, digest: str, tag: str) -> frozenset[int]:
        """Return the parts of this version of an object that are proven; `WHOLE` for all of it."""
        query = "SELECT part FROM proven WHERE (lineage, url, digest, tag) = (?, ?, ?, ?)"
        return frozenset(part for (part,) in self._execute(query, self._lineage, url, digest, tag))

    def add(self, url: str, digest: str, tag: str, part: int) -> None:
        """Record a part, or `WHOLE`. An object whose version has no name is not recorded: it may be another later."""
        if tag:
            insert = "INSERT INTO proven VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING"
            self._execute(insert, self._lineage, url, digest, tag, part)

    def forget(self) -> None:
        """Forget everything about this lineage: its inspection came to its end, or begins anew."""
        self._execute("DELETE FROM proven WHERE lineage = ?", self._lineage)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def _execute(self, statement: str, *values: str | int) -> list[tuple[int]]:
        try:
            return self._connection.execute(statement, values).fetchall()
        except sqlite3.Error as error:
            raise self._problem(error) from error

    def _problem(self, error: Exception) -> RecordProblem:
        what = f"the record {self._path} cannot be used: {error}"
        return RecordProblem(what, next_step=f"remove {self._path}", reason=Reason.JOURNAL)
