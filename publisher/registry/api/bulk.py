"""Large requests: what the registry advertises about them, how many it holds at once, and the links of many jobs.

Bodies past the usual limit are accepted by the batches of jobs, artifacts and links only (`protocol.md §4`). No item of
such a body may be larger than the usual limit, so that a lineage has no item that a single request could not bring.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from http import HTTPStatus
from operator import attrgetter

from msgspec import Struct, json
from starlette.requests import Request

from roar_publisher.glaas.batches import JobLinks
from roar_publisher.glaas.protocol import GZIP
from roar_publisher.glaas.wire import BATCH_LIMIT, MOST_ITEMS
from roar_publisher.registry.api.bodies import declared_length
from roar_publisher.registry.http.refusals import Refusal
from roar_publisher.registry.store.jobs import LinkKind

MOST_LARGE_BODIES = 64
"""Requests at a time whose body may exceed the usual limit."""
BYTES_OF_CHARACTER = 6
"""The most that a character takes in JSON."""
BYTES_OF_HASH = 4096
"""More than a hash takes, which consists of two names (`wire.Name`)."""
OTHER_BYTES = 2048
"""More than the names of an item's fields and its numbers take."""


class BulkFeatures(Struct, frozen=True):
    """What the registry advertises about large requests, besides the features of registration sessions.

    `limit`, in bytes, is the `max_body_bytes` of a batch; None if batches have the usual limit. `encodings` are the
    `request_encodings`. `legacy_links_batch` is whether the legacy path has a `links/batch`.
    """

    limit: int | None = BATCH_LIMIT
    encodings: tuple[str, ...] = (GZIP,)
    legacy_links_batch: bool = True

    def advertised(self) -> dict[str, object]:
        """Return these features as `GET /health` names them."""
        named: dict[str, object] = {} if self.limit is None else {"max_body_bytes": self.limit}
        if self.encodings:
            named["request_encodings"] = self.encodings
        if self.legacy_links_batch:
            named["legacy_links_batch"] = True
        return named


class LargeBodies:
    """Lets a bounded number of requests at a time have a body past the usual limit, which bounds their memory.

    The others get a 413, after which a client sends less at once.
    """

    def __init__(self, most: int = MOST_LARGE_BODIES) -> None:
        self._left = most

    @contextmanager
    def limit(self, request: Request, large: int, usual: int) -> Iterator[int]:
        """Give the limit of a request's body, in bytes, for as long as the body is held."""
        if self._left == 0 or _is_surely_small(request, usual):
            yield usual
            return
        self._left -= 1
        try:
            yield large
        finally:
            self._left += 1


def check_item_sizes(items: Sequence[Struct], body_size: int, limit: int) -> None:
    """Raise `Refusal` (413) if an item of a body is larger than `limit` bytes."""
    if body_size <= limit or _most_bytes(items, limit) <= limit:
        return
    if any(len(json.encode(item)) > limit for item in items):
        raise Refusal(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"one of the items exceeds {limit} bytes")


def _most_bytes(items: Sequence[Struct], limit: int) -> int:
    """Return a bound of the bytes of each item: what the longest values of all fields take together, or more.

    Looking at one field of all items at a time takes a tenth of the time of looking at each item.
    """
    total = OTHER_BYTES
    for name in items[0].__struct_fields__ if items else ():
        values = list(filter(None, map(attrgetter(name), items)))
        kinds = set(map(type, values))
        if dict in kinds:
            return limit + 1
        if kinds & {str, list}:
            total += max(map(len, values)) * (BYTES_OF_HASH if list in kinds else BYTES_OF_CHARACTER)
    return total


def check_link_count(entries: Iterable[JobLinks]) -> None:
    """Raise `Refusal` (413) if a `links/batch` has too many links."""
    if sum(len(entry.artifacts) for entry in entries) > MOST_ITEMS:
        what = f"there are more than {MOST_ITEMS} links: send less at once"
        raise Refusal(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, what)


def links_reply(entries: Sequence[JobLinks], errors: Sequence[str | None]) -> dict[str, object]:
    """Return the reply to a `links/batch`: the links of the entries that were taken, and why the others were not."""
    linked = dict.fromkeys((f"{kind}_linked" for kind in LinkKind), 0)
    for entry, error in zip(entries, errors, strict=True):
        linked[f"{entry.kind}_linked"] += 0 if error else len(entry.artifacts)
    return {**linked, "errors": errors if any(errors) else []}


def _is_surely_small(request: Request, usual: int) -> bool:
    length = declared_length(request)
    return length is not None and length <= usual and "content-encoding" not in request.headers
