"""Lists of values as named parameters, which every SQL engine takes: `IN (:name0, :name1)`."""

from collections.abc import Iterator, Sequence
from typing import TypeVar

T = TypeVar("T")

MAX_PARAMETERS = 500
"""Values that are put into one statement."""


def placeholders(name: str, values: Sequence[object]) -> str:
    """Return the text for the parentheses of `IN`."""
    return ", ".join(f":{name}{number}" for number in range(len(values)))


def numbered(name: str, values: Sequence[T]) -> dict[str, T]:
    """Return the parameters that `placeholders` names."""
    return {f"{name}{number}": value for number, value in enumerate(values)}


def in_chunks(values: Sequence[T], size: int = MAX_PARAMETERS) -> Iterator[Sequence[T]]:
    """Yield the values in chunks for one statement each."""
    return (values[start : start + size] for start in range(0, len(values), size))
