"""Insertion of many rows, of which most have no value in their last columns.

Binding a null to a statement takes the `sqlite3` module as long as binding ten texts. So rows are given without the
columns at their end that are null, and there is a statement for each of a few lengths.
"""

from collections.abc import Mapping, Sequence
from itertools import chain

from roar_publisher.registry.store.database import Connection

SEVERAL = 64
"""Rows that `insert_neighbours` inserts with one statement."""


def insert_rows(
    connection: Connection, statements: Mapping[int, str], conflict: str, rows: Sequence[Sequence[object]]
) -> int:
    """Insert rows, and return how many were written. `statements` are `INSERT INTO … VALUES (…)` by the length of a
    row.

    `conflict` is `ON CONFLICT …`, the end of each statement. Rows of one length are inserted in their order, the
    shortest first.
    """
    return sum(
        connection.executemany(f"{statements[length]} {conflict}", some).rowcount
        for length, some in _by_length(rows).items()
    )


def insert_neighbours(connection: Connection, statements: Mapping[int, str], rows: Sequence[Sequence[object]]) -> int:
    """Like `insert_rows`, for rows that come to lie side by side. Those that conflict with others are left out.

    Inserting several with one statement takes half as long. Elsewhere it gains nothing: SQLite keeps a copy of each
    page that such a statement changes until the statement has ended.
    """
    written = 0
    for length, some in _by_length(rows).items():
        placeholders = f"({', '.join('?' * length)})"
        whole = len(some) - len(some) % SEVERAL
        parts = [list(chain.from_iterable(some[start : start + SEVERAL])) for start in range(0, whole, SEVERAL)]
        for number, values in ((SEVERAL, parts), (1, some[whole:])):
            if values:
                more = f", {placeholders}" * (number - 1)
                sql = f"{statements[length]}{more} ON CONFLICT DO NOTHING"
                written += connection.executemany(sql, values).rowcount
    return written


def _by_length(rows: Sequence[Sequence[object]]) -> dict[int, Sequence[Sequence[object]]]:
    lengths = sorted(set(map(len, rows)))
    if len(lengths) == 1:
        return {lengths[0]: rows}
    return {length: [row for row in rows if len(row) == length] for length in lengths}
