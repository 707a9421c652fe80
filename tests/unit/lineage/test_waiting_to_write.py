"""Another process writes to roar.db, as a training under `roar run` may: it is waited for, and Ctrl-C ends the wait."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from functools import partial
from pathlib import Path

import anyio
import pytest

from roar_publisher.blocking import in_thread
from roar_publisher.lineage import connections
from roar_publisher.lineage.connections import begin_writing, open_writable

pytestmark = pytest.mark.anyio


@pytest.fixture
def database(tmp_path: Path) -> Path:
    with closing(sqlite3.connect(tmp_path / "roar.db")) as connection:
        connection.execute("CREATE TABLE t (x)")
    return tmp_path / "roar.db"


@pytest.fixture
def writer(database: Path) -> Iterator[sqlite3.Connection]:
    """Another process that writes."""
    with closing(sqlite3.connect(database, isolation_level=None, check_same_thread=False)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        yield connection


def write(database: Path) -> None:
    with closing(open_writable(database)) as connection:
        begin_writing(connection)
        with connection:
            connection.execute("INSERT INTO t VALUES (1)")


async def test_cancelling_ends_the_wait(
    database: Path, writer: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    polled, loop = anyio.Event(), anyio.from_thread
    check = connections._check_cancelled

    def poll() -> None:
        loop.run_sync(polled.set)
        check()

    monkeypatch.setattr(connections, "WRITE_TIMEOUT", 1e6)
    monkeypatch.setattr(connections, "POLL_SECONDS", 0.01)
    monkeypatch.setattr(connections, "_check_cancelled", poll)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(partial(in_thread, write, database))
        await polled.wait()
        tasks.cancel_scope.cancel()
    writer.execute("ROLLBACK")
    assert writer.execute("SELECT count(*) FROM t").fetchone() == (0,)


def test_it_writes_once_the_other_one_has_ended(
    database: Path, writer: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "POLL_SECONDS", 0.01)
    monkeypatch.setattr(connections, "_check_cancelled", lambda: writer.execute("ROLLBACK"))
    write(database)
    assert writer.execute("SELECT count(*) FROM t").fetchone() == (1,)


def test_it_does_not_wait_for_ever(database: Path, writer: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "WRITE_TIMEOUT", 0.0)
    with pytest.raises(sqlite3.OperationalError, match="locked"):
        write(database)
