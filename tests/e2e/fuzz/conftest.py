"""A folder in memory where there is one: the journal's commits wait for a disk, thousands of times."""

import os
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

IN_MEMORY = Path("/dev/shm")


@pytest.fixture(scope="module")
def quick_folder() -> Iterator[Path]:
    """An empty folder; gone afterwards."""
    usable = IN_MEMORY.is_dir() and os.access(IN_MEMORY, os.W_OK | os.X_OK)
    with TemporaryDirectory(prefix="roar-fuzz-", dir=IN_MEMORY if usable else None) as folder:
        yield Path(folder).resolve()
