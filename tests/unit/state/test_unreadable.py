"""A journal that cannot be read at this moment, and one whose content is lost: how they are distinguished."""

import errno
import os
import resource
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from roar_publisher.state import damage, journal_file
from roar_publisher.state.damage import is_damaged
from roar_publisher.state.errors import Conclusion, LocalProblem
from roar_publisher.state.journal import Journal
from roar_publisher.state.paths import PublishPaths, StateFolder
from roar_publisher.state.status_reader import count_all, count_status
from tests.support.lineages import chain, cut, frozen


@pytest.fixture
def paths(folder: StateFolder) -> PublishPaths:
    with frozen(folder, cut(chain(2))) as made:
        return made.paths


def failing(code: int, text: str = "disk I/O error") -> sqlite3.OperationalError:
    """The error that SQLite raises with this code."""
    error = sqlite3.OperationalError(text)
    error.sqlite_errorcode = code
    return error


def problem_of(paths: PublishPaths, error: sqlite3.Error) -> LocalProblem:
    """The problem that the user sees."""
    with (
        Journal(paths.journal, read_only=True) as journal,
        pytest.raises(LocalProblem) as caught,
        journal.translated(),
    ):
        raise error
    return caught.value


@pytest.mark.parametrize(
    "code",
    [
        sqlite3.SQLITE_IOERR_READ,
        sqlite3.SQLITE_IOERR_FSYNC,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_READONLY_ROLLBACK,
        sqlite3.SQLITE_CORRUPT,
        sqlite3.SQLITE_NOTADB,
    ],
)
def test_what_the_integrity_check_does_not_confirm_is_no_damage(paths: PublishPaths, code: int) -> None:
    problem = problem_of(paths, failing(code))
    assert (problem.reason, problem.conclusion) == ("journal", Conclusion.INTERRUPTED)
    assert "at this moment" in problem.what
    assert problem.kept == "Everything up to the last checkpoint is kept."
    assert problem.next_step.endswith(f"then: roar publish --resume {paths.id}")


@pytest.mark.parametrize(
    ("number", "reason", "words"),
    [
        (errno.ENOSPC, "disk full", "the disk is full"),
        (errno.EDQUOT, "disk full", "your quota is used up"),
        (errno.EMFILE, "too many files", "ulimit -n"),
        (errno.EIO, "disk", "EIO"),
    ],
)
@pytest.mark.parametrize("code", [sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_IOERR_FSYNC, sqlite3.SQLITE_IOERR_WRITE])
def test_the_disk_is_asked_what_sqlite_does_not_tell(
    paths: PublishPaths, monkeypatch: pytest.MonkeyPatch, number: int, reason: str, words: str, code: int
) -> None:
    monkeypatch.setattr(journal_file, "probe_write", lambda folder: OSError(number, os.strerror(number)))
    problem = problem_of(paths, failing(code))
    assert (problem.reason, problem.conclusion) == (reason, Conclusion.INTERRUPTED)
    assert words in problem.what + problem.next_step


def test_a_check_that_fails_once_is_an_error_of_that_moment(
    paths: PublishPaths, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = iter([True, False])
    monkeypatch.setattr(damage, "_check_fails", lambda path: next(answers))
    assert problem_of(paths, failing(sqlite3.SQLITE_CORRUPT)).reason == "journal"
    assert next(answers, None) is None, "it was asked twice"


def test_what_is_lost_is_damaged(paths: PublishPaths) -> None:
    with paths.journal.open("r+b") as journal:
        journal.seek(0)
        journal.write(b"noise" * 1_000)
    assert is_damaged(paths.journal)
    with pytest.raises(LocalProblem) as caught:
        count_status(paths)
    assert (caught.value.reason, caught.value.conclusion) == ("damaged journal", Conclusion.FAILED)


@pytest.fixture
def no_more_files() -> Iterator[None]:
    """This process may open no file beside those that it has open."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    probe = os.open(os.devnull, os.O_RDONLY)
    os.close(probe)
    resource.setrlimit(resource.RLIMIT_NOFILE, (probe, hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_without_descriptors_a_publish_is_there_and_the_limit_is_named(
    paths: PublishPaths, no_more_files: None
) -> None:
    with pytest.raises(LocalProblem) as caught:
        count_status(paths)
    assert (caught.value.reason, caught.value.conclusion) == ("too many files", Conclusion.INTERRUPTED)
    assert "ulimit -n" in caught.value.next_step
    assert f"roar publish --resume {paths.id}" in caught.value.next_step


def test_a_file_system_without_folder_sync_takes_a_journal(
    folder: StateFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """CIFS and FUSE refuse `fsync` of a folder: nothing of the state needs it."""
    sync = os.fsync

    def refuse_folders(handle: int) -> None:
        if os.path.isdir(f"/proc/self/fd/{handle}"):
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        sync(handle)

    monkeypatch.setattr(os, "fsync", refuse_folders)
    with frozen(folder, cut(chain(2))) as made:
        made.paths.write_session_token("token")
    assert folder.user_key()
    assert len(list(count_all(folder))) == 1


def test_a_file_system_without_hard_links_has_a_key(folder: StateFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    """exFAT, sshfs and 9p."""

    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.EPERM, os.strerror(errno.EPERM))

    monkeypatch.setattr(os, "link", refuse)
    monkeypatch.setattr(Path, "hardlink_to", refuse)
    assert folder.user_key() == folder.user_key()
