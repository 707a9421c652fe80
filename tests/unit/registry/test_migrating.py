"""`roar registry migrate`: everything arrives, or nothing."""

import sqlite3
from collections import Counter
from collections.abc import Mapping
from contextlib import closing, suppress
from pathlib import Path

import pytest
from click.testing import CliRunner

from roar_publisher.cli.registry.command import registry as command
from roar_publisher.registry.data import Store
from roar_publisher.registry.moving import move_store
from roar_publisher.registry.store import moving
from roar_publisher.registry.store.database import Connection
from roar_publisher.registry.store.moving import tables_of
from roar_publisher.registry.store.postgres import PostgresConnection
from roar_publisher.registry.store.sqlite import SQLiteConnection
from tests.support.registry.harness import artifact, job, link, make_registry
from tests.support.registry.people import Bearer
from tests.support.registry.postgres import Postgres

pytestmark = pytest.mark.anyio


@pytest.fixture
async def published(anyio_backend: str, tmp_path: Path) -> tuple[Path, str]:
    """The data of a registry with a user and a lineage, and the hash of that."""
    with closing(Store.open(tmp_path / "data")) as store:
        registry = make_registry(store)
        async with registry.client:
            session = await registry.open(auth=Bearer(registry.person("alice")))
            await session.add_jobs(job(1, command="ä 🙂"), job(2))
            await session.add_artifacts(artifact(3))
            await session.add_links(1, "outputs", link(1), link(2))
            receipt = await session.finalize()
    return tmp_path / "data", receipt["hash"]


def rows(store: Store) -> int:
    def count(connection: Connection) -> int:
        return int(
            connection.execute("SELECT (SELECT count(*) FROM graphs) + (SELECT count(*) FROM users)").fetchone()[0]
        )

    return store.read(count)


async def test_a_registry_goes_on_where_it_was_moved(published: tuple[Path, str], postgres: Postgres) -> None:
    data, lineage_hash = published
    url = postgres.new_database()
    done = CliRunner().invoke(command, ["migrate", "--from", str(data), "--to", url], catch_exceptions=False)
    assert done.output == "moved: 1 lineage, 2 jobs, 1 user\n"
    with closing(Store.open(data, url)) as store:
        registry = make_registry(store)
        async with registry.client:
            assert (await registry.lineage(lineage_hash))["artifacts_count"] == 3
            session = await registry.open()  # its graph and jobs get ids of their own
            await session.add_jobs(job(1), job(2), job(3))
            await session.finalize()
    again = CliRunner().invoke(command, ["migrate", "--from", str(data), "--to", url])
    assert "the database is not empty" in str(again.exception)


async def test_a_copy_that_differs_leaves_nothing(
    published: tuple[Path, str], postgres: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, _hash = published
    url = postgres.new_database()
    copy = moving._copy

    def lose_one(table: moving.Table, target: Connection, source: Connection) -> moving.TableContent:
        read = copy(table, target, source)
        if table.name == "links":
            target.execute("UPDATE links SET path = path || 'x' WHERE digest = (SELECT min(digest) FROM links)")
        return read

    monkeypatch.setattr(moving, "_copy", lose_one)
    done = CliRunner().invoke(command, ["migrate", "--from", str(data), "--to", url])
    assert "the copy of links differs" in str(done.exception)
    with closing(Store.open(data, url)) as store:
        assert rows(store) == 0


async def test_the_files_are_read_once_while_the_rows_are_sent(
    published: tuple[Path, str], postgres: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    """PostgreSQL ends a transaction that waits for a minute, which reading a large table without sending it takes."""
    data, _hash = published
    read: Counter[str] = Counter()
    stream = SQLiteConnection.stream

    def counting(connection: SQLiteConnection, sql: str, parameters: Mapping[str, object], /) -> sqlite3.Cursor:
        read[sql] += 1
        return stream(connection, sql, parameters)

    monkeypatch.setattr(SQLiteConnection, "stream", counting)
    with closing(Store.open(data)) as source, closing(Store.open(data, postgres.new_database())) as target:
        moved = move_store(source, target)
    assert len(read) == len(moved)
    assert {*read.values()} == {1}


class Died(BaseException):
    """Stands for SIGKILL: nothing runs any more, and the database sees its connections end."""


@pytest.mark.parametrize("when", ["before", "after"])
async def test_a_move_that_dies_has_moved_everything_or_nothing(
    published: tuple[Path, str], postgres: Postgres, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    """It dies before or after each of its commits in turn; one that lives on sees all of them."""
    data, _hash = published
    commit = PostgresConnection.commit
    for last in range(10):
        url = postgres.new_database()
        Store.open(data, url).close()  # the tables are there
        with closing(Store.open(data)) as source, closing(Store.open(data, url)) as target:
            left = last

            def dying(connection: PostgresConnection) -> None:
                nonlocal left
                if left == 0 and when == "before":
                    raise Died
                commit(connection)
                if left == 0:
                    raise Died
                left -= 1

            with monkeypatch.context() as context, suppress(Died):
                context.setattr(PostgresConnection, "commit", dying)
                move_store(source, target)
        with closing(Store.open(data, url)) as target:
            assert rows(target) == (0 if last == 0 and when == "before" else 2)
        if left > 0:
            break


def test_every_table_is_moved(tmp_path: Path) -> None:
    with closing(Store.open(tmp_path)) as store:
        names = {table.name for table in store.read(tables_of)} | {t.name for t in store.accounts.read(tables_of)}
        assert {"graphs", "links", "labels", "users", "keys", "words"} <= names
