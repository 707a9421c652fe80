"""The objects of a put in the journal: what is to be stored, and which parts the store has acknowledged.

A part belongs to one upload. The upload's id is not kept here but in a private file (`state.paths`), because for some
stores it is a credential.
"""

import sqlite3
from collections.abc import Iterable, Mapping

from msgspec import Struct

from roar_publisher.state.journal_file import JournalFile


class ObjectRow(Struct, frozen=True):
    """One object to store. seq: from 1. size: bytes. content: JSON defined by the storage layer.

    tag: the store's identifier of the object's stored state; empty before it is stored, and if the store gives none.
    """

    seq: int
    key: str
    url: str
    size: int
    content: str
    tag: str = ""


class PartRow(Struct, frozen=True):
    """A part that the store acknowledged. number: from 1. size: bytes. tag: the store's identifier of it."""

    number: int
    size: int
    tag: str
    sha256: str


class ObjectTally(Struct, frozen=True):
    """The progress of the objects. Sizes are in bytes."""

    objects: int
    stored: int
    size: int
    stored_size: int


class ObjectProgress(Struct, frozen=True):
    """The progress of one object. size, sent: its bytes in total, and those that the store acknowledged."""

    key: str
    size: int
    sent: int
    stored: bool


class Objects:
    """The objects in one journal. Every method commits before it returns and can be repeated safely."""

    def __init__(self, file: JournalFile) -> None:
        self._file = file

    def add(self, rows: Iterable[ObjectRow]) -> None:
        """Write objects in one transaction. Called during planning."""
        with self._file.transaction():
            self._file.db.executemany(
                "INSERT INTO objects (seq, key, url, size, content) VALUES (?, ?, ?, ?, ?)",
                ((row.seq, row.key, row.url, row.size, row.content) for row in rows),
            )

    def all(self, *, only_missing: bool = False) -> list[ObjectRow]:
        """Return every object in order, or only those that are not known to be stored."""
        where = " WHERE stored = 0" if only_missing else ""
        with self._file.translated():
            rows = self._file.db.execute(f"SELECT seq, key, url, size, content, tag FROM objects{where} ORDER BY seq")
            return [ObjectRow(*row) for row in rows]

    def revise(self, seq: int, content: str) -> None:
        """Replace the information about an object's file; its bytes are the same."""
        self.revise_all({seq: content})

    def revise_all(self, contents: Mapping[int, str]) -> None:
        """Replace the information about objects' files, by seq, in one transaction."""
        rows = ((content, seq) for seq, content in contents.items())
        with self._file.transaction():
            self._file.db.executemany("UPDATE objects SET content = ? WHERE seq = ?", rows)

    def acknowledge_stored(self, tags: Iterable[tuple[int, str]]) -> None:
        """Record that the store has these objects, verified, as (seq, tag). Forgets their parts."""
        rows = list(tags)
        with self._file.transaction():
            self._file.db.executemany(
                "UPDATE objects SET stored = 1, tag = ? WHERE seq = ?", [(tag, seq) for seq, tag in rows]
            )
            self._file.db.executemany("DELETE FROM parts WHERE seq = ?", [(seq,) for seq, _ in rows])

    def forget_stored(self, seqs: Iterable[int]) -> None:
        """Record that the store no longer has these objects."""
        with self._file.transaction():
            self._file.db.executemany("UPDATE objects SET stored = 0 WHERE seq = ?", [(seq,) for seq in seqs])

    def acknowledge_part(self, seq: int, part: PartRow) -> None:
        """Record that the store has a part of an object."""
        with self._file.transaction():
            self._file.db.execute(
                "INSERT OR REPLACE INTO parts (seq, number, size, tag, sha256) VALUES (?, ?, ?, ?, ?)",
                [seq, part.number, part.size, part.tag, part.sha256],
            )

    def parts(self, seq: int) -> list[PartRow]:
        """Return the parts of an object that the store acknowledged."""
        with self._file.translated():
            rows = self._file.db.execute(
                "SELECT number, size, tag, sha256 FROM parts WHERE seq = ? ORDER BY number", [seq]
            )
            return [PartRow(*row) for row in rows]

    def forget_parts(self, seq: int) -> None:
        """Forget the parts of an object, because their upload is gone."""
        with self._file.transaction():
            self._file.db.execute("DELETE FROM parts WHERE seq = ?", [seq])

    def tally(self) -> ObjectTally:
        """Return how many objects and bytes there are, and how many are stored."""
        with self._file.translated():
            row = self._file.db.execute(
                "SELECT count(*), coalesce(sum(stored), 0), coalesce(sum(size), 0), coalesce(sum(size * stored), 0)"
                " FROM objects"
            ).fetchone()
            return ObjectTally(*row)

    def progress(self) -> dict[int, ObjectProgress]:
        """Return the progress of every object, by seq, in order."""
        with self._file.translated():
            rows = self._file.db.execute(
                "SELECT o.seq, key, o.size, CASE WHEN stored THEN o.size ELSE coalesce(sent, 0) END, stored"
                " FROM objects o LEFT JOIN (SELECT seq, sum(size) AS sent FROM parts GROUP BY seq) p ON p.seq = o.seq"
                " ORDER BY o.seq"
            )
            return {seq: ObjectProgress(key, size, sent, bool(stored)) for seq, key, size, sent, stored in rows}


def delete_parts(copy: sqlite3.Connection) -> None:
    """Delete all parts from a copy of a journal: the names of their uploads are not exported."""
    copy.execute("DELETE FROM parts")
