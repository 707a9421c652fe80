"""Jobs with very many links. Their canonical texts are read and compared in pieces, and never held as a whole.

A position in such a text takes a few words, and the text is read again from there. So however many huge jobs there are,
none of them takes more memory than that.
"""

import hashlib
from collections.abc import Iterator, Sequence

from msgspec import Struct, field
from msgspec.structs import replace

from roar_publisher.lineage.canonical import canonical_page
from roar_publisher.registry.http.bounds import up_to_size
from roar_publisher.registry.lineages.slices import Parts, TextPart
from roar_publisher.registry.store.canonical_texts import frame_of_job, links_after
from roar_publisher.registry.store.database import Connection

PIECE_BYTES = 32 * 1024
"""Bytes of links that are read at once."""
PIECE_LINKS = 1000
"""Links that are read at once."""
COMPARED = 8 * 1024
"""Characters of the texts that are compared at a time."""
INPUTS, OUTPUTS, END = 1, 3, 5
"""Sections of a text: 0, 2 and 4 are those of `canonical_frame`."""
_KINDS = {INPUTS: "inputs", OUTPUTS: "outputs"}


class TextPosition(Struct, frozen=True):
    """Where to continue reading a text.

    `after` is the last link of the section before the position. `skipped` are characters of the piece before it."""

    section: int = 0
    after: str = ""
    skipped: int = 0


class HugeJob(Struct):
    """A job whose text is read in pieces, as often as it is needed."""

    connection: Connection
    id: int
    uid: str
    _seen: str = ""
    _seen_to: TextPosition = field(default_factory=TextPosition)

    def parts(self) -> Parts:
        """Yield the whole text, with None after each piece."""
        self._seen, self._seen_to = "", TextPosition()
        position = TextPosition()
        while position.section < END:
            text, position = self._piece(position)
            yield TextPart(self.uid, text, last=False)
            yield None
        yield TextPart(self.uid, "")

    def beginning(self, size: int) -> str:
        """Return the first `size` characters. They are kept until `parts` is called."""
        if len(self._seen) < size:
            more, self._seen_to = self.read(self._seen_to, size - len(self._seen))
            self._seen += more
        return self._seen[:size]

    def read(self, position: TextPosition, size: int) -> tuple[str, TextPosition]:
        """Return the next `size` characters, fewer at the end, and the position after them."""
        texts: list[str] = []
        while size > 0 and position.section < END:
            text, following = self._piece(position)
            taken = text[position.skipped : position.skipped + size]
            texts.append(taken)
            size -= len(taken)
            skipped = position.skipped + len(taken)
            position = following if skipped == len(text) else replace(position, skipped=skipped)
        return "".join(texts), position

    def passed(self, position: TextPosition) -> tuple[bytes, TextPosition]:
        """Return the digest of the rest of a piece, and the position after it. Whole pieces are compared by these."""
        text, following = self._piece(position)
        return hashlib.sha256(text[position.skipped :].encode("ascii")).digest(), following

    def _piece(self, position: TextPosition) -> tuple[str, TextPosition]:
        """Return the piece of the text that a position is in, and the position after it."""
        following = TextPosition(position.section + 1)
        kind = _KINDS.get(position.section)
        if kind is not None:
            page = self._page(kind, position.after)
            if not page:
                return "", following
            comma = "," if position.after else ""
            return comma + canonical_page(page), TextPosition(position.section, page[-1][0])
        frame = None if position.section == END else frame_of_job(self.connection, self.id)
        if frame is None:  # the session has expired meanwhile, and nothing of it will be published
            return "", TextPosition(END)
        return frame[position.section // 2], following

    def _page(self, kind: str, after: str) -> list[tuple[str, str]]:
        links = links_after(self.connection, self.id, kind, after, PIECE_LINKS)
        return up_to_size(links, PIECE_BYTES + 1, lambda link: len(link[0]) + len(link[1]))


def in_order(jobs: Sequence[HugeJob]) -> Iterator[HugeJob | None]:
    """Yield the jobs in the order of their texts, and None after each bounded piece of work.

    Jobs with equal beginnings form a group. Groups are split by what comes next until each has one job, or equal texts.
    """
    groups = [[(job, TextPosition()) for job in sorted(jobs, key=lambda job: job.uid)]]
    while groups:
        group = groups.pop()
        if len(group) == 1 or all(position.section == END for _job, position in group):
            yield from (job for job, _place in group)  # several: their texts are equal
            continue
        behind: set[tuple[bytes, TextPosition]] = set()
        for job, position in group:
            behind.add(job.passed(position))
            yield None
        if len(behind) == 1:
            ((_digest, common),) = behind
            groups.append([(job, common) for job, _place in group])
            continue
        split: dict[str, list[tuple[HugeJob, TextPosition]]] = {}
        for job, position in group:
            text, following = job.read(position, COMPARED)
            split.setdefault(text, []).append((job, following))
            yield None
        groups.extend(split[text] for text in sorted(split, reverse=True))
