"""What the daemon knows of the journals: never older than they are, and read again only where they changed."""

import errno
import os
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from roar_publisher.daemon import index as roster_module
from roar_publisher.daemon.index import SETTLED_SECONDS, PublishIndex
from roar_publisher.state.errors import LocalProblem, Owned
from roar_publisher.state.lock import Lock, owner
from roar_publisher.state.machine import Event
from roar_publisher.state.paths import PublishPaths, StateFolder
from roar_publisher.state.publish import OwnedPublish
from roar_publisher.state.reasons import Reason
from roar_publisher.state.status import JournalStatus
from roar_publisher.state.status_reader import read_status
from tests.support.lineages import chain, cut, frozen
from tests.support.processes import line_of, running
from tests.support.state.folders import new_publish

LONG_AGO = 1_000_000.0
NONE: frozenset[str] = frozenset()


class Clock:
    """The wall clock that files are compared with."""

    def __init__(self) -> None:
        self.now = 2_000_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def wall_clock() -> Clock:
    return Clock()


@pytest.fixture
def index(folder: StateFolder, wall_clock: Clock) -> PublishIndex:
    return PublishIndex(folder, wall_clock=wall_clock)


@pytest.fixture
def readings(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The id of every publish whose journal is read, in order."""
    read: list[str] = []

    def counted(paths: PublishPaths) -> JournalStatus:
        read.append(paths.id)
        return read_status(paths)

    monkeypatch.setattr(roster_module, "read_status", counted)
    return read


def queued(folder: StateFolder) -> PublishPaths:
    with frozen(folder, cut(chain(2))) as publish:
        return publish.paths


def at(paths: PublishPaths, moment: float) -> None:
    """Let the journal's timestamp say that it changed then."""
    os.utime(paths.journal, (moment, moment))


def ids(found: list[JournalStatus]) -> set[str]:
    return {one.paths.id for one in found}


def test_only_changed_journals_are_read_again(
    folder: StateFolder, index: PublishIndex, wall_clock: Clock, readings: list[str]
) -> None:
    publishes = [queued(folder) for _ in range(5)]
    for paths in publishes:
        at(paths, wall_clock.now - LONG_AGO)
    for _ in range(3):
        assert ids(index.waiting(NONE)) == {paths.id for paths in publishes}
    assert sorted(readings) == sorted(paths.id for paths in publishes)
    readings.clear()
    with OwnedPublish.open(publishes[2]) as owned:
        owned.journal.park(reason=Reason.AUTH, detail="sign in")
    (changed,) = (one for one in index.waiting(NONE) if one.queued.parked)
    assert changed.paths.id == publishes[2].id
    assert readings == [publishes[2].id]


@pytest.mark.parametrize("ago", [0.0, SETTLED_SECONDS / 2, -SETTLED_SECONDS / 2])
def test_no_change_is_missed_although_the_timestamp_stays_the_same(
    folder: StateFolder, index: PublishIndex, wall_clock: Clock, ago: float
) -> None:
    paths = queued(folder)
    at(paths, wall_clock.now - ago)
    assert not index.waiting(NONE)[0].queued.parked
    with OwnedPublish.open(paths) as owned:
        owned.journal.park(reason=Reason.AUTH, detail="sign in")
    at(paths, wall_clock.now - ago)  # as on a file system that counts whole seconds
    assert index.waiting(NONE)[0].queued.parked


def test_a_timestamp_in_the_future_is_read_once(
    folder: StateFolder, index: PublishIndex, wall_clock: Clock, readings: list[str]
) -> None:
    """A clock that was set back makes every journal look younger than now, for hours."""
    paths = queued(folder)
    at(paths, wall_clock.now + 3600)
    for _ in range(4):
        index.waiting(NONE)
    assert readings == [paths.id]


def test_a_new_publish_and_one_that_is_gone(folder: StateFolder, index: PublishIndex) -> None:
    first, second = queued(folder), queued(folder)
    assert ids(index.waiting(NONE)) == {first.id, second.id}
    OwnedPublish.open(first).discard()
    third = queued(folder)
    assert ids(index.waiting(NONE)) == {second.id, third.id}


def test_a_killed_owner_does_not_count(folder: StateFolder, index: PublishIndex) -> None:
    paths = queued(folder)
    hold = (
        "import sys; from pathlib import Path; from roar_publisher.state.lock import Lock\n"
        f"lock = Lock(Path({str(paths.lock)!r})).acquire(); print('held', flush=True); sys.stdin.read()"
    )
    with running("-c", hold) as process:
        assert line_of(process) == "held"
        assert not index.waiting(NONE)
        process.kill()
        process.wait()
        assert ids(index.waiting(NONE)) == {paths.id}


def test_a_claimed_publish_is_ignored_until_the_claim_ends(folder: StateFolder, index: PublishIndex) -> None:
    paths = queued(folder)
    with Lock(paths.claim):
        assert not index.waiting(NONE)
    assert ids(index.waiting(NONE)) == {paths.id}


def test_a_claim_counts_although_its_process_could_not_write_its_pid(
    folder: StateFolder, index: PublishIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a full disk, the new file of the claim stays empty. A publish is cancelled there to make room."""

    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    paths = queued(folder)
    monkeypatch.setattr(os, "pwrite", full)
    with Lock(paths.claim):
        assert owner(paths.claim) is None
        assert not index.waiting(NONE)


def test_a_skipped_publish_is_not_read(folder: StateFolder, index: PublishIndex, readings: list[str]) -> None:
    paths = queued(folder)
    assert not index.waiting(frozenset({paths.id}))
    assert not readings


def test_an_ended_publish_waits_to_be_reported_until_it_is(folder: StateFolder, index: PublishIndex) -> None:
    paths = queued(folder)
    with OwnedPublish.open(paths) as owned:
        owned.journal.checkpoint(Event.REJECTED, reason=Reason.REJECTED, detail="no")
        assert not index.waiting(NONE)
        assert not index.unreported(NONE), "no process asked for a report"
        owned.journal.queue.set_notified(False)
    index.waiting(NONE)
    assert ids(index.unreported(NONE)) == {paths.id}
    assert not index.unreported(frozenset({paths.id}))
    with OwnedPublish.open(paths) as owned:
        owned.journal.queue.set_notified(True)
    index.waiting(NONE)
    assert not index.unreported(NONE)


def test_a_cancelled_publish_is_not_reported(folder: StateFolder, index: PublishIndex) -> None:
    paths = queued(folder)
    with OwnedPublish.open(paths) as owned:
        owned.journal.queue.set_notified(False)
        owned.journal.checkpoint(Event.CANCELLED)
    index.waiting(NONE)
    assert not index.unreported(NONE)


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE progress SET state = 'dnoe'",
        "UPDATE plan SET intent = '{'",
        "UPDATE plan SET intent = x'ff'",
        "ALTER TABLE progress ADD COLUMN mood TEXT",
        "ALTER TABLE queue DROP COLUMN parked",
        "DELETE FROM progress",
        "DROP TABLE plan",
    ],
)
def test_a_damaged_journal_hides_no_other(folder: StateFolder, index: PublishIndex, damage: str) -> None:
    damaged, sound = queued(folder), queued(folder)
    with closing(sqlite3.connect(damaged.journal)) as connection:
        connection.execute(damage)
        connection.commit()
    assert ids(index.waiting(NONE)) == {sound.id}


@pytest.mark.parametrize("content", [b"", b"no database at all", b"SQLite format 3\0" + bytes(200)])
def test_an_unreadable_journal_does_not_hide_others(folder: StateFolder, index: PublishIndex, content: bytes) -> None:
    damaged, sound = queued(folder), queued(folder)
    damaged.journal.write_bytes(content)
    assert ids(index.waiting(NONE)) == {sound.id}
    new_publish(folder)  # planning has begun, nothing is there yet
    assert ids(index.waiting(NONE)) == {sound.id}


def test_a_journal_that_was_temporarily_unreadable_is_read_again(
    folder: StateFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Though its file has not changed since, and long before."""
    paths = queued(folder)
    later = paths.journal.stat().st_mtime + 60
    index = PublishIndex(folder, wall_clock=lambda: later)

    def fail(_: PublishPaths) -> JournalStatus:
        raise LocalProblem("the disk reports an error (EIO)", reason=Reason.DISK, resumable=True)

    with monkeypatch.context() as moment:
        moment.setattr("roar_publisher.daemon.index.read_status", fail)
        assert index.waiting(NONE) == []
    assert ids(index.waiting(NONE)) == {paths.id}


def test_a_state_folder_that_does_not_exist_holds_nothing(tmp_path: Path) -> None:
    assert PublishIndex(StateFolder(tmp_path / "nowhere")).waiting(NONE) == []


def test_a_state_folder_that_is_a_file_is_a_local_problem(tmp_path: Path) -> None:
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "publishes").write_text("")
    assert PublishIndex(StateFolder(tmp_path / "state")).waiting(NONE) == []


def test_a_scan_blocks_no_owner(folder: StateFolder, index: PublishIndex) -> None:
    """Readers hold the lock for an instant; a process that takes the publish meanwhile must succeed."""
    paths = queued(folder)
    look = (
        "import sys; from pathlib import Path; from roar_publisher.daemon.index import PublishIndex\n"
        "from roar_publisher.state.paths import StateFolder\n"
        f"index = PublishIndex(StateFolder(Path({str(folder.root)!r}))); print('looks', flush=True)\n"
        "while True: index.waiting(frozenset())"
    )
    with running("-c", look) as process:
        assert line_of(process) == "looks"
        for _ in range(300):
            try:
                OwnedPublish.open(paths).release()
            except (Owned, LocalProblem) as problem:
                pytest.fail(problem.what)
