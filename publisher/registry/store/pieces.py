"""Rows that are read a few at a time, for readers that stop at a number of bytes.

An engine may hold the whole result of a statement in memory, however few of its rows are used: psycopg does.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

ROWS_AT_ONCE = 100
"""Rows that are in memory at once. A row is at most as large as a request, about 100 kB."""
R = TypeVar("R", bound=Sequence[Any])


def in_pieces(read: Callable[[Any, int], Sequence[R]], after: Any, limit: int) -> Iterator[R]:
    """Yield up to `limit` rows in the order of their first values. `read` returns so many rows after such a value."""
    while limit > 0:
        rows = read(after, min(limit, ROWS_AT_ONCE))
        yield from rows
        if len(rows) < ROWS_AT_ONCE:
            return
        limit -= len(rows)
        after = rows[-1][0]
