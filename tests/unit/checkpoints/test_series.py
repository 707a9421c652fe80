"""The folder of a series, and the records in it."""

import errno
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from roar_publisher.checkpoints import series as series_module
from roar_publisher.checkpoints.record import End, HeldSource, Record
from roar_publisher.checkpoints.series import DONE, TAKEN, WAITING, Series, series_in
from roar_publisher.checkpoints.snapshot import BESIDE
from roar_publisher.checkpoints.view import checkpoints_of


@pytest.fixture
def series(tmp_path: Path) -> Series:
    made = Series.of(tmp_path, "s3://bucket/run")
    made.make()
    return made


def submitted(series: Series, step: int, *, keep: int = 0) -> Record:
    """A checkpoint that waits."""
    home = series.files / f"home-{step}"
    home.mkdir()
    return series.add(
        Record(
            name=f"step-{step}",
            step=step,
            created_at=float(step),
            metrics={"loss": 0.5},
            pinned=False,
            size=7,
            home=str(home),
            sources=(HeldSource("model.pt", {"": (7, 1)}),),
            destination="s3://bucket/run",
            message="checkpoint",
            visibility=None,
            registry=None,
            yes=False,
            project="/project",
            commit="ab",
            keep=keep,
        )
    )


def rewritten(series: Series, record: Record, text: bytes) -> Record | None:
    """What is read of a record whose file has another text."""
    (series.folder / WAITING / f"{record.name}.json").write_bytes(text)
    return series.read(WAITING, record.name)


def end(series: Series, record: Record, how: End) -> None:
    assert series.move(record.name, WAITING, TAKEN)
    series.finish(replace(record, end=how.value))


def test_a_record_is_read_as_it_was_written(series: Series) -> None:
    record = submitted(series, 1)
    assert series.records(WAITING) == [record]


@pytest.mark.parametrize(
    "change",
    [
        {"version": 2},
        {"version": None},
        {"sources": 5},
        {"sources": [{"typed": "model.pt"}]},
        {"sources": [{"typed": "model.pt", "files": []}]},
        {"sources": [{"typed": "model.pt", "files": {"": [1]}}]},
        {"sources": [{"typed": "model.pt", "files": {"": [None, 1]}}]},
    ],
)
def test_a_record_of_another_release_is_refused(series: Series, change: dict[str, Any]) -> None:
    record = submitted(series, 1)
    document = json.loads(record.as_json())
    assert rewritten(series, record, json.dumps(document | change).encode()) is None
    assert series.records(WAITING) == []


@pytest.mark.parametrize("text", [b"", b"[]", b"null", b"{}", b"\xff"])
def test_what_is_no_record_is_refused(series: Series, text: bytes) -> None:
    assert rewritten(series, submitted(series, 1), text) is None


def test_a_record_that_lacks_a_field_is_refused_and_one_more_is_ignored(series: Series) -> None:
    record = submitted(series, 1)
    document = json.loads(record.as_json())
    assert rewritten(series, record, json.dumps(document | {"later": 1}).encode()) == record
    del document["commit"]
    assert rewritten(series, record, json.dumps(document).encode()) is None


@pytest.mark.parametrize(("keep", "left"), [(0, []), (1, [3]), (2, [2, 3]), (3, [1, 2, 3]), (5, [1, 2, 3])])
def test_the_newest_published_snapshots_stay(series: Series, keep: int, left: list[int]) -> None:
    for step in (1, 2, 3):
        end(series, submitted(series, step, keep=keep), End.PUBLISHED)
    assert [one.step for one in series.records(DONE) if one.snapshot.exists()] == left


@pytest.mark.parametrize("how", [End.FAILED, End.CHANGED])
def test_what_is_not_published_leaves_no_snapshot(series: Series, how: End) -> None:
    end(series, submitted(series, 1, keep=2), how)
    assert list(series.files.iterdir()) == []


def test_a_problem_is_there_until_it_is_solved(series: Series) -> None:
    found = [series.problem]
    for what, next_step in (("no room", "free some"), ("", ""), ("", "")):
        series.set_problem(what, next_step)
        found.append(series.problem)
    assert found == [None, {"what": "no room", "next": "free some"}, None, None]


def test_a_checkpoint_that_moves_while_they_are_listed_is_listed_once_in_its_later_state(
    series: Series, monkeypatch: pytest.MonkeyPatch
) -> None:
    record, read = submitted(series, 1), Series.records

    def taken_meanwhile(listed: Series, state: str) -> list[Record]:
        found = read(listed, state)
        if state == WAITING:
            assert listed.move(record.name, WAITING, TAKEN)
        return found

    monkeypatch.setattr(Series, "records", taken_meanwhile)
    assert [one.state for one in checkpoints_of(series)] == ["publishing"]


def test_strays_that_the_daemon_removes_at_the_same_time_are_passed_over(
    series: Series, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A training begins while the daemon ends a checkpoint of the one before."""
    for name in ("a", "b"):
        (series.files / name).mkdir()
        os.utime(series.files / name, (0, 0))
    listed = Path.iterdir

    def removed(folder: Path) -> Iterator[Path]:
        for path in sorted(listed(folder)):
            if path == series.files / "a":
                path.rmdir()
            yield path

    monkeypatch.setattr(Path, "iterdir", removed)
    series.remove_strays(1.0)
    monkeypatch.undo()
    assert list(series.files.iterdir()) == []


@pytest.mark.parametrize("why", ["stale", "of a newer release", "no record", "no list"])
def test_the_snapshot_of_a_record_that_cannot_be_read_is_no_stray(
    series: Series, monkeypatch: pytest.MonkeyPatch, why: str
) -> None:
    record = submitted(series, 1)
    (series.files / "stray").mkdir()
    path = series.folder / WAITING / f"{record.name}.json"
    if why == "of a newer release":
        path.write_text(json.dumps({"version": 2, "home": record.home}))
    elif why == "no record":
        path.write_bytes(b"")

    def stale(path: Path) -> bytes:
        raise OSError(errno.ESTALE, os.strerror(errno.ESTALE))

    with monkeypatch.context() as patched:
        if why == "stale":
            patched.setattr(series_module, "read_private", stale)
        elif why == "no list":
            patched.setattr(os, "listdir", stale)
        series.remove_strays(2.0**40)
    assert record.snapshot.exists()
    assert (series.files / "stray").exists() == (why != "of a newer release"), "nothing is removed if it is unknown"


def test_strays_on_another_file_system_are_removed_with_the_links_to_them(series: Series, tmp_path: Path) -> None:
    beside = tmp_path / f"{BESIDE}{os.geteuid()}"
    beside.mkdir(mode=0o700)
    for name in ("kept", "stray"):
        (beside / name / "held-0").mkdir(parents=True)
        (series.files / name).symlink_to(beside / name)
        os.utime(series.files / name, (0, 0), follow_symlinks=False)
    (series.files / "dangling").symlink_to(beside / "dangling")
    os.utime(series.files / "dangling", (0, 0), follow_symlinks=False)
    series.update(WAITING, replace(submitted(series, 1), home=str(beside / "kept")))
    series.remove_strays(1.0)
    assert [path.name for path in beside.iterdir()] == ["kept"]
    assert {path.name for path in series.files.iterdir()} == {"kept", "home-1"}


@pytest.mark.parametrize("beside_is", ["theirs", "a link"])
def test_what_another_user_puts_in_the_place_of_a_stray_is_not_removed(
    series: Series, tmp_path: Path, beside_is: str
) -> None:
    precious = tmp_path / "precious"
    (precious / "stray").mkdir(parents=True)
    beside = tmp_path / BESIDE
    if beside_is == "theirs":
        beside.mkdir()
        beside.chmod(0o777)
        (beside / "stray").symlink_to(precious / "stray")
    else:
        beside.symlink_to(precious)
    (series.files / "stray").symlink_to(beside / "stray")
    os.utime(series.files / "stray", (0, 0), follow_symlinks=False)
    series.remove_strays(1.0)
    assert (precious / "stray").is_dir()
    assert list(series.files.iterdir()) == []


def test_only_folders_are_series(series: Series, tmp_path: Path) -> None:
    (series.folder.parent / "notes.txt").touch()
    assert [each.folder for each in series_in(series.folder.parent)] == [series.folder]
    assert list(series_in(series.folder.parent / "notes.txt")) == []
    assert list(series_in(tmp_path / "missing")) == []
