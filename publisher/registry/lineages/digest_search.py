"""Search for the digest that begins like a text, among the artifacts that a reader can see.

Digests of artifacts that the reader cannot see may begin in the same way. They are passed over, however many there are:
a limit would tell how many. The search runs in slices, so other requests run in between.
"""

from http import HTTPStatus

from msgspec import Struct, field

from roar_publisher.registry.http.refusals import Refusal
from roar_publisher.registry.lineages.artifact_views import no_such_artifact
from roar_publisher.registry.lineages.reading import SHORTEST_PREFIX
from roar_publisher.registry.store import artifacts
from roar_publisher.registry.store.access import Reader
from roar_publisher.registry.store.database import Connection
from roar_publisher.registry.store.lineages import LAST_CHARACTER

SLICE_DIGESTS = 1000
"""Digests that one slice looks at."""


class DigestSearch(Struct):
    """A search. `found` are digests that the reader can see, at most two. `position` is the last one looked at."""

    prefix: str
    reader: Reader
    position: str
    found: list[str] = field(default_factory=list)
    complete: bool = False

    def result(self) -> str:
        """Return the digest. Raises `Refusal`: 404 if there is none, 409 if several digests begin like this."""
        if not self.found:
            raise no_such_artifact()
        if len(self.found) > 1:
            raise Refusal(HTTPStatus.CONFLICT, f"several artifacts begin with {self.prefix}: give more of the digest")
        return self.found[0]


def begin_search(connection: Connection, prefix: str, reader: Reader) -> DigestSearch:
    """Begin a search. It is complete if the text is a whole digest, or has fewer than `SHORTEST_PREFIX` digits.

    A whole digest is found even if others begin like it. The legacy route of roar asks for each digest before it links
    it.
    """
    search = DigestSearch(prefix, reader, prefix)
    if len(prefix) < SHORTEST_PREFIX:
        search.complete = True
    elif artifacts.is_published(connection, prefix, reader):
        search.found, search.complete = [prefix], True
    return search


def search_slice(connection: Connection, search: DigestSearch) -> None:
    """Look at the next digests."""
    for _ in range(SLICE_DIGESTS):
        following = artifacts.next_digest(connection, search.position, search.prefix + LAST_CHARACTER)
        if following is None:
            search.complete = True
            return
        search.position = following
        if artifacts.is_published(connection, following, search.reader):
            search.found.append(following)
        if len(search.found) > 1:
            search.complete = True
            return
