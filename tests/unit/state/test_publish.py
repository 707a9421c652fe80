"""Owning a publish as a whole, and looking at all of them."""

import os
import sqlite3
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from roar_publisher.state.errors import Conclusion, LocalProblem, Owned
from roar_publisher.state.lock import Lock
from roar_publisher.state.machine import Event, State
from roar_publisher.state.paths import StateFolder
from roar_publisher.state.publish import OwnedPublish, discard_damaged
from roar_publisher.state.status import CountedStatus
from roar_publisher.state.status_reader import count_all, count_status, read_written_since
from tests.support.lineages import chain, cut, frozen, plan_of
from tests.support.processes import line_of, running
from tests.support.state.folders import new_publish

NOBODY_UID = 65534


def test_an_owned_publish_has_no_other_owner_until_it_is_released(folder: StateFolder) -> None:
    with frozen(folder, cut(chain(2))) as publish:
        with pytest.raises(Owned):
            OwnedPublish.open(publish.paths)
        assert count_status(publish.paths).owner is not None
    with OwnedPublish.open(publish.paths) as again:
        assert again.journal.progress().state is State.PROBE


def test_a_journal_that_may_not_be_looked_at_is_left_out_of_the_later_ones(folder: StateFolder) -> None:
    """The system refuses a link to itself, as it would the folder of another user."""
    with frozen(folder, cut(chain(2))) as publish:
        journal = folder.publishes / "1f2e3d4c" / "journal.db"
        journal.parent.mkdir()
        journal.symlink_to(journal)
        assert [status.plan.id for status in read_written_since(folder, 0.0, skip=())] == [publish.paths.id]


def test_a_discarded_publish_is_gone(folder: StateFolder) -> None:
    publish = frozen(folder, cut(chain(2)))
    publish.discard()
    assert list(folder.all_publishes()) == []


def test_a_new_publish_removes_no_other_that_has_its_id(folder: StateFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    with frozen(folder, cut(chain(2))) as other:
        pass
    open_files = len(os.listdir("/dev/fd"))
    monkeypatch.setattr(os, "urandom", lambda size: bytes.fromhex(other.paths.id))
    with pytest.raises(LocalProblem):
        OwnedPublish.create(folder)
    assert [path.name for path in folder.publishes.iterdir()] == [other.paths.id]
    assert count_status(other.paths).plan.id == other.paths.id
    assert len(os.listdir("/dev/fd")) == open_files


def test_a_journal_that_cannot_be_opened_gives_the_lock_back(folder: StateFolder) -> None:
    paths = new_publish(folder)
    paths.journal.write_bytes(b"no database at all, but long enough" * 9)
    for _ in range(2):
        with pytest.raises(LocalProblem):
            OwnedPublish.open(paths)


def test_publishes_are_listed_newest_first_with_their_owners(folder: StateFolder) -> None:
    older, newer = (OwnedPublish.create(folder) for _ in range(2))
    for created_at, publish in ((1.0, older), (2.0, newer)):
        plan = plan_of(cut(chain(2)), publish.paths.id)
        plan = type(plan)(**{name: getattr(plan, name) for name in plan.__struct_fields__} | {"created_at": created_at})
        publish.journal.freeze(plan)
    newer.release()
    found = [summary for summary in count_all(folder) if isinstance(summary, CountedStatus)]
    assert [summary.paths for summary in found] == [newer.paths, older.paths]
    assert [summary.interrupted for summary in found] == [True, False]
    older.journal.checkpoint(Event.CANCELLED)
    older.release()
    assert not count_status(older.paths).interrupted


@pytest.mark.parametrize(
    ("table", "column"),
    [("progress", "state"), ("progress", "capabilities"), ("plan", "provisional"), ("units", "kind")],
)
def test_a_row_that_is_none_of_ours_damages_its_own_publish_alone(folder: StateFolder, table: str, column: str) -> None:
    good, bad = frozen(folder, cut(chain(2))), frozen(folder, cut(chain(2)))
    good.release()
    bad.release()
    with closing(sqlite3.connect(bad.paths.journal)) as connection, connection:
        connection.execute(f"UPDATE {table} SET {column} = ?", ["no {such"])
    found = list(count_all(folder))
    assert [summary.paths for summary in found if isinstance(summary, CountedStatus)] == [good.paths]
    assert [problem.reason for _, problem in (entry for entry in found if isinstance(entry, tuple))] == [
        "damaged journal"
    ]


def test_a_publish_is_synced_to_the_disk_from_the_moment_that_its_plan_is_frozen(folder: StateFolder) -> None:
    """Syncing what precedes takes as long as several requests, and a power loss then leaves nothing to resume."""

    def synchronous(publish: OwnedPublish) -> object:
        return publish.journal.db.execute("PRAGMA synchronous").fetchone()[0]

    off, full = 0, 2
    lineage = cut(chain(2))
    with OwnedPublish.create(folder) as publish:
        publish.journal.units.add(lineage.units)
        assert synchronous(publish) == off
        publish.journal.freeze(plan_of(lineage, publish.paths.id))
        assert synchronous(publish) == full
    with OwnedPublish.open(publish.paths) as again:
        assert synchronous(again) == full


def test_an_unreadable_publish_is_listed_with_its_reason(folder: StateFolder) -> None:
    empty, damaged = new_publish(folder), new_publish(folder)
    unfinished = OwnedPublish.create(folder)
    damaged.journal.write_bytes(b"garbage" * 100)
    problems: dict[Path, LocalProblem] = {}
    for found in count_all(folder):
        assert isinstance(found, tuple)
        problems[found[0].folder] = found[1]
    planned = unfinished.paths.folder
    reasons = {path: problem.reason for path, problem in problems.items()}
    assert reasons == {empty.folder: "no plan", planned: "no plan", damaged.folder: "damaged journal"}
    assert f"is being planned (pid {os.getpid()})" in problems[planned].what
    unfinished.release()


def test_a_journal_that_can_not_be_reached_is_no_missing_plan(folder: StateFolder) -> None:
    """What has no plan may be removed, and a publish may be behind this."""
    paths = new_publish(folder)
    paths.journal.symlink_to(paths.journal)
    with pytest.raises(LocalProblem, match="cannot be used") as caught:
        count_status(paths)
    assert (caught.value.reason, caught.value.conclusion) == ("journal", Conclusion.INTERRUPTED)


def test_a_folder_that_this_user_may_not_enter_hides_no_other() -> None:
    with TemporaryDirectory() as name:
        folder = StateFolder(Path(name))
        with frozen(folder, cut(chain(2))) as sound, frozen(folder, cut(chain(2))) as closed:
            pass
        list_as_its_owner = (
            "import os; from pathlib import Path\n"
            "from roar_publisher.state.paths import StateFolder\n"
            "from roar_publisher.state.status_reader import count_all\n"
            f"folder = StateFolder(Path({name!r})); list(count_all(folder))  # loads what root may own\n"
            f"os.getuid() or os.setuid({NOBODY_UID})\n"
            "for found in count_all(folder):\n"
            "    print(f'{found[0].id} {found[1].reason}' if isinstance(found, tuple) else found.paths.id)"
        )
        if os.getuid() == 0:
            for path in (folder.root, folder.publishes, *sound.paths.folder.iterdir(), sound.paths.folder):
                os.chown(path, NOBODY_UID, -1)
        else:
            closed.paths.folder.chmod(0)
        with running("-c", list_as_its_owner) as process:
            assert [line_of(process) for _ in range(3)] == [f"{closed.paths.id} journal", sound.paths.id, ""]
        closed.paths.folder.chmod(0o700)


def test_a_damaged_publish_is_removed_unless_a_process_works_on_it(folder: StateFolder) -> None:
    damaged = new_publish(folder)
    damaged.journal.write_bytes(b"garbage" * 100)
    with Lock(damaged.lock), pytest.raises(Owned):
        discard_damaged(damaged)
    assert damaged.journal.exists()
    discard_damaged(damaged)
    assert list(folder.all_publishes()) == []


def test_what_a_newer_release_wrote_meanwhile_is_not_removed(folder: StateFolder) -> None:
    with frozen(folder, cut(chain(2))) as newer:
        pass
    with closing(sqlite3.connect(newer.paths.journal)) as connection, connection:
        connection.execute("UPDATE _sqlite_migrations SET name = 'm999_of_tomorrow' WHERE name LIKE 'm001%'")
    with pytest.raises(LocalProblem, match="newer release"):
        discard_damaged(newer.paths)
    assert newer.paths.journal.exists()
