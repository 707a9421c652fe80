"""Files that only save work: begun anew when they are damaged, and left alone when they are in use."""

import os
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from roar_publisher.state import rebuildable
from roar_publisher.state.rebuildable import open_rebuildable, remove

SCRIPT = "CREATE TABLE IF NOT EXISTS done (part INTEGER PRIMARY KEY)"


def parts(path: Path) -> list[int]:
    with closing(open_rebuildable(path, SCRIPT)) as connection:
        return [part for (part,) in connection.execute("SELECT part FROM done")]


def leave_behind(path: Path) -> None:
    for suffix in ("-journal", "-wal", "-shm"):
        path.with_name(path.name + suffix).write_bytes(b"of the damaged one")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    with closing(open_rebuildable(tmp_path / "x.db", SCRIPT)) as connection:
        connection.execute("INSERT INTO done VALUES (7)")
    return tmp_path / "x.db"


def test_what_was_kept_is_there(path: Path) -> None:
    assert parts(path) == [7]


def test_a_damaged_file_is_begun_anew_without_what_lay_beside_it(path: Path) -> None:
    path.write_bytes(b"x" * 8192)
    leave_behind(path)
    assert parts(path) == []
    leave_behind(path)
    remove(path)
    remove(path)
    assert list(path.parent.iterdir()) == []


def test_one_that_is_in_use_is_not_removed(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rebuildable, "BUSY_SECONDS", 0.0)
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(sqlite3.OperationalError):
            open_rebuildable(path, SCRIPT)
    assert parts(path) == [7]


def test_a_link_is_not_followed(path: Path, tmp_path: Path) -> None:
    os.symlink(path, tmp_path / "link")
    with pytest.raises(OSError, match="symbolic"):
        open_rebuildable(tmp_path / "link", SCRIPT)
