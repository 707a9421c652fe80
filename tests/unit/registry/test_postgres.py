"""PostgreSQL alone: its schema, its settings, and what happens when it goes away."""

import errno
import json
import os
import secrets
import socket
import sys
from contextlib import closing
from importlib import import_module
from itertools import product
from pathlib import Path
from typing import Any, NoReturn

import psycopg
import pytest

from roar_publisher.registry.data import Store
from roar_publisher.registry.http.bounds import REPLY_BYTES
from roar_publisher.registry.store import accounts_schema, schema, sessions, sqlite
from roar_publisher.registry.store.database import Connection
from roar_publisher.registry.store.errors import NewerSchemaError, SharedSessionsError, StoreError, StoreUnavailable
from roar_publisher.registry.store.graphs import new_graph, newest_ids
from roar_publisher.registry.store.postgres import PostgresConnection, checked_address, translated
from roar_publisher.registry.store.postgres_schema import LINEAGES_LOCK
from tests.support.registry.harness import GIT, Json, digest, job, link, make_registry, refused, succeeded, uid
from tests.support.registry.people import Bearer
from tests.support.registry.postgres import Postgres, running_postgres

COLUMNS = (
    "SELECT table_name, column_name, data_type, is_nullable, column_default, collation_name"
    " FROM information_schema.columns WHERE table_schema = 'public' ORDER BY table_name, column_name"
)
LATER = "CREATE TABLE later (id INTEGER PRIMARY KEY, name TEXT NOT NULL, at REAL, data BLOB) WITHOUT ROWID;"


def columns(store: Store) -> list[tuple[object, ...]]:
    return store.read(lambda connection: [tuple(row) for row in connection.execute(COLUMNS)])


def test_it_has_the_tables_of_sqlite(postgres: Postgres, tmp_path: Path) -> None:
    wanted = set()
    for migrations in (schema.MIGRATIONS, accounts_schema.MIGRATIONS):
        with closing(sqlite.connect(":memory:", timeout=0)) as model:
            sqlite.migrate(model, migrations)
            for (table,) in model.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
                wanted |= {(table, row["name"]) for row in model.execute(f"PRAGMA table_info({table})")}
    with closing(Store.open(tmp_path, postgres.new_database())) as store:
        found = columns(store)
    assert {(table, column) for table, column, *_ in found if table != "schema_versions"} == wanted
    texts = [collation for table, _, kind, *_, collation in found if kind == "text" and table != "schema_versions"]
    assert set(texts) == {"C"}


def test_a_later_migration_runs_on_it(postgres: Postgres, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    earlier, fresh = postgres.new_database(), postgres.new_database()
    Store.open(tmp_path, earlier).close()
    monkeypatch.setattr(schema, "MIGRATIONS", (*schema.MIGRATIONS, LATER))
    with closing(Store.open(tmp_path, earlier)) as migrated, closing(Store.open(tmp_path, fresh)) as made:
        assert columns(migrated) == columns(made)
        assert ("later", "at") in {row[:2] for row in columns(made)}


def test_a_migration_by_another_process_is_waited_for(
    postgres: Postgres, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A statement that was prepared before fails once; the client of that request tries again."""
    url = postgres.new_database()
    with closing(Store.open(tmp_path, url)) as earlier:
        for _ in range(8):  # until it is prepared
            assert earlier.read(sessions.find, "none") is None
        monkeypatch.setattr(schema, "MIGRATIONS", (*schema.MIGRATIONS, "ALTER TABLE sessions ADD COLUMN more TEXT;"))
        Store.open(tmp_path, url).close()
        with pytest.raises(StoreUnavailable, match="cached plan"):
            earlier.read(sessions.find, "none")
        assert earlier.read(sessions.find, "none") is None


def test_a_database_of_a_later_release_is_refused(
    postgres: Postgres, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = postgres.new_database()
    Store.open(tmp_path, url).close()
    monkeypatch.setattr(schema, "MIGRATIONS", schema.MIGRATIONS[:-1])
    with pytest.raises(NewerSchemaError, match="this release knows up to"):
        Store.open(tmp_path, url)


def test_commits_wait_for_the_log(postgres: Postgres, tmp_path: Path) -> None:
    url = postgres.new_database()
    with closing(Store.open(tmp_path, f"{url}?options=-csynchronous_commit%3Doff")) as store:
        (setting,) = store.read(lambda connection: connection.execute("SHOW synchronous_commit").fetchone())
    assert setting == "on"


@pytest.mark.parametrize("setting", ["lock_timeout", "idle_in_transaction_session_timeout"])
def test_nobody_waits_for_ever_for_a_registry_that_hangs(postgres: Postgres, tmp_path: Path, setting: str) -> None:
    with closing(Store.open(tmp_path, postgres.new_database())) as store:
        for tables in (store, store.accounts):
            (limit,) = tables.read(lambda connection: connection.execute(f"SHOW {setting}").fetchone())
            assert limit in ("30s", "1min")


def test_a_store_that_did_not_get_its_lock_in_time_goes_on(postgres: Postgres, tmp_path: Path) -> None:
    url = postgres.new_database()
    with closing(Store.open(tmp_path, url)) as store, psycopg.connect(url) as other:
        store.read(lambda connection: connection.execute("SET lock_timeout = '1ms'"))
        other.execute(f"SELECT pg_advisory_xact_lock({LINEAGES_LOCK})".encode())
        with pytest.raises(StoreUnavailable, match="lock timeout"):
            store.write(new_graph)
        other.rollback()
        store.write(new_graph)
        assert store.read(newest_ids).graphs > 0


def test_writes_see_what_they_have_waited_for_whatever_the_default_is(postgres: Postgres, tmp_path: Path) -> None:
    strict = "options=-cdefault_transaction_isolation%3Dserializable"
    with closing(Store.open(tmp_path, f"{postgres.new_database()}?{strict}")) as store:
        for write in (store.write, store.write_alongside, store.write_durably):
            (level,) = write(lambda connection: connection.execute("SHOW transaction_isolation").fetchone())
            assert level == "read committed"


def test_sums_are_whole_numbers(postgres: Postgres, tmp_path: Path) -> None:
    with closing(Store.open(tmp_path, postgres.new_database())) as store:
        store.write(new_graph)
        (total,) = store.read(lambda connection: connection.execute("SELECT sum(jobs) FROM graphs").fetchone())
    assert type(total) is int


def test_a_read_sees_one_moment(postgres: Postgres, tmp_path: Path) -> None:
    url = postgres.new_database()
    with closing(Store.open(tmp_path, url)) as reader, closing(Store.open(tmp_path, url)) as writer:

        def graphs_twice(connection: Connection) -> list[int]:
            found = []
            for _ in range(2):
                found.append(connection.execute("SELECT count(*) FROM graphs").fetchone()[0])
                writer.write(new_graph)
            return found

        assert reader.read(graphs_twice) == [0, 0]
        assert reader.read(graphs_twice) == [2, 2]


@pytest.mark.anyio
async def test_no_result_in_memory_is_larger_than_a_reply_needs(
    postgres: Postgres, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """psycopg keeps whatever a statement returns: thousands of rows, of 100 kB each, for a reply of a megabyte."""
    sizes: list[int] = []
    execute = PostgresConnection.execute

    def measured(connection: PostgresConnection, *arguments: Any) -> Any:
        cursor = execute(connection, *arguments)
        if (found := cursor.pgresult) is not None:
            places = product(range(found.ntuples), range(found.nfields))
            sizes.append(sum(len(found.get_value(*place) or b"") for place in places))
        return cursor

    monkeypatch.setattr(PostgresConnection, "execute", measured)
    long = "x" * 10_000
    with closing(Store.open(tmp_path, postgres.new_database())) as store:
        registry = make_registry(store)
        alice = Bearer(registry.person("alice"))
        session = await registry.open(auth=alice)
        for first in range(0, 240, 60):
            numbers = range(first, first + 60)
            await session.add_jobs(*(job(number, metadata=json.dumps({"long": long})) for number in numbers))
            links = [link(number, f"/{number}{long}") for number in range(first, first + 60)]
            for kind in ("inputs", "outputs"):
                succeeded(await session.post("/links/batch", {"links": [linked(kind, links)]}))
        published = (await session.finalize())["hash"]
        for number in range(30):
            label = {"entity_type": "artifact", "artifact_hash": digest(1), "metadata": {str(number): long * 6}}
            succeeded(await session.post("/labels/batch", {"labels": [label]}))
        for path in (
            f"sessions/{published}?limit=1000",
            f"sessions/{published}/readback",
            f"public/sessions/{published}/reproduction",
            f"artifacts/{digest(1)}/dag",
            f"labels/history?entity_type=artifact&artifact_hash={digest(1)}",
            f"labels/history?entity_type=artifact&artifact_hash={digest(1)}&session_hash={published}",
            "sessions",
        ):
            sizes.clear()
            succeeded(await registry.client.get(f"/api/v1/{path}", auth=alice))
            assert max(sizes) < 1.2 * REPLY_BYTES, path


def linked(kind: str, links: list[Json]) -> Json:
    """Links of the first job."""
    return {"job_uid": uid(0), "kind": kind, "artifacts": links}


@pytest.mark.anyio
async def test_a_text_that_no_index_takes_is_refused_for_good(postgres: Postgres, tmp_path: Path) -> None:
    """A client repeats a 503 for as long as it is patient."""
    with closing(Store.open(tmp_path, postgres.new_database())) as store:
        session = await make_registry(store).open()
        await session.add_jobs(job(1))
        edge = {"relation": secrets.token_hex(5000), "target_hash": digest(1)}
        for path, body in (
            (f"/jobs/{uid(1)}/view-edges", {"view_edges": [edge]}),
            ("/finalize", {**GIT, "git_repo": secrets.token_hex(5000)}),
        ):
            assert "longer than the database" in refused(await session.post(path, body), 422)
        assert (await session.finalize())["created"] is True


def test_the_store_connects_again_after_a_restart(tmp_path: Path) -> None:
    with running_postgres(durable=True) as server, closing(Store.open(tmp_path, server.new_database())) as store:
        first = store.write(new_graph)
        server.kill()
        with pytest.raises(StoreUnavailable):
            store.write(new_graph)
        with pytest.raises(StoreUnavailable):
            store.write(new_graph)
        server.start()
        assert store.write(new_graph) > first
        (count,) = store.read(lambda connection: connection.execute("SELECT count(*) FROM graphs").fetchone())
        assert count == 2


@pytest.mark.parametrize("ended_by", ["the server", "what is between"])
def test_a_connection_that_ended_while_nothing_used_it_is_replaced(
    postgres: Postgres, tmp_path: Path, ended_by: str
) -> None:
    """As by `idle_session_timeout`, a pooler or a load balancer: the database is well, so no request fails."""
    url = postgres.new_database()
    with closing(Store.open(tmp_path, url)) as store, psycopg.connect(url, autocommit=True) as other:

        def end_it() -> None:
            backend = store.read(lambda connection: connection.execute("SELECT pg_backend_pid()").fetchone()[0])
            if ended_by == "the server":
                other.execute("SELECT pg_terminate_backend(%s, 60000)", [backend])  # waits until it has ended
            else:
                connection = store._connection
                assert isinstance(connection, PostgresConnection)
                with socket.socket(fileno=os.dup(connection._connected().pgconn.socket)) as opened:
                    opened.shutdown(socket.SHUT_RDWR)

        for write in (store.write, store.write_alongside, store.write_durably):
            end_it()
            write(new_graph)
        end_it()
        assert store.read(newest_ids).graphs == 3


def test_a_pooler_that_gives_each_transaction_any_session_is_refused(
    postgres: Postgres, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As PgBouncer in transaction mode, which takes the session that was used last."""
    url = postgres.new_database()
    with psycopg.connect(url, autocommit=True) as last, monkeypatch.context() as pooled:
        pooled.setattr(PostgresConnection, "_connected", lambda self: last)
        with pytest.raises(SharedSessionsError):
            Store.open(tmp_path, url)
    Store.open(tmp_path, url).close()


def test_a_lack_of_descriptors_is_a_store_that_is_away(
    postgres: Postgres, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def none_left() -> NoReturn:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    url = postgres.new_database()
    Store.open(tmp_path, url).close()
    with monkeypatch.context() as exhausted:
        exhausted.setattr("psycopg.waiting.DefaultSelector", none_left)
        with pytest.raises(StoreUnavailable, match="Too many open files"):
            Store.open(tmp_path, url)
    Store.open(tmp_path, url).close()


@pytest.mark.skipif(sys.platform != "linux", reason="the names of the options are those of Linux")
def test_a_host_that_vanishes_is_noticed(postgres: Postgres) -> None:
    connection = PostgresConnection(checked_address(postgres.new_database()), LINEAGES_LOCK)
    try:
        with socket.socket(fileno=os.dup(connection._connected().pgconn.socket)) as opened:
            assert opened.family == socket.AF_INET
            assert opened.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
            names = ("TCP_KEEPIDLE", "TCP_KEEPINTVL", "TCP_KEEPCNT", "TCP_USER_TIMEOUT")
            found = [opened.getsockopt(socket.IPPROTO_TCP, getattr(socket, name)) for name in names]
        assert found == [30, 10, 3, 60_000]
    finally:
        connection.close()


@pytest.mark.parametrize("url", ["mysql://host/name", "no address", "postgresql://127.0.0.1:notaport/x"])
def test_another_address_is_refused(tmp_path: Path, url: str) -> None:
    with pytest.raises(StoreError):
        Store.open(tmp_path, url)


@pytest.mark.parametrize("password", ["s/ecret", "s@ecret", "s#ecret", "s?ecret", "s%zzecret", "s ecret"])
def test_a_password_that_makes_an_address_invalid_is_not_shown(password: str) -> None:
    with pytest.raises(StoreError, match="special characters") as raised:
        checked_address(f"postgresql://roar:{password}@db.example/roar")
    assert "ecret" not in str(raised.value)
    assert raised.value.__cause__ is None


@pytest.mark.parametrize("name", ["pgbouncer", "schema", "connection_limit"])
def test_a_parameter_of_other_programs_is_named(name: str) -> None:
    """Hosts of databases show addresses with it. It is not a fault of the password."""
    with pytest.raises(StoreError, match=f"has the parameter {name}, which") as raised:
        checked_address(f"postgresql://roar:secret@db.example:6543/roar?sslmode=require&{name}=public")
    assert "secret" not in str(raised.value)
    assert raised.value.__cause__ is None


def test_the_usual_forms_of_an_address_are_taken() -> None:
    asked = checked_address("postgres:///roar?host=/run/postgresql&sslmode=require&connect_timeout=3")
    assert (asked["host"], asked["dbname"], asked["sslmode"]) == ("/run/postgresql", "roar", "require")
    assert (asked["connect_timeout"], asked["application_name"]) == ("3", "roar registry")
    assert checked_address("postgresql://roar:s%40ecret@[::1]:5433/roar")["password"] == "s@ecret"


def test_what_roar_cli_changes_in_its_process_concerns_no_store(postgres: Postgres, tmp_path: Path) -> None:
    import_module("roar.db.engine")  # runs SQLite's pragmas on every new connection of SQLAlchemy
    with closing(Store.open(tmp_path, postgres.new_database())) as store:
        assert store.write(new_graph) == 1


def test_placeholders_are_translated_outside_of_texts() -> None:
    assert translated("SELECT ':a ? %' WHERE a = :a AND b = ? AND c LIKE 'x%'") == (
        b"SELECT ':a ? %%' WHERE a = %(a)s AND b = %s AND c LIKE 'x%%'"
    )
