"""The jobs of one step in the order of their canonical texts, where they are too many or too large to sort at once.

Texts of usual jobs are sorted by SQLite, in a temporary table that it keeps outside memory.  The text of a job with
very many links is never held: such jobs are compared piece by piece, and their texts are read from the links again.
"""

import itertools
import sqlite3
from collections.abc import Generator, Iterator
from dataclasses import dataclass, field
from typing import TypeVar

from roar_publisher.lineage.canonical import canonical_pieces
from roar_publisher.registry.schema import NO_STEP
from roar_publisher.registry.slices import (
    BEFORE_ALL_STEPS,
    CANONICAL_TEXT,
    JOBS_WITH_PARENTS,
    SLICE_BYTES,
    SLICE_JOBS,
    Part,
    Parts,
    read_steps,
    small_steps,
)

T = TypeVar("T")

HUGE_BYTES = 256 * 1024
"""A job with more than this, links included, is read in pieces."""
PIECE_BYTES = 64 * 1024
"""Bytes of links that are read in one go."""
COMPARED = 16 * 1024
"""Characters of huge texts that are compared at a time."""

_SORT_IDS = itertools.count()
_TABLE = """
    CREATE TEMP TABLE IF NOT EXISTS sorted_texts (
        sort INTEGER, text TEXT, uid TEXT, PRIMARY KEY (sort, text, uid)
    ) WITHOUT ROWID
"""
_JOBS_OF_STEP = """
    SELECT jobs.id, uid, bytes FROM jobs JOIN job_sizes ON job_id = jobs.id
    WHERE graph_id = ? AND step_number = ? AND jobs.id > ? ORDER BY jobs.id LIMIT ?
"""
_SORT_JOBS = f"""
    INSERT INTO temp.sorted_texts (sort, text, uid) SELECT ?, {CANONICAL_TEXT}, job.uid {JOBS_WITH_PARENTS}
    WHERE job.id IN (SELECT value FROM json_each(?))
"""
_SORTED = "SELECT text, uid FROM temp.sorted_texts WHERE sort = ? ORDER BY text, uid LIMIT ?"
_DROP_SORTED = "DELETE FROM temp.sorted_texts WHERE sort = ? AND (text, uid) <= (?, ?)"
_DROP_ALL = "DELETE FROM temp.sorted_texts WHERE sort = ?"
_LINKS = "SELECT digest, path FROM links WHERE job_id = ? AND kind = ? AND digest > ? ORDER BY digest"
_HEAD = f"""
    SELECT job.command, job.job_type, nullif(job.step_number, {NO_STEP}) AS step_number,
        nullif(parent.step_number, {NO_STEP}) AS parent_step_number, job.metadata {JOBS_WITH_PARENTS} WHERE job.id = ?
"""


def parts_in_order(connection: sqlite3.Connection, graph_id: int) -> Parts:
    """The canonical texts of a graph's jobs in the order of the hash, with None after each bounded piece of work.

    Each step of this generator is to be taken in a transaction; what is written in between may be missing from it.  It
    is to be closed in one as well, which removes what it has sorted.
    """
    after = BEFORE_ALL_STEPS
    while True:
        last, first = small_steps(connection, graph_id, after)
        if first is None:
            return
        if last is None:
            yield from _wide_step(connection, graph_id, first)
            after = first
        else:
            yield from read_steps(connection, graph_id, after, last)
            after = last
        yield None


def _wide_step(connection: sqlite3.Connection, graph_id: int, step: int) -> Parts:
    sort = next(_SORT_IDS)
    connection.execute(_TABLE)
    try:
        huge = yield from _sort_usual(connection, graph_id, step, sort)
        usual, others = _usual_in_order(connection, sort), _huge_in_order(huge)
        part = yield from _pull(usual)
        other = yield from _pull(others)
        while part is not None or other is not None:
            # No canonical text is the beginning of another: each is one JSON object.
            if part is not None and (other is None or part.text < other.beginning(len(part.text))):
                yield part
                part = yield from _pull(usual)
            elif other is not None:
                yield from other.parts()
                other = yield from _pull(others)
    finally:
        connection.execute(_DROP_ALL, (sort,))


def _sort_usual(
    connection: sqlite3.Connection, graph_id: int, step: int, sort: int
) -> Generator[None, None, "list[_HugeJob]"]:
    """Sort the usual jobs of a step; returns the huge ones."""
    huge: list[_HugeJob] = []
    after = 0
    while jobs := connection.execute(_JOBS_OF_STEP, (graph_id, step, after, SLICE_JOBS)).fetchall():
        chosen: list[int] = []
        size = 0
        for job in jobs:
            if job["bytes"] > HUGE_BYTES:
                huge.append(_HugeJob(connection, job["id"], job["uid"]))
            elif chosen and size + job["bytes"] > SLICE_BYTES:
                break
            else:
                chosen.append(job["id"])
                size += job["bytes"]
            after = job["id"]
        connection.execute(_SORT_JOBS, (sort, str(chosen)))
        yield None
    return huge


def _usual_in_order(connection: sqlite3.Connection, sort: int) -> Parts:
    while True:
        parts = []
        size = 0
        for text, uid in (cursor := connection.execute(_SORTED, (sort, SLICE_JOBS))):
            parts.append(Part(uid, text))
            size += len(text)
            if size > SLICE_BYTES:
                break
        cursor.close()
        if not parts:
            return
        connection.execute(_DROP_SORTED, (sort, parts[-1].text, parts[-1].uid))
        yield from parts
        yield None


@dataclass(slots=True)
class _HugeJob:
    """A job whose text is read in pieces, as often as it is needed.

    seen: the beginning of the text, as far as it was compared with usual ones.
    """

    connection: sqlite3.Connection
    id: int
    uid: str
    seen: "_Text" = field(init=False)

    def __post_init__(self) -> None:
        self.seen = _Text(self.pieces())

    def pieces(self) -> Iterator[str]:
        row = self.connection.execute(_HEAD, (self.id,)).fetchone()
        if row is None:  # the session has expired meanwhile, and nothing of it will be published
            return iter(())
        return canonical_pieces(**dict(row), inputs=self._links("inputs"), outputs=self._links("outputs"))

    def parts(self) -> Parts:
        for piece in self.pieces():
            yield Part(self.uid, piece, last=False)
            yield None
        yield Part(self.uid, "")

    def beginning(self, size: int) -> str:
        return self.seen.beginning(size)

    def _links(self, kind: str) -> Iterator[list[tuple[str, str]]]:
        after = ""
        while page := self._page(kind, after):
            after = page[-1][0]
            yield page

    def _page(self, kind: str, after: str) -> list[tuple[str, str]]:
        page: list[tuple[str, str]] = []
        size = 0
        for digest, path in (cursor := self.connection.execute(_LINKS, (self.id, kind, after))):
            page.append((digest, path))
            size += len(digest) + len(path)
            if size > PIECE_BYTES:
                break
        cursor.close()
        return page


@dataclass(slots=True)
class _Text:
    """A text that comes in pieces.  buffer: what has come and was not taken."""

    pieces: Iterator[str]
    buffer: str = ""

    def beginning(self, size: int) -> str:
        """The first `size` characters of what is left."""
        if len(self.buffer) < size:
            come = [self.buffer]
            missing = size - len(self.buffer)
            for piece in self.pieces:
                come.append(piece)
                missing -= len(piece)
                if missing <= 0:
                    break
            self.buffer = "".join(come)
        return self.buffer[:size]

    def take(self, size: int) -> str:
        """The next `size` characters, fewer at the end."""
        taken = self.beginning(size)
        self.buffer = self.buffer[size:]
        return taken


def _huge_in_order(jobs: "list[_HugeJob]") -> "Iterator[_HugeJob | None]":
    """Huge jobs by their texts: groups of equal beginnings, split by what comes next until one job is left in each."""
    groups = [[(job, _Text(job.pieces())) for job in sorted(jobs, key=lambda job: job.uid)]]
    while groups:
        group = groups.pop()
        if len(group) == 1:
            yield group[0][0]
            continue
        split: dict[str, list[tuple[_HugeJob, _Text]]] = {}
        for job, text in group:
            split.setdefault(text.take(COMPARED), []).append((job, text))
            yield None
        if list(split) == [""]:
            yield from (job for job, _text in group)  # equal texts
            continue
        groups.extend(split[chunk] for chunk in sorted(split, reverse=True))


def _pull(items: "Iterator[T | None]") -> "Generator[None, None, T | None]":
    """The next item, None at the end; where others may have their turn before it comes, so they may here."""
    for item in items:
        if item is not None:
            return item
        yield None
    return None
