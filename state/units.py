"""Units: the smallest things that are sent and acknowledged, frozen before the first write.

A unit is one request's worth of items of one kind. Its body contains *local* job uids. The route decides which uid goes
on the wire (`protocol.md §6`: a staged publish sends remote uids, the legacy path sends local ones), so one frozen plan
serves both routes and every identity.
"""

import zlib
from collections.abc import Iterable, Iterator, Sequence
from enum import StrEnum

from msgspec import Struct
from msgspec.structs import replace

from roar_publisher.state.journal_file import JournalFile

COMPRESSION_LEVEL = 1
"""zlib level of unit bodies. The cheapest level already shrinks repetitive JSON to a tenth."""
SMALL_BODY = 4096
"""Bytes. A body up to this size is compressed with a window of its size: clearing the tables of the usual window takes
longer than compressing the links of a job."""
BODIES_AT_ONCE = 64
"""How many bodies are read together. They are in memory as they are stored."""
_SMALL_WINDOW_BITS = 12
_SMALL_MEMORY_LEVEL = 5


class Kind(StrEnum):
    """What the items of a unit are. The journal stores the value."""

    COMPOSITE = "composite"
    JOBS = "jobs"
    ARTIFACTS = "artifacts"
    INPUTS = "inputs"
    OUTPUTS = "outputs"
    LABELS = "labels"


NODES = frozenset({Kind.COMPOSITE, Kind.JOBS, Kind.ARTIFACTS})
"""Kinds that other units may depend on. Links depend on nodes; labels wait for finalize."""

LINKS = frozenset({Kind.INPUTS, Kind.OUTPUTS})
"""Kinds whose items are the links of one job."""


class Unit(Struct, frozen=True):
    """One request's worth of items.

    seq: position in the plan, from 1. Nodes come before links, links before labels.
    part: 0 as planned. A unit that the registry finds too large is split into parts of the same seq.
    job_uid: the *local* uid of the job that links belong to, else None.
    items: how many items the body holds.
    after: every node unit with `seq <= after` must be acknowledged before this one is sent (0: nothing to wait for).
    body: the items as a JSON array, UTF-8, without spaces, already redacted.
    """

    seq: int
    kind: Kind
    job_uid: str | None
    items: int
    after: int
    body: bytes
    part: int = 0


class Tally(Struct, frozen=True):
    """The progress of one kind of unit."""

    units: int
    acked_units: int
    items: int
    acked_items: int


class Units:
    """The units in one journal. Every method commits before it returns and can be repeated safely."""

    def __init__(self, file: JournalFile) -> None:
        self._file = file

    def add(self, units: Iterable[Unit]) -> None:
        """Write units in one transaction. Called during planning, before the plan is frozen."""
        rows = ((u.seq, u.part, u.kind.value, u.job_uid, u.items, u.after, _pack(u.body)) for u in units)
        with self._file.transaction():
            self._file.db.executemany(
                "INSERT INTO units (seq, part, kind, job_uid, items, after, body) VALUES (?, ?, ?, ?, ?, ?, ?)", rows
            )

    def acknowledge(self, units: Sequence[tuple[int, int]]) -> None:
        """Mark units, given as (seq, part), as received by the registry, in one transaction."""
        with self._file.transaction():
            self._file.db.executemany("UPDATE units SET acked = 1 WHERE seq = ? AND part = ?", units)

    def forget_acknowledgements(self) -> None:
        """Record that no unit counts as received."""
        with self._file.transaction():
            self._file.db.execute("UPDATE units SET acked = 0 WHERE acked = 1")

    def split(self, whole: Unit, halves: tuple[Unit, Unit]) -> tuple[Unit, Unit]:
        """Replace a unit that the registry found too large by two, and return them with their part numbers."""
        with self._file.transaction():
            connection = self._file.db
            row = connection.execute("SELECT max(part) FROM units WHERE seq = ?", [whole.seq]).fetchone()
            first, second = replace(halves[0], part=whole.part), replace(halves[1], part=row[0] + 1)
            connection.execute("DELETE FROM units WHERE seq = ? AND part = ?", [whole.seq, whole.part])
            self.add((first, second))
        return first, second

    def pending(self, kinds: Iterable[Kind], *, past: int = 0, limit: int, max_bytes: int) -> list[Unit]:
        """Return the next unacknowledged units after seq `past`, in order: about `limit` units or `max_bytes` of body.

        A page never separates the parts of one seq. A part that a split creates now is therefore not on a later page.
        """
        names = [kind.value for kind in kinds]
        page: list[Unit] = []
        size = 0
        with self._file.translated():
            cursor = self._file.db.execute(
                "SELECT seq, part, kind, job_uid, items, after, body FROM units"
                f" WHERE seq > ? AND acked = 0 AND kind IN ({', '.join('?' * len(names))})"
                " ORDER BY seq, part",
                [past, *names],
            )
            for seq, part, kind, job_uid, items, after, body in cursor:
                if (len(page) >= limit or size >= max_bytes) and seq != page[-1].seq:
                    break
                unit = Unit(seq, Kind(kind), job_uid, items, after, zlib.decompress(body), part)
                page.append(unit)
                size += len(unit.body)
            cursor.close()
        return page

    def unacknowledged_nodes(self, kinds: Iterable[Kind]) -> list[int]:
        """Return the seq of every unacknowledged unit of `kinds`, ascending, with one entry per part."""
        names = [kind.value for kind in kinds]
        with self._file.translated():
            rows = self._file.db.execute(
                f"SELECT seq FROM units WHERE acked = 0 AND kind IN ({', '.join('?' * len(names))}) ORDER BY seq", names
            )
            return [row[0] for row in rows]

    def bodies(self, kind: Kind) -> Iterator[bytes]:
        """Yield the body of every unit of one kind, in order, acknowledged or not.

        In between no lock is held, which would keep other processes from writing to the journal.
        """
        seq = part = -1
        while True:
            with self._file.translated():
                rows = self._file.db.execute(
                    "SELECT seq, part, body FROM units WHERE kind = ? AND (seq, part) > (?, ?)"
                    " ORDER BY seq, part LIMIT ?",
                    [kind.value, seq, part, BODIES_AT_ONCE],
                ).fetchall()
            for _seq, _part, body in rows:
                yield zlib.decompress(body)
            if len(rows) < BODIES_AT_ONCE:
                return
            seq, part, _body = rows[-1]

    def links_by_job(self) -> dict[str, list[tuple[int, int, Kind]]]:
        """Return the seq, part and kind of the units that hold the links of each job, by its local uid."""
        with self._file.translated():
            rows = self._file.db.execute(
                "SELECT job_uid, seq, part, kind FROM units WHERE kind IN (?, ?) ORDER BY seq, part",
                [Kind.INPUTS.value, Kind.OUTPUTS.value],
            )
            places: dict[str, list[tuple[int, int, Kind]]] = {}
            for uid, seq, part, kind in rows:
                places.setdefault(uid, []).append((seq, part, Kind(kind)))
            return places

    def body(self, seq: int, part: int) -> bytes:
        """Return the body of a unit, which must be there."""
        with self._file.translated():
            row = self._file.db.execute("SELECT body FROM units WHERE seq = ? AND part = ?", [seq, part]).fetchone()
            return zlib.decompress(row[0])

    def tally(self) -> dict[Kind, Tally]:
        """Return the number of units and items per kind, planned and acknowledged."""
        with self._file.translated():
            rows = self._file.db.execute(
                "SELECT kind, count(*), sum(acked), sum(items), sum(items * acked) FROM units GROUP BY kind"
            )
            return {Kind(kind): Tally(*counts) for kind, *counts in rows}


def _pack(body: bytes) -> bytes:
    if len(body) > SMALL_BODY:
        return zlib.compress(body, COMPRESSION_LEVEL)
    small = zlib.compressobj(COMPRESSION_LEVEL, zlib.DEFLATED, _SMALL_WINDOW_BITS, _SMALL_MEMORY_LEVEL)
    return small.compress(body) + small.flush()
