"""Lists of lineages by repository, owner or project, and search by words, limited to what the reader may read."""

import heapq
import math
from collections.abc import Iterable, Sequence
from http import HTTPStatus
from itertools import islice
from typing import TypeAlias

from msgspec import Struct

from roar_publisher.registry.http.refusals import Refusal
from roar_publisher.registry.lineages.reading import SHORTEST_PREFIX
from roar_publisher.registry.lineages.words import sought_words
from roar_publisher.registry.store import listing
from roar_publisher.registry.store.access import PUBLIC_SPACE, Reader, spaces_of
from roar_publisher.registry.store.database import Connection
from roar_publisher.registry.store.lineages import two_with_prefix
from roar_publisher.registry.store.listing import Entry, FoundWord, Moment

Listed: TypeAlias = Entry
"""A lineage in a list, for the pages, which may not import the store."""
LISTED = 50
"""Lineages on one page of a list."""
HIT_KINDS = ("command", "path", "label", "repository")
"""Kinds of words that a search looks for."""
MAX_SOUGHT = 5
"""Words of a query that count."""
MAX_CANDIDATES = 300
"""Words that are looked at for each kind and space. If there are more, the newest are, and the result says so."""


class ListPage(Struct, frozen=True):
    """One page of a list. `more` says whether there are older lineages."""

    entries: list[Entry]
    more: bool


class Hit(Struct, frozen=True):
    """A lineage that was found. `kind` and `word` say by what, `entity` where, as in `lineage_words.Word`."""

    entry: Entry
    kind: str
    word: str
    entity: str


class SearchResult(Struct, frozen=True):
    """What was found: lineages by their hash, an artifact by its digest, and lineages by words, newest first."""

    lineages: list[str]
    artifact: str | None
    hits: list[Hit]
    complete: bool


def list_lineages(
    connection: Connection, reader: Reader, *, only: tuple[str, str] | None, visibility: str, before: Moment | None
) -> ListPage:
    """Return the newest lineages that a reader can see, before a moment.

    `only` is as in `newest_in_space`. `visibility` is `public`, `private`, or empty for both.
    """
    spaces = [space for space in spaces_of(reader) if visibility in ("", _visibility(space))]
    lists = (listing.newest_in_space(connection, space, only, before, LISTED + 1) for space in spaces)
    found = list(islice(heapq.merge(*lists, key=lambda entry: (-entry.published_at, entry.hash)), LISTED + 1))
    return ListPage(found[:LISTED], len(found) > LISTED)


def moment_of(at: str | None, after: str | None) -> Moment | None:
    """Return the place in a list that a query names; None if it names none. Raises `Refusal` (422)."""
    if at is None and after is None:
        return None
    try:
        seconds = float(at or "")
    except ValueError:
        seconds = math.nan
    if not math.isfinite(seconds):
        raise Refusal(HTTPStatus.UNPROCESSABLE_ENTITY, "`at` must be a number of seconds")
    return seconds, after or ""


def may_be_beginning(query: str) -> bool:
    """Return whether a query is also looked up as the beginning of a hash and of a digest."""
    text = query.strip()
    return len(text) >= SHORTEST_PREFIX and " " not in text


def search(
    connection: Connection, query: str, kinds: Sequence[str], reader: Reader, artifact: str | None
) -> SearchResult:
    """Find lineages with jobs, artifacts, labels or a repository whose words begin like those of the query.

    All words must be found, in one of the `kinds`. `artifact` is the digest that begins like the query, if there is
    one. Lineages that are not indexed yet are not found by words.
    """
    text = query.strip()
    lineages: list[str] = []
    if may_be_beginning(text):
        lineages = [match.hash for match in two_with_prefix(connection, text, reader)]
    words = sorted(sought_words(text), key=len, reverse=True)[:MAX_SOUGHT]
    hits: dict[int, Hit] = {}
    complete = True
    for kind in kinds if words else ():
        for space in spaces_of(reader):
            candidates = _candidates(connection, space, kind, words)
            complete = complete and len(candidates) <= MAX_CANDIDATES
            for word in _with_all(connection, candidates[:MAX_CANDIDATES], kind, words):
                entry = None if word.graph_id in hits else listing.entry_of(connection, word.graph_id, space)
                if entry is not None:
                    hits[word.graph_id] = Hit(entry, kind, word.word, word.entity)
    newest = sorted(hits.values(), key=lambda hit: (-hit.entry.published_at, hit.entry.hash))
    return SearchResult(lineages, artifact, newest[:LISTED], complete and len(newest) <= LISTED)


def _candidates(connection: Connection, space: str, kind: str, words: Sequence[str]) -> list[FoundWord]:
    """Return what begins like the rarest of the words, which is in every lineage that has all of them.

    There is one more than `MAX_CANDIDATES` if even that word is too frequent for a complete search.
    """
    rarest: list[FoundWord] | None = None
    for word in words:
        found = listing.words_with_prefix(connection, space, kind, word, MAX_CANDIDATES + 1)
        rarest = found if rarest is None or len(found) < len(rarest) else rarest
    return rarest or []


def _with_all(
    connection: Connection, found: Iterable[FoundWord], kind: str, words: Sequence[str]
) -> Iterable[FoundWord]:
    checked: dict[int, bool] = {}
    for word in found:
        if word.graph_id not in checked:
            checked[word.graph_id] = all(listing.has_word(connection, word.graph_id, kind, each) for each in words)
            if checked[word.graph_id]:
                yield word


def _visibility(space: str) -> str:
    return "public" if space == PUBLIC_SPACE else "private"
