"""Insertion of many rows, of which most have no value in their last columns.

Binding a null to a statement takes the `sqlite3` module as long as binding ten texts. So rows are given without the
columns at their end that are null, and there is a statement for each of a few lengths.
"""

from collections.abc import Mapping, Sequence

from roar_publisher.registry.store.database import Connection


def insert_rows(
    connection: Connection, statements: Mapping[int, str], conflict: str, rows: Sequence[Sequence[object]]
) -> int:
    """Insert rows, and return how many were written. `statements` are `INSERT INTO …` by the length of a row.

    `conflict` is `ON CONFLICT …`, the end of each statement. Rows of one length are inserted in their order, the
    shortest first.
    """
    written = 0
    lengths = set(map(len, rows))
    for length in sorted(lengths):
        chosen = rows if len(lengths) == 1 else [row for row in rows if len(row) == length]
        written += connection.executemany(f"{statements[length]} {conflict}", chosen).rowcount
    return written
