"""What killed processes leave behind is gone after the next look, and nothing else is."""

import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from roar_publisher.state import lock, sweep
from roar_publisher.state.lock import Lock
from roar_publisher.state.machine import Event
from roar_publisher.state.paths import PublishPaths, StateFolder
from roar_publisher.state.publish import OwnedPublish
from roar_publisher.state.status_reader import count_all
from roar_publisher.state.sweep import YOUNG_SECONDS, remove_folder_leftovers
from tests.support.lineages import chain, cut, frozen

LINEAGE = cut(chain(2))


def died(publish: OwnedPublish) -> PublishPaths:
    """The kernel drops the lock of a process that is killed; its files stay."""
    publish.release()
    return publish.paths


def files(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def test_an_abandoned_plan_is_removed(folder: StateFolder) -> None:
    planning = OwnedPublish.create(folder)
    planning.journal.units.add(LINEAGE.units)
    paths = died(planning)
    assert list(count_all(folder)) == []
    assert not paths.folder.exists()


def test_a_folder_without_a_journal_is_removed(folder: StateFolder) -> None:
    paths = died(OwnedPublish.create(folder))
    paths.journal.unlink()
    assert list(count_all(folder)) == []
    assert not paths.folder.exists()


@pytest.mark.parametrize("trace", ["session-token", "uploads/1"])
def test_a_publish_that_had_started_to_send_is_kept(folder: StateFolder, trace: str) -> None:
    """Its journal was emptied by something else, and what it left at a server can still be reported."""
    paths = died(frozen(folder, LINEAGE))
    paths.journal.write_bytes(b"")
    (paths.folder / "uploads").mkdir()
    (paths.folder / trace).write_text("kept")
    assert len(list(count_all(folder))) == 1
    assert (paths.folder / trace).exists()


def test_a_plan_that_is_being_frozen_is_kept(folder: StateFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    """And no process waits for its lock: every publish lists the others while it is planned."""
    waits: list[float] = []
    monkeypatch.setattr(lock, "time", SimpleNamespace(sleep=waits.append, monotonic=time.monotonic))
    with OwnedPublish.create(folder) as planning:
        list(count_all(folder))
        assert waits == []
        planning.journal.units.add(LINEAGE.units)
        assert planning.paths.journal.exists()


def test_a_new_publish_has_its_lock_before_it_has_its_name(
    folder: StateFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int] = []
    acquire = Lock.acquire

    def looked_at(lock: Lock) -> Lock:
        seen.append(len(list(folder.all_publishes())))
        return acquire(lock)

    monkeypatch.setattr(Lock, "acquire", looked_at)
    OwnedPublish.create(folder).release()
    assert seen == [0]


@pytest.mark.parametrize("locked", [True, False])
def test_a_folder_whose_process_died_before_it_had_its_name_goes(folder: StateFolder, locked: bool) -> None:
    planning = folder.new_planning()
    if locked:
        Lock(planning.lock).acquire().release()
    modified = planning.folder.stat().st_mtime
    remove_folder_leftovers(folder, now=lambda: modified + YOUNG_SECONDS - 1)
    assert planning.folder.exists() is not locked, "without a lock it may be about to be locked"
    remove_folder_leftovers(folder, now=lambda: modified + YOUNG_SECONDS)
    assert not planning.folder.exists()


@pytest.mark.parametrize("name", ["session-token.new", "put-record.new", "uploads/3.new"])
def test_an_incomplete_private_file_is_removed(folder: StateFolder, name: str) -> None:
    paths = died(frozen(folder, LINEAGE))
    before = files(paths.folder)
    (paths.folder / "uploads").mkdir()
    (paths.folder / name).write_bytes(b"half")
    with Lock(paths.lock):
        list(count_all(folder))
        assert (paths.folder / name).exists(), "its owner may be writing it"
    list(count_all(folder))
    assert files(paths.folder) == before


@pytest.mark.parametrize(
    ("event", "kept"), [(Event.CANCELLED, False), (Event.REJECTED, True), (None, True)], ids=["over", "failed", "live"]
)
def test_a_token_outlives_no_publish(folder: StateFolder, event: Event | None, kept: bool) -> None:
    with frozen(folder, LINEAGE) as publish:
        publish.paths.write_session_token("token")
        if event is not None:
            publish.journal.checkpoint(event)
    list(count_all(folder))
    assert publish.paths.session_token.exists() is kept


@pytest.mark.parametrize("name", ["key.new", "key.1f2e3d4c", "key.1f2e3d4c.new"])
def test_what_the_making_of_the_key_left_goes(folder: StateFolder, name: str) -> None:
    key = folder.user_key()
    (folder.root / name).write_bytes(b"half")
    (folder.root / "key.notes").write_text("a file of the user")
    list(count_all(folder))
    assert not (folder.root / name).exists()
    assert (folder.root / "key.notes").exists()
    assert folder.user_key() == key


def test_what_cannot_be_removed_now_raises_no_error(folder: StateFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    with frozen(folder, LINEAGE) as publish:
        publish.paths.write_session_token("token")
        publish.journal.checkpoint(Event.CANCELLED)

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(1, os.strerror(1))

    monkeypatch.setattr(Path, "unlink", refuse)
    assert len(list(count_all(folder))) == 1


@pytest.mark.parametrize("seconds", [0.0, 2 * YOUNG_SECONDS])
def test_a_folder_that_is_locked_while_it_is_looked_at_is_kept(
    folder: StateFolder, monkeypatch: pytest.MonkeyPatch, seconds: float
) -> None:
    """A process that makes a new publish locks its folder just when another one lists all publishes."""
    planning = folder.new_planning()
    held = Lock(planning.lock)

    def then_lock(ask: Callable[[Path], object]) -> Callable[[Path], object]:
        def asked(path: Path) -> object:
            answer = ask(path)
            if not held.in_place:
                held.acquire()
            return answer

        return asked

    for question in ("is_held", "_was_locked"):
        monkeypatch.setattr(sweep, question, then_lock(getattr(sweep, question)))
    remove_folder_leftovers(folder, now=lambda: time.time() + seconds)
    assert held.in_place
    held.release()


def test_a_folder_whose_process_could_not_write_its_pid_is_kept(folder: StateFolder) -> None:
    """On a full disk."""
    planning = folder.new_planning()
    with Lock(planning.lock):
        os.truncate(planning.lock, 0)
        remove_folder_leftovers(folder, now=lambda: time.time() + 2 * YOUNG_SECONDS)
        assert planning.lock.exists()


def test_the_record_of_a_cancelled_put_is_removed(folder: StateFolder) -> None:
    """Its commands and metadata are not redacted; that of a failed one is kept, which may be retried."""
    for event, kept in ((Event.CANCELLED, False), (Event.REJECTED, True)):
        publish = frozen(folder, LINEAGE)
        publish.paths.write_put_record("{}")
        publish.journal.checkpoint(event)
        paths = died(publish)
        list(count_all(folder))
        assert paths.has_put_record() is kept


def test_a_discarded_publish_leaves_no_folder_on_nfs(folder: StateFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    """There, the file of the lock stays in its folder under another name until it is closed."""
    publish = OwnedPublish.create(folder)
    held, release = publish.paths.folder / ".nfs0001", Lock.release

    def renamed(path: Path, **_: object) -> None:
        publish.paths.lock.rename(held)
        for file in set(path.iterdir()) - {held}:
            file.unlink()

    def released(lock: Lock) -> None:
        release(lock)
        held.unlink(missing_ok=True)

    monkeypatch.setattr(shutil, "rmtree", renamed)
    monkeypatch.setattr(Lock, "release", released)
    publish.discard()
    assert not publish.paths.folder.exists()


def test_an_empty_folder_is_removed_once_nobody_is_about_to_lock_it(folder: StateFolder) -> None:
    paths = died(OwnedPublish.create(folder))
    for file in list(paths.folder.iterdir()):
        file.unlink()
    assert len(list(count_all(folder))) == 1
    os.utime(paths.folder, (0, 0))
    assert list(count_all(folder)) == []
    assert not paths.folder.exists()
