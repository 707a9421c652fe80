"""What a finalize has acknowledged is kept: its commit is synced, and no loss of power leaves a part of it."""

import shutil
from contextlib import closing
from pathlib import Path

import pytest

from roar_publisher.registry.data import Store
from roar_publisher.registry.store.database import Connection
from roar_publisher.registry.store.files import connect_lineages
from roar_publisher.registry.store.private_data import LINEAGES_NAME
from tests.support.registry.engines import sqlite_of
from tests.support.registry.harness import job, link, make_registry
from tests.support.registry.power_loss import PowerLosses, write_image

pytestmark = pytest.mark.anyio
NORMAL, FULL = 1, 2
PUBLISHES, JOBS, LINKS = 5, 5, 7
PAGES = 120
"""Pages of the log after which a checkpoint copies them to the database."""
SEED = 20261128


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


async def lost_power(data: Path, images: Path) -> list[str]:
    """Publish while the power is lost again and again, and return what is wrong in the images of the files."""
    hashes: list[str] = []
    with closing(Store.open(data)) as store:
        registry = make_registry(store)
        connection = sqlite_of(store)
        connection.execute(f"PRAGMA wal_autocheckpoint = {PAGES}")
        losses = PowerLosses(data, connection, SEED)
        async with registry.client:
            for number in range(PUBLISHES):
                session = await registry.open()
                await session.add_jobs(*(job(step, command=f"run {number}") for step in range(JOBS)))
                await session.add_links(1, "inputs", *(link(artifact) for artifact in range(LINKS)))
                hashes.append((await session.finalize())["hash"])
                losses.promises = len(hashes)
            await registry.open()  # written and not synced after the last promise
        losses.stop()
    wrong = []
    for number, (image, promises) in enumerate(losses.images.items()):
        write_image(image, images / str(number))
        published = _published(images / str(number))
        wrong += [f"image {number} lost a lineage" for known in hashes[:promises] if known not in published]
        wrong += [f"image {number} shows {counts}" for counts in published.values() if counts != (JOBS, LINKS)]
        shutil.rmtree(images / str(number))
    assert len(losses.images) > 5 * PUBLISHES
    return wrong


async def test_a_loss_of_power_at_any_time_keeps_what_was_acknowledged(anyio_backend: str, tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    assert await lost_power(tmp_path / "data", tmp_path / "images") == []


async def test_these_losses_of_power_show_that_a_commit_was_not_synced(
    anyio_backend: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "images").mkdir()
    monkeypatch.setattr(Store, "write_durably", Store.write)
    wrong = await lost_power(tmp_path / "data", tmp_path / "images")
    assert wrong
    assert all("lost a lineage" in line for line in wrong)


def _published(image: Path) -> dict[str, tuple[int, int]]:
    """The jobs and inputs of each lineage that a registry finds in an image, which is sound."""
    with closing(connect_lineages(str(image / LINEAGES_NAME))) as connection:
        rows = connection.execute(
            "SELECT hash, (SELECT count(*) FROM jobs WHERE graph_id = l.graph_id),"
            " (SELECT count(*) FROM links JOIN jobs ON jobs.id = job_id WHERE graph_id = l.graph_id) FROM lineages AS l"
        ).fetchall()
        (receipts,) = connection.execute("SELECT count(receipt) FROM sessions").fetchone()
        (sound,) = connection.execute("PRAGMA integrity_check(1)").fetchone()
    assert receipts == len(rows)
    assert sound == "ok"
    return {lineage_hash: (jobs, links) for lineage_hash, jobs, links in rows}
