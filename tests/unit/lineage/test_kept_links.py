"""Links come back as the units that hold them, from memory and from a file."""

import json
import tempfile
from pathlib import Path

import pytest

from roar_publisher.lineage import kept_links
from roar_publisher.lineage.batches import MAX_ITEMS
from roar_publisher.lineage.kept_links import KeptLinks, LinksUnit
from roar_publisher.state.errors import LocalProblem
from roar_publisher.state.units import Kind

LINK = json.dumps({"hash": "ab", "path": "a b\n\tc"})


@pytest.fixture(params=[1, kept_links.BYTES_IN_MEMORY], autouse=True)
def _size(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept_links, "BYTES_IN_MEMORY", request.param)


def test_units_come_back_in_order() -> None:
    most = MAX_ITEMS[Kind.OUTPUTS]
    with KeptLinks() as links:
        links.add(0, Kind.INPUTS, [])
        links.add(0, Kind.OUTPUTS, [LINK] * (most + 1))
        links.add(1, Kind.INPUTS, [LINK, LINK])
        units = list(links.units())
    assert [(unit.seq, unit.kind, unit.items) for unit in units] == [
        (0, Kind.OUTPUTS, most),
        (0, Kind.OUTPUTS, 1),
        (1, Kind.INPUTS, 2),
    ]
    assert [json.loads(unit.body) for unit in units] == [[json.loads(LINK)] * unit.items for unit in units]


def test_nothing_is_left_on_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with KeptLinks() as links:
        links.add(0, Kind.INPUTS, [LINK])
        assert list(links.units()) == [LinksUnit(0, Kind.INPUTS, 1, f"[{LINK}]".encode())]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("full", [False, True])
def test_a_temporary_folder_that_cannot_be_used_is_reported(
    full: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kept_links, "BYTES_IN_MEMORY", 1)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "gone"))
    if full:
        monkeypatch.setattr(tempfile, "TemporaryFile", lambda **_: Path("/dev/full").open("w+b"))
    with pytest.raises(LocalProblem, match="the temporary folder"), KeptLinks() as links:
        links.add(0, Kind.INPUTS, [LINK])
