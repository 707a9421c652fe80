"""A registry for all tests of a process, and a captured project with a program for each."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.cli.program import Program
from tests.support.lineage.captured import captured_project
from tests.support.registry.processes import served


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a running registry."""
    with served(tmp_path_factory.mktemp("registry")) as url:
        yield url


@pytest.fixture
def program(tmp_path: Path) -> Program:
    """The program in a fresh copy of the project `linear`."""
    return Program.within(captured_project("linear", tmp_path), tmp_path)
