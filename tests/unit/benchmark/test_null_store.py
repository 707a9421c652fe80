"""The store that discards everything, and what a client's upload to it costs."""

from pathlib import Path

import pytest
from benchmark import upload
from benchmark.measure import Cost

ROOT = Path(__file__).parents[3]
SIZE = 20 * 1024 * 1024


def test_every_client_uploads_to_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", f"{ROOT / 'scripts'}:{ROOT}")
    monkeypatch.setattr(upload, "ROUNDS", 1)
    monkeypatch.setattr(upload, "CRT", {})
    found = upload.measure_null_store(tmp_path / "null", SIZE, lambda text: None)
    assert {client: len(costs) for client, costs in found.costs.items()} == {"roar put": 1, "boto3": 1}
    assert found.setting == "one file of 20 MiB, null store"
    assert len(found.store_cpu) == 2
    assert min(found.store_cpu) > 0


def test_the_fastest_of_the_others_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    walls = {"ours": 1.0, "boto3": 3.0, "crt": 2.0}
    monkeypatch.setattr(upload, "CRT", {"boto3 with the CRT": "crt"})
    monkeypatch.setattr(upload, "_upload", lambda client, *more: Cost(walls[client], 1.0, 1.0))
    assert upload.measure_null_store(tmp_path / "null", 1, lambda text: None).fastest == "boto3 with the CRT"
