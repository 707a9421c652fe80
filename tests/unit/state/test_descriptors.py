"""Fewer connections where few files may be open, and the folders that the environment names."""

import resource
from collections.abc import Callable
from pathlib import Path

import pytest

from roar_publisher.net.connection import RegistryConnection
from roar_publisher.state.descriptors import EACH, RESERVED, connections_that_fit, raise_limit
from roar_publisher.state.limits import MOST_REQUESTS
from roar_publisher.state.xdg import base_folder
from roar_publisher.storage.http import StoreConnection


@pytest.fixture
def limited(monkeypatch: pytest.MonkeyPatch) -> Callable[[int, int], list[tuple[int, int]]]:
    """Pretends these limits; what is set is listed."""
    changes: list[tuple[int, int]] = []

    def limit(soft: int, hard: int) -> list[tuple[int, int]]:
        monkeypatch.setattr(resource, "getrlimit", lambda what: (soft, hard))
        monkeypatch.setattr(resource, "setrlimit", lambda what, limits: changes.append(limits))
        return changes

    return limit


@pytest.mark.parametrize(
    ("soft", "wanted", "fits"),
    [
        (64, 64, (64 - RESERVED) // EACH),
        (64, 4, 4),
        (1024, 64, 64),
        (resource.RLIM_INFINITY, 64, 64),
        (16, 64, 1),
    ],
)
def test_connections_follow_the_limit(limited: Callable[[int, int], object], soft: int, wanted: int, fits: int) -> None:
    limited(soft, soft)
    assert connections_that_fit(wanted) == fits


@pytest.mark.anyio
async def test_a_line_has_no_more_requests_under_way_than_fit(limited: Callable[[int, int], object]) -> None:
    limited(RESERVED + EACH, RESERVED + EACH)
    assert connections_that_fit(MOST_REQUESTS) == 1
    async with RegistryConnection("http://registry.localhost") as line:
        assert line.limit.current == 1


@pytest.mark.anyio
async def test_a_store_gets_no_more_connections_than_fit(limited: Callable[[int, int], object]) -> None:
    limited(RESERVED + EACH, RESERVED + EACH)
    connection = StoreConnection(connections=64, report=lambda report: None, patience=0)
    assert connection.budget.slots.total_tokens == 1


@pytest.mark.parametrize(
    ("soft", "hard", "changes"),
    [(256, 1024, [(1024, 1024)]), (1024, 1024, []), (256, resource.RLIM_INFINITY, [(4096, resource.RLIM_INFINITY)])],
)
def test_the_soft_limit_is_raised(
    limited: Callable[[int, int], list[tuple[int, int]]], soft: int, hard: int, changes: list[tuple[int, int]]
) -> None:
    changed = limited(soft, hard)
    raise_limit()
    assert changed == changes


@pytest.mark.parametrize("variable", ["XDG_STATE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME"])
def test_only_absolute_folders_count(tmp_path: Path, variable: str) -> None:
    assert base_folder({variable: "/somewhere"}, variable, ".base", tmp_path) == Path("/somewhere")
    for relative in ("somewhere", "./somewhere", "", "~/somewhere"):
        assert base_folder({variable: relative}, variable, ".base", tmp_path) == tmp_path / ".base"
