"""sqlite-utils without the numerical libraries that it would import.

`sqlite_utils.db` imports numpy and pandas wherever they are installed, for column types that no journal uses. In users'
environments that can cost up to a second, and it fails if either is broken.
"""

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from threading import get_ident
from types import ModuleType

OPTIONAL = frozenset({"numpy", "pandas", "sqlite_dump"})


class _Absent(MetaPathFinder):
    """Reports the optional libraries as missing, only to the thread that created it."""

    def __init__(self) -> None:
        self._thread = get_ident()

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None, /
    ) -> ModuleSpec | None:
        if fullname in OPTIONAL and get_ident() == self._thread:
            raise ModuleNotFoundError(f"{fullname} is not needed here", name=fullname)
        return None


@contextmanager
def _without_optional_libraries() -> Iterator[None]:
    absent = _Absent()
    sys.meta_path.insert(0, absent)
    try:
        yield
    finally:
        sys.meta_path.remove(absent)


with _without_optional_libraries():
    from sqlite_utils import Database, Migrations

__all__ = ["Database", "Migrations"]
