"""Lists as values of named parameters: `IN (:name)`, and `VALUES (:name)` for rows of one column.

SQL has a placeholder for each value, so statements differ by the lengths of their lists. A list is filled up to a power
of two by its last value: a few statements serve all lengths, and the engine prepares each only once.
"""

import re
from collections.abc import Mapping
from functools import lru_cache

STATEMENTS = 512
"""Expanded statements that are remembered."""


def expanded(sql: str, parameters: Mapping[str, object]) -> tuple[str, dict[str, object]]:
    """Return the statement and its parameters with a placeholder for each value of a list.

    An empty list stands for one null, which equals nothing. The list must not be that of a negated condition.
    """
    values: dict[str, object] = {}
    sizes = []
    for name, value in parameters.items():
        if not isinstance(value, list | tuple):
            values[name] = value
            continue
        size = 1 << max(0, len(value) - 1).bit_length()
        last = value[-1] if value else None
        sizes.append((name, size))
        values.update((f"{name}_{number}", item) for number, item in enumerate(value))
        values.update((f"{name}_{number}", last) for number in range(len(value), size))
    return (_with_places(sql, tuple(sizes)), values) if sizes else (sql, values)


def has_lists(parameters: Mapping[str, object]) -> bool:
    """Return whether there is something to expand."""
    return any(isinstance(value, list | tuple) for value in parameters.values())


@lru_cache(STATEMENTS)
def _with_places(sql: str, sizes: tuple[tuple[str, int], ...]) -> str:
    for name, size in sizes:
        places = [f":{name}_{number}" for number in range(size)]
        rows = ", ".join(f"({place})" for place in places)
        sql = re.sub(rf"VALUES \(:{name}\)", f"VALUES {rows}", sql)
        sql = re.sub(rf":{name}\b", ", ".join(places), sql)
    return sql
