"""What a finalize has acknowledged is kept: its commit is synced, and no image of the files shows a part of it."""

import shutil
from contextlib import closing
from pathlib import Path

import pytest

from roar_publisher.registry.data import DATABASE_NAME, Store
from roar_publisher.registry.store.database import Connection
from tests.support.registry.engines import sqlite_of
from tests.support.registry.harness import job, link, make_registry

pytestmark = pytest.mark.anyio
NORMAL, FULL = 1, 2


def sync_of(connection: Connection) -> int:
    (value,) = connection.execute("PRAGMA synchronous").fetchone()
    return int(value)


def test_a_durable_write_is_synced_and_others_are_not(tmp_path: Path) -> None:
    with closing(Store.open(tmp_path / "data")) as store:
        assert store.write(sync_of) == NORMAL
        assert store.write_durably(sync_of) == FULL
        assert store.write(sync_of) == NORMAL
        with pytest.raises(ZeroDivisionError):
            store.write_durably(lambda connection: 1 // 0)
        assert store.write(sync_of) == NORMAL
        assert store.accounts.write(sync_of) == FULL


async def test_the_commit_that_publishes_is_synced(anyio_backend: str, tmp_path: Path) -> None:
    with closing(Store.open(tmp_path / "data")) as store:
        statements: list[str] = []
        registry = make_registry(store)
        async with registry.client:
            session = await registry.open()
            await session.add_jobs(job(1))
            sqlite_of(store).set_trace_callback(lambda text: statements.append(text.strip()))
            await session.finalize()
            sqlite_of(store).set_trace_callback(None)
        (published,) = (number for number, text in enumerate(statements) if text.startswith("INSERT INTO lineages"))
        begun = max(number for number in range(published) if statements[number].startswith("BEGIN"))
        assert statements[begun - 1] == "PRAGMA synchronous = FULL"
        assert "COMMIT" in statements[published:]


async def test_every_image_of_the_files_has_all_of_a_lineage_or_nothing(anyio_backend: str, tmp_path: Path) -> None:
    data, images = tmp_path / "data", tmp_path / "images"
    count = 0

    def take_image(_statement: str = "") -> None:
        nonlocal count
        image = images / str(count)
        image.mkdir(parents=True)
        for name in (DATABASE_NAME, f"{DATABASE_NAME}-wal"):
            shutil.copyfile(data / name, image / name)
        count += 1

    with closing(Store.open(data)) as store:
        registry = make_registry(store)
        async with registry.client:
            session = await registry.open()
            await session.add_jobs(*(job(number) for number in range(5)))
            await session.add_links(1, "inputs", *(link(number) for number in range(7)))
            sqlite_of(store).set_trace_callback(take_image)
            receipt = await session.finalize()
            sqlite_of(store).set_trace_callback(None)
            take_image()
    states = [_state(images / str(number), receipt["hash"]) for number in range(count)]
    assert states[-1] == (5, 7, "closed")
    assert {*states} == {(0, 0, "open"), (5, 7, "closed")}
    assert states == sorted(states)


def _state(image: Path, lineage_hash: str) -> tuple[int, int, str]:
    """The published jobs and inputs that a registry finds in an image, and whether the session is closed."""
    with closing(Store.open(image)) as store:
        jobs, links, receipts = store.read(
            lambda connection: connection.execute(
                "SELECT (SELECT count(*) FROM jobs JOIN lineages ON lineages.graph_id = jobs.graph_id"
                " WHERE hash = :hash), (SELECT count(*) FROM links JOIN jobs ON jobs.id = job_id"
                " JOIN lineages ON lineages.graph_id = jobs.graph_id WHERE hash = :hash),"
                " (SELECT count(receipt) FROM sessions)",
                {"hash": lineage_hash},
            ).fetchone()
        )
    return jobs, links, "closed" if receipts else "open"
