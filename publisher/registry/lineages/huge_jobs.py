"""Jobs with very many links, whose canonical texts are never held: they are read, and compared, piece by piece.

A place in such a text is a few words, and the text is read on from there.  So however many huge jobs there are, none of
them keeps more than that in memory.
"""

import hashlib
import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

from roar_publisher.lineage.canonical import canonical_frame, canonical_page
from roar_publisher.registry.lineages.slices import JOBS_WITH_PARENTS, Part, Parts
from roar_publisher.registry.store.schema import NO_STEP

PIECE_BYTES = 32 * 1024
"""Bytes of links that are read in one go."""
COMPARED = 8 * 1024
"""Characters of the texts that are compared at a time."""
INPUTS, OUTPUTS, END = 1, 3, 5
"""Sections of a text: 0, 2 and 4 are those of `canonical_frame`."""
_KINDS = {INPUTS: "inputs", OUTPUTS: "outputs"}
_LINKS = "SELECT digest, path FROM links WHERE job_id = ? AND kind = ? AND digest > ? ORDER BY digest"
_HEAD = f"""
    SELECT job.command, job.job_type, nullif(job.step_number, {NO_STEP}) AS step_number,
        nullif(parent.step_number, {NO_STEP}) AS parent_step_number, job.metadata {JOBS_WITH_PARENTS} WHERE job.id = ?
"""


@dataclass(frozen=True, slots=True)
class Place:
    """Where to read a text on.  after: the last link before it, of its section.  skipped: characters of the piece."""

    section: int = 0
    after: str = ""
    skipped: int = 0


@dataclass(slots=True)
class HugeJob:
    """A job whose text is read in pieces, as often as it is needed."""

    connection: sqlite3.Connection
    id: int
    uid: str
    _seen: str = ""
    _seen_to: Place = field(default_factory=Place)

    def parts(self) -> Parts:
        """The whole text, with None after each piece."""
        self._seen, self._seen_to = "", Place()
        place = Place()
        while place.section < END:
            text, place = self._piece(place)
            yield Part(self.uid, text, last=False)
            yield None
        yield Part(self.uid, "")

    def beginning(self, size: int) -> str:
        """The first `size` characters; they are kept until the `parts` are read."""
        if len(self._seen) < size:
            more, self._seen_to = self.read(self._seen_to, size - len(self._seen))
            self._seen += more
        return self._seen[:size]

    def read(self, place: Place, size: int) -> tuple[str, Place]:
        """The next `size` characters, fewer at the end, and the place behind them."""
        come: list[str] = []
        while size > 0 and place.section < END:
            text, following = self._piece(place)
            taken = text[place.skipped : place.skipped + size]
            come.append(taken)
            size -= len(taken)
            skipped = place.skipped + len(taken)
            place = following if skipped == len(text) else replace(place, skipped=skipped)
        return "".join(come), place

    def passed(self, place: Place) -> tuple[bytes, Place]:
        """The digest of what is left of a piece, and the place behind it: whole pieces are compared by these."""
        text, following = self._piece(place)
        return hashlib.sha256(text[place.skipped :].encode("ascii")).digest(), following

    def _piece(self, place: Place) -> tuple[str, Place]:
        """The piece of the text that a place is in, and the place behind it."""
        following = Place(place.section + 1)
        kind = _KINDS.get(place.section)
        if kind is not None:
            page = self._page(kind, place.after)
            if not page:
                return "", following
            comma = "," if place.after else ""
            return comma + canonical_page(page), Place(place.section, page[-1][0])
        row = None if place.section == END else self.connection.execute(_HEAD, (self.id,)).fetchone()
        if row is None:  # the session has expired meanwhile, and nothing of it will be published
            return "", Place(END)
        return canonical_frame(**dict(row))[place.section // 2], following

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


def in_order(jobs: Sequence[HugeJob]) -> Iterator[HugeJob | None]:
    """Jobs by their texts: groups of equal beginnings, split by what comes next until one job is left in each.

    None after a bounded piece of work.
    """
    groups = [[(job, Place()) for job in sorted(jobs, key=lambda job: job.uid)]]
    while groups:
        group = groups.pop()
        if len(group) == 1 or all(place.section == END for _job, place in group):
            yield from (job for job, _place in group)  # several: their texts are equal
            continue
        behind: set[tuple[bytes, Place]] = set()
        for job, place in group:
            behind.add(job.passed(place))
            yield None
        if len(behind) == 1:
            ((_digest, common),) = behind
            groups.append([(job, common) for job, _place in group])
            continue
        split: dict[str, list[tuple[HugeJob, Place]]] = {}
        for job, place in group:
            text, following = job.read(place, COMPARED)
            split.setdefault(text, []).append((job, following))
            yield None
        groups.extend(split[text] for text in sorted(split, reverse=True))
