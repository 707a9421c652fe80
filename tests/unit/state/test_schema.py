"""Migrations: a journal of this release opens in the next, one of a newer release is not touched."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from sqlite_utils import Database, Migrations

from roar_publisher.daemon.index import PublishIndex
from roar_publisher.state import migrations, schema
from roar_publisher.state.errors import LocalProblem
from roar_publisher.state.journal import Journal
from roar_publisher.state.lock import Lock
from roar_publisher.state.machine import Event, State
from roar_publisher.state.paths import StateFolder
from roar_publisher.state.record import NAMED_BY
from roar_publisher.state.status import CountedStatus
from roar_publisher.state.status_reader import count_all, count_status
from tests.support.checkout import DATA
from tests.support.lineages import chain, cut, plan_of
from tests.support.state.folders import new_publish

FIRST_RELEASE = DATA / "journal-first-release.sql"
"""A journal in the middle of STAGE, dumped as the first migration made it."""


def restore(path: Path, dump: str) -> None:
    connection = sqlite3.connect(path)
    connection.executescript(dump)
    connection.close()


def test_a_journal_of_the_first_release_opens_and_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    restore(path, FIRST_RELEASE.read_text())
    with Journal(path) as journal:
        assert journal.progress().state is State.STAGE
        plan = plan_of(cut(chain(3)), "00c0ffee")
        del plan.intent[NAMED_BY]  # which registry a user may be asked about: no release before knew it
        assert journal.plan() == plan
        assert {kind.value: tally.acked_units for kind, tally in journal.units.tally().items()}["jobs"] == 1
        assert journal.checkpoint(Event.STAGED).state is State.FINALIZE
        assert len(journal.history()) == 4


def test_the_first_migration_is_as_it_was_released(tmp_path: Path) -> None:
    """A released migration is never edited: what it makes now is what it made then."""

    def tables(path: Path) -> list[str]:
        connection = sqlite3.connect(path)
        rows = connection.execute("SELECT sql FROM sqlite_master WHERE name NOT LIKE '%migrations%' ORDER BY name")
        found = [row[0] for row in rows if row[0]]
        connection.close()
        return found

    restore(tmp_path / "then.db", FIRST_RELEASE.read_text())
    connection = sqlite3.connect(tmp_path / "now.db")
    migrations.m001_first_tables(Database(connection))
    connection.close()
    assert tables(tmp_path / "now.db") == tables(tmp_path / "then.db")


def test_a_new_journal_is_as_the_migrations_make_it() -> None:
    """Bundles are compared with it, statement by statement."""

    def content(connection: sqlite3.Connection) -> list[list[object]]:
        queries = (
            "SELECT type, name, tbl_name, sql FROM sqlite_master ORDER BY name",
            f"SELECT migration_set, name FROM {schema.MIGRATIONS_TABLE} ORDER BY id",
            "SELECT * FROM queue",
        )
        return [connection.execute(query).fetchall() for query in queries]

    with (
        closing(sqlite3.connect(":memory:", isolation_level=None)) as made,
        closing(sqlite3.connect(":memory:", isolation_level=None)) as migrated,
    ):
        schema.create(made)
        migrations.upgrade(migrated)
        assert content(made) == content(migrated)


def with_later_migration(monkeypatch: pytest.MonkeyPatch, *, fails: bool = False) -> None:
    later = Migrations("journal")
    later()(migrations.m001_first_tables)

    @later()
    def m002_next_release(db: Database) -> None:
        db.table("progress").add_column("later", int)
        if fails:
            raise sqlite3.OperationalError("half-way")

    monkeypatch.setattr(migrations, "journal_migrations", later)
    monkeypatch.setattr(schema, "MIGRATIONS", ("m001_first_tables", "m002_next_release"))


def columns(path: Path) -> set[str]:
    connection = sqlite3.connect(path)
    found = {row[1] for row in connection.execute("PRAGMA table_info(progress)")}
    connection.close()
    return found


@pytest.mark.parametrize("read_only", [False, True], ids=["owner", "reader"])
def test_a_journal_of_a_newer_release_is_refused_and_untouched(
    read_only: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "journal.db"
    restore(path, FIRST_RELEASE.read_text())
    with monkeypatch.context() as next_release:
        with_later_migration(next_release)
        Journal(path).close()
    before = path.read_bytes()
    with pytest.raises(LocalProblem, match="newer release") as caught:
        Journal(path, read_only=read_only)
    assert caught.value.reason == "newer journal"
    assert path.read_bytes() == before


def test_a_migration_that_fails_leaves_the_journal_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "journal.db"
    restore(path, FIRST_RELEASE.read_text())
    with monkeypatch.context() as next_release:
        with_later_migration(next_release, fails=True)
        with pytest.raises(LocalProblem):
            Journal(path)
    assert "later" not in columns(path)
    with Journal(path) as journal:
        assert journal.progress().state is State.STAGE


def test_the_next_release_adds_to_what_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "journal.db"
    restore(path, FIRST_RELEASE.read_text())
    with_later_migration(monkeypatch)
    with pytest.raises(LocalProblem):  # Progress of this release does not know the column
        Journal(path).progress()
    assert "later" in columns(path)


def test_a_reader_sees_the_journal_of_an_older_release(folder: StateFolder) -> None:
    paths = new_publish(folder)
    restore(paths.journal, FIRST_RELEASE.read_text())
    with Lock(paths.lock), pytest.raises(LocalProblem, match="older release works on publish"):
        count_status(paths)
    assert count_status(paths).progress.state is State.STAGE
    assert [found.paths for found in count_all(folder) if isinstance(found, CountedStatus)] == [paths]


def test_the_daemon_goes_on_with_the_journal_of_an_older_release(folder: StateFolder) -> None:
    paths = new_publish(folder)
    restore(paths.journal, FIRST_RELEASE.read_text())
    [waiting] = PublishIndex(folder).waiting(frozenset())
    assert (waiting.paths, waiting.progress.state, waiting.live) == (paths, State.STAGE, True)
