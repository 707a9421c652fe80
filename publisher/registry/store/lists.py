"""Lists as values of named parameters: `IN (:name)`, and `VALUES (:name)` for rows of one column.

SQL has a placeholder for each value, so statements differ by the lengths of their lists. A list is filled up to a power
of two by its last value: a few statements serve all lengths, and the engine prepares each only once. The placeholders
have no names: SQLite looks up each name among all of a statement, which takes milliseconds for a thousand.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import TypeVar

T = TypeVar("T")

STATEMENTS = 512
"""Expanded statements that are remembered."""
LONGEST = 500
"""Values of one piece of a list that may have any length."""
_PARAMETER = re.compile(r"'[^']*'|(VALUES \()?:([a-z_][a-z_0-9]*)(?(1)\))")


def expanded(sql: str, parameters: Mapping[str, object]) -> tuple[str, list[object]]:
    """Return the statement with a `?` for each value, and the values in their order.

    An empty list stands for one null, which equals nothing. The list must not be that of a negated condition.
    """
    filled = {name: _filled(value) for name, value in parameters.items() if isinstance(value, list | tuple)}
    text, names = _with_placeholders(sql, tuple((name, len(values)) for name, values in filled.items()))
    values: list[object] = []
    for name in names:
        if name in filled:
            values += filled[name]
        else:
            values.append(parameters[name])
    return text, values


def has_lists(parameters: Mapping[str, object]) -> bool:
    """Return whether there is something to expand."""
    return any(isinstance(value, list | tuple) for value in parameters.values())


def in_chunks(values: Sequence[T]) -> Iterator[Sequence[T]]:
    """Yield the values in pieces for one statement each."""
    return (values[start : start + LONGEST] for start in range(0, len(values), LONGEST))


def _filled(values: list[object] | tuple[object, ...]) -> list[object]:
    size = 1 << max(0, len(values) - 1).bit_length()
    return [*values, *[values[-1] if values else None] * (size - len(values))]


@lru_cache(STATEMENTS)
def _with_placeholders(sql: str, sizes: tuple[tuple[str, int], ...]) -> tuple[str, list[str]]:
    """Return the statement with its placeholders, and the name of the parameter of each in their order."""
    sizes_of, names = dict(sizes), list[str]()

    def placeholders(found: re.Match[str]) -> str:
        rows, name = found[1], found[2]
        if name is None:  # a text of the statement
            return found[0]
        names.append(name)
        each = ", ".join(["(?)" if rows else "?"] * sizes_of.get(name, 1))
        return f"VALUES {each}" if rows else each

    return _PARAMETER.sub(placeholders, sql), names
