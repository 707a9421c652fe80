"""What to do first after an error of the system: its own remedy, and for no other error that of permissions."""

import errno
import os
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from roar_publisher.state import journal_file
from roar_publisher.state.errors import LocalProblem
from roar_publisher.state.journal import Journal
from roar_publisher.state.reasons import Reason
from roar_publisher.state.system_errors import explain_os_error


@pytest.mark.parametrize(
    ("code", "remedy"),
    [
        (errno.EACCES, "fix its permissions"),
        (errno.EPERM, "fix its permissions"),
        (errno.ESTALE, "check the disk or the mount that it is on"),
        (errno.ETIMEDOUT, "check the disk or the mount that it is on"),
        (errno.ENOTCONN, "check the disk or the mount that it is on"),
        (errno.ENXIO, "move that away"),
        (errno.EISDIR, "move that away"),
        (errno.ENOTDIR, "move that away"),
        (errno.ENAMETOOLONG, "use a shorter path, or another file system"),
        (errno.EROFS, "make it writable"),
    ],
    ids=lambda value: errno.errorcode[value] if isinstance(value, int) else "",
)
def test_a_system_error_has_its_own_remedy(code: int, remedy: str) -> None:
    assert explain_os_error(OSError(code, os.strerror(code)), Reason.JOURNAL).remedy == remedy


def test_a_journal_that_another_process_uses_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal_file, "BUSY_TIMEOUT_MS", 0)
    path = tmp_path / "journal.db"
    with closing(Journal(path)) as journal, closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(LocalProblem, match="database is locked") as caught:
            journal.units.tally()
    assert caught.value.next_step.startswith("wait until no other process uses it, then: roar publish --resume")
