"""The order equals that of `sorted`, in memory and on disk."""

import errno
import random
import tempfile
from pathlib import Path

import pytest

from roar_publisher.lineage import sorting
from roar_publisher.lineage.sorting import ExternalSort
from roar_publisher.state.errors import LocalProblem


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize(("characters", "block_bytes"), [(1, 2), (1, 1000), (60, 7), (60, 1000), (10_000, 1000)])
def test_runs_on_disk_merge_to_the_order_of_sorted(
    seed: int, characters: int, block_bytes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sorting, "RUN_CHARACTERS", characters)
    monkeypatch.setattr(sorting, "BLOCK_BYTES", block_bytes)
    chance = random.Random(seed)
    keys = [
        (chance.randrange(2), chance.randrange(-3, 12), chance.choice(["", "a b", '{"x": 1}', "b"])) for _ in range(90)
    ]
    with ExternalSort() as sorter:
        for key in keys:
            sorter.add(key)
        assert list(sorter.sorted()) == sorted(keys), f"seed {seed}"


def test_nothing_is_left_on_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(sorting, "RUN_CHARACTERS", 1)
    with ExternalSort() as sorter:
        sorter.add((1, 1, "a"))
        sorter.add((1, 0, "b"))
    assert list(tmp_path.iterdir()) == []


def test_a_missing_temporary_folder_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "gone"))
    monkeypatch.setattr(sorting, "RUN_CHARACTERS", 1)
    with ExternalSort() as sorter, pytest.raises(LocalProblem, match="the temporary folder"):
        sorter.add((1, 1, "a"))


def test_an_unusable_temporary_folder_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    def none(*arguments: object) -> str:
        raise FileNotFoundError(errno.ENOENT, "No usable temporary directory found")

    monkeypatch.setattr(tempfile, "gettempdir", none)
    monkeypatch.setattr(tempfile, "TemporaryFile", none)
    monkeypatch.setattr(sorting, "RUN_CHARACTERS", 1)
    with ExternalSort() as sorter, pytest.raises(LocalProblem, match="a temporary folder") as caught:
        sorter.add((1, 1, "a"))
    assert "TMPDIR" in caught.value.next_step


def test_a_full_temporary_folder_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "TemporaryFile", lambda: Path("/dev/full").open("w+b"))
    monkeypatch.setattr(sorting, "RUN_CHARACTERS", 1)
    with pytest.raises(LocalProblem, match="No space left"), ExternalSort() as sorter:
        sorter.add((1, 1, "a"))


def test_runs_on_disk_are_encrypted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = (tmp_path / "run").open("w+b")
    monkeypatch.setattr(tempfile, "TemporaryFile", lambda: kept)
    monkeypatch.setattr(sorting, "RUN_CHARACTERS", 1)
    with ExternalSort() as sorter:
        sorter.add((1, 1, "--password hunter2"))
        on_disk = (tmp_path / "run").read_bytes()
        assert len(on_disk) == len("1 1 --password hunter2\n")
        assert b"hunter2" not in on_disk
        assert list(sorter.sorted()) == [(1, 1, "--password hunter2")]


def test_a_run_that_cannot_be_read_back_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """/proc/self/mem stands for a failing disk: reading its first bytes gives EIO."""
    monkeypatch.setattr(sorting, "RUN_CHARACTERS", 1)
    with ExternalSort() as sorter:
        sorter.add((1, 1, "a"))
        with open("/proc/self/mem", "rb", buffering=0) as failing:
            monkeypatch.setattr(sorter._runs[0], "_file", failing)
            with pytest.raises(LocalProblem, match="Input/output error") as caught:
                list(sorter.sorted())
    assert "TMPDIR" in caught.value.next_step
