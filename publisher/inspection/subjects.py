"""What is inspected: objects with the digest that the lineage names, and what the journal of their put knows."""

import math
import random
from collections.abc import Iterable, Iterator, Sequence

from msgspec import Struct

from roar_publisher.state.journal import Journal
from roar_publisher.storage.addresses import Destination, parse_object
from roar_publisher.storage.source import Content


class Subject(Struct, frozen=True):
    """One object. digest: blake3, in hex.

    content: the local file that was put, by which a store's checksum and single parts are proven; None if this machine
    did not put it. tag: the store's name for what was stored then.
    """

    url: str
    digest: str
    content: Content | None = None
    tag: str = ""

    @property
    def size(self) -> int | None:
        """Its size in bytes; None if it is not known."""
        return None if self.content is None else self.content.size

    @property
    def address(self) -> Destination:
        """The parsed address. Raises UsageProblem for what is none."""
        return parse_object(self.url)


def put_by(journal: Journal) -> Iterator[Subject]:
    """Yield the objects of a put of this machine."""
    for row in journal.objects.all():
        content = Content.from_json(row.content)
        yield Subject(row.url, content.blake3, content, row.tag)


def merged(located: Iterable[Subject], put_here: Iterable[Subject]) -> list[Subject]:
    """Return each object once, in the order of addresses; what is known of those that were put here is kept."""
    found = {(each.url, each.digest): each for each in located} | {(each.url, each.digest): each for each in put_here}
    return [found[name] for name in sorted(found)]


def sample(subjects: Sequence[Subject], percent: float, seed: int) -> list[Subject]:
    """Return so many percent of the objects, rounded up, the same for the same seed."""
    number = min(len(subjects), math.ceil(len(subjects) * percent / 100))
    chosen = random.Random(seed).sample(range(len(subjects)), number)  # nosec B311  # a sample, no secret
    return [subjects[place] for place in sorted(chosen)]
