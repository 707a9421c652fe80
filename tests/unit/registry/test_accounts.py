"""The accounts file: used next to a running registry, by two processes, and across releases."""

import sqlite3
import stat
import threading
from pathlib import Path

import httpx2
import pytest

from roar_publisher.registry.data import Store
from roar_publisher.registry.store import projects, sign_ins
from roar_publisher.registry.store import users as accounts
from roar_publisher.registry.store.database import Connection
from roar_publisher.registry.store.errors import AlreadyExists, NewerSchemaError, NotFound
from roar_publisher.registry.store.private_data import ACCOUNTS_NAME
from roar_publisher.registry.store.schema import MIGRATIONS
from roar_publisher.registry.store.sqlite import connect, migrate
from roar_publisher.registry.store.users import Accounts
from tests.support.checkout import DATA
from tests.support.registry.people import add_person
from tests.support.registry.processes import PATIENCE, served

EARLIER = DATA / "registry-earlier-release.sql"
"""A store as the first schema left it: one anonymous lineage, one open session."""


def test_a_user_who_is_added_while_the_registry_runs_can_sign_in_at_once(tmp_path: Path) -> None:
    import time

    with served(tmp_path) as url:
        store = Accounts.open(tmp_path)
        alice = add_person(store, "alice", time.time)
        header = {"Authorization": alice.bearer}
        assert httpx2.get(f"{url}/api/v1/sessions", headers=header, timeout=PATIENCE).status_code == 200
        store.write(sign_ins.revoke, alice.tokens.grant_id)
        assert httpx2.get(f"{url}/api/v1/sessions", headers=header, timeout=PATIENCE).status_code == 401
        store.close()


def test_files_are_private(tmp_path: Path) -> None:
    Store.open(tmp_path / "data").close()
    assert stat.S_IMODE((tmp_path / "data").stat().st_mode) == 0o700
    assert stat.S_IMODE((tmp_path / "data" / ACCOUNTS_NAME).stat().st_mode) == 0o600


def test_two_concurrent_migrations_create_one_set_of_tables(tmp_path: Path) -> None:
    failures: list[BaseException] = []

    def open_and_add(number: int) -> None:
        try:
            store = Accounts.open(tmp_path)
            store.write(accounts.add_user, f"user-{number}")
            store.close()
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=open_and_add, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    store = Accounts.open(tmp_path)
    assert len(store.read(accounts.users)) == 8
    store.close()


def test_names_are_taken_once_for_users_and_owners_together() -> None:
    store = Accounts.in_memory()
    store.write(accounts.add_user, "alice")
    store.write(projects.add_owner, "acme")
    for add, name in ((accounts.add_user, "alice"), (accounts.add_user, "acme")):
        with pytest.raises(AlreadyExists):
            store.write(add, name)
    for name in ("alice", "acme"):
        with pytest.raises(AlreadyExists):
            store.write(projects.add_owner, name)
    store.close()


def test_missing_accounts_are_named() -> None:
    store = Accounts.in_memory()
    with pytest.raises(NotFound, match="no user alice"):
        store.write(accounts.remove_user, "alice")
    with pytest.raises(NotFound, match="no owner acme"):
        store.write(projects.add_project, "acme", "models", "private")
    with pytest.raises(NotFound, match="no project acme/models"):
        store.write(projects.set_project_member, "acme", "models", "alice", can_write=True)
    store.close()


def test_a_store_of_the_first_schema_opens_with_its_data(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "registry.db") as connection:
        connection.executescript(EARLIER.read_text())
    connection.close()
    store = Store.open(tmp_path)

    def look(db: Connection) -> list[tuple[object, ...]]:
        lineages = db.execute("SELECT hash, owner, visibility, scope_owner FROM lineages")
        return [*map(tuple, lineages), *map(tuple, db.execute("SELECT id, owner, identity FROM sessions ORDER BY id"))]

    assert store.read(look) == [
        ("a" * 64, "", "public", None),
        ("closed", "", "anonymous"),
        ("open", "", "anonymous"),
    ]
    assert store.read(lambda db: db.execute("PRAGMA user_version").fetchone()[0]) == len(MIGRATIONS)
    store.close()


def test_digests_that_an_earlier_release_knew_only_from_links_become_artifacts(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "registry.db") as connection:
        connection.executescript(EARLIER.read_text())
        connection.execute("INSERT INTO artifacts (graph_id, digest, hashes, size) VALUES (1, 'both', '[1]', 7)")
        link = "INSERT INTO links (job_id, kind, digest, path, size) VALUES (1, ?, ?, ?, ?)"
        for values in (("inputs", "both", "/x", 8), ("inputs", "linked", "/b", None), ("outputs", "linked", "/a", 9)):
            connection.execute(link, values)
    connection.close()
    store = Store.open(tmp_path)
    rows = store.read(
        lambda db: db.execute("SELECT digest, hashes, size, path FROM artifacts ORDER BY digest").fetchall()
    )
    assert [tuple(row) for row in rows] == [("both", "[1]", 7, None), ("linked", None, 9, "/a")]
    store.close()


@pytest.mark.parametrize("name", ["registry.db", ACCOUNTS_NAME])
def test_a_file_of_a_later_release_is_not_changed(tmp_path: Path, name: str) -> None:
    with sqlite3.connect(tmp_path / name) as connection:
        connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(NewerSchemaError, match="schema 99"):
        Store.open(tmp_path)


def test_a_migration_that_fails_leaves_the_tables_as_they_were() -> None:
    connection = connect(":memory:", timeout=0)
    migrate(connection, ["CREATE TABLE one (a);"])
    with pytest.raises(sqlite3.OperationalError):
        migrate(connection, ["CREATE TABLE one (a);", "CREATE TABLE two (a);\nCREATE TABLE one (b);"])
    tables = [name for (name,) in connection.execute("SELECT name FROM sqlite_master")]
    assert tables == ["one"]
    assert tuple(connection.execute("PRAGMA user_version").fetchone()) == (1,)
    connection.close()


def test_the_last_statement_of_a_migration_needs_no_semicolon() -> None:
    connection = connect(":memory:", timeout=0)
    migrate(connection, ["CREATE TABLE one (a);\nCREATE TABLE two (a)"])
    assert [name for (name,) in connection.execute("SELECT name FROM sqlite_master ORDER BY name")] == ["one", "two"]
    connection.close()
