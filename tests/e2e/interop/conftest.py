"""Fixtures of the interop tests."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.interop.clients import running_registry


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[str]:
    """The address of a fresh registry."""
    with running_registry(tmp_path / "registry") as address:
        yield address


@pytest.fixture
def other_registry(tmp_path: Path) -> Iterator[str]:
    """The address of another fresh registry."""
    with running_registry(tmp_path / "other-registry") as address:
        yield address
