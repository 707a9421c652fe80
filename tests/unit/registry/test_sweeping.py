"""Putting away what has expired while the registry serves, and giving its disk back."""

import logging
import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TypeVar

import anyio
import pytest

from roar_publisher.registry.accounts.quotas import DRAIN_SECONDS
from roar_publisher.registry.data import Store
from roar_publisher.registry.lineages.registration import LIFETIME
from roar_publisher.registry.lineages.sweeping import INTERVAL_SECONDS, SLICE_ROWS, sweep_slice
from roar_publisher.registry.store.errors import StoreUnavailable
from roar_publisher.registry.store.graphs import new_graph
from roar_publisher.registry.store.private_data import LINEAGES_NAME
from tests.support import virtual
from tests.support.registry.harness import (
    START,
    Registry,
    artifact,
    digest,
    job,
    link,
    make_registry,
    run_inline,
    succeeded,
    uid,
)

T = TypeVar("T")
MANY = SLICE_ROWS + 1
EVERY_TABLE = ("sessions", "graphs", "links", "view_edges", "jobs", "job_sizes", "artifacts", "discarded_graphs")


def count(store: Store, table: str) -> int:
    rows: int = store.read(lambda connection: connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0])
    return rows


@asynccontextmanager
async def serving(store: Store, run: Callable[..., object] = run_inline) -> AsyncIterator[Registry]:
    """A registry in virtual time, with all that it does by itself."""

    def clock() -> float:
        return START + anyio.current_time()

    registry = make_registry(store, clock=clock, run=run)
    async with registry.app.router.lifespan_context(registry.app), registry.client:
        yield registry


async def fill(registry: Registry, jobs: int, **changes: object) -> None:
    session = await registry.open()
    for first in range(0, jobs, 50):
        await session.add_jobs(*(job(number, **changes) for number in range(first, min(first + 50, jobs))))


def test_an_abandoned_session_is_deleted_a_day_later_without_any_request() -> None:
    async def scenario() -> None:
        store = Store.in_memory()
        async with serving(store) as registry:
            session = await registry.open()
            await session.add_jobs(job(1))
            await session.add_artifacts(artifact(2))
            await session.add_links(1, "inputs", link(1))
            await anyio.sleep(LIFETIME - 1)
            assert count(store, "sessions") == 1
            await anyio.sleep(2 * INTERVAL_SECONDS)
            assert {table: count(store, table) for table in EVERY_TABLE} == dict.fromkeys(EVERY_TABLE, 0)
        store.close()

    virtual.run(scenario)


def test_data_that_expired_before_the_start_is_deleted_at_the_start() -> None:
    async def scenario() -> None:
        store = Store.in_memory()
        registry = make_registry(store, run=run_inline)
        registry.clock.now -= LIFETIME
        await fill(registry, MANY)
        async with serving(store):
            await anyio.sleep(INTERVAL_SECONDS / 2)
            assert count(store, "jobs") == 0
        store.close()

    virtual.run(scenario)


def test_requests_run_between_the_slices() -> None:
    seen: list[int] = []

    async def scenario() -> None:
        store = Store.in_memory()
        async with serving(store) as registry:
            await fill(registry, 5 * SLICE_ROWS)
            await anyio.sleep(LIFETIME)
            while count(store, "jobs"):
                succeeded(await registry.client.get("/api/v1/health"))
                seen.append(count(store, "jobs"))
                await anyio.sleep(0.01)
        store.close()

    virtual.run(scenario)
    assert {5 * SLICE_ROWS, 3 * SLICE_ROWS, SLICE_ROWS} <= set(seen)


@pytest.mark.anyio
async def test_the_links_of_one_job_are_deleted_in_slices(registry: Registry, store: Store) -> None:
    session = await registry.open()
    await session.add_jobs(job(1))
    for first in range(0, MANY, 100):
        numbers = range(first, min(first + 100, MANY))
        await session.add_links(1, "inputs", *(link(number) for number in numbers))
        edges = [{"relation": "reads", "target_hash": digest(number)} for number in numbers]
        succeeded(await session.post(f"/jobs/{uid(1)}/view-edges", {"view_edges": edges}))
    now = registry.clock.now + LIFETIME
    left = []
    while store.write(sweep_slice, now):
        left.append([count(store, table) for table in ("links", "view_edges", "jobs", "artifacts", "graphs")])
    assert left == [
        [MANY, MANY, 1, MANY, 1],
        [1, MANY, 1, MANY, 1],
        [0, 1, 1, MANY, 1],
        [0, 0, 0, 1, 1],
        [0, 0, 0, 0, 0],
        [0, 0, 0, 0, 0],
        [0, 0, 0, 0, 0],
    ]


@pytest.mark.anyio
async def test_many_expired_sessions_are_deleted_in_slices(registry: Registry, store: Store) -> None:
    store.write(
        lambda connection: [
            connection.execute(
                "INSERT INTO sessions (id, owner, mode, graph_id, expires_at) VALUES (?, '', '', ?, 0)",
                (str(number), new_graph(connection)),
            )
            for number in range(MANY)
        ]
    )
    assert store.write(sweep_slice, START)
    assert count(store, "sessions") == 1


@pytest.mark.anyio
async def test_only_expired_data_is_deleted(registry: Registry, store: Store) -> None:
    finalized, open_ = await registry.open(), await registry.open()
    for number, session in enumerate((finalized, open_)):
        await session.add_jobs(job(number))
    receipt = await finalized.finalize()
    registry.clock.now += LIFETIME - 1
    await open_.add_jobs(job(3))
    registry.clock.now += LIFETIME - 1
    while store.write(sweep_slice, registry.clock.now):
        pass
    assert await registry.is_published(receipt["hash"])
    assert (await open_.finalize())["staged_counts"]["jobs"] == 2


@pytest.mark.anyio
async def test_quotas_of_inactive_clients_are_forgotten(registry: Registry, store: Store) -> None:
    await registry.open()
    assert count(store, "anonymous_use") == 2
    while store.write(sweep_slice, registry.clock.now + DRAIN_SECONDS - 1):
        pass
    assert count(store, "anonymous_use") == 2
    while store.write(sweep_slice, registry.clock.now + DRAIN_SECONDS):
        pass
    assert count(store, "anonymous_use") == 0


@pytest.mark.parametrize(
    "error", [StoreUnavailable("database or disk is full"), RuntimeError("can't start new thread")]
)
def test_a_store_that_cannot_write_is_swept_later(caplog: pytest.LogCaptureFixture, error: Exception) -> None:
    errors = [error] * 3

    async def stubborn(call: Callable[[], T], /) -> T:
        if errors:
            raise errors.pop()
        return call()

    async def scenario() -> None:
        store = Store.in_memory()
        async with serving(store, stubborn) as registry:
            await anyio.sleep(3 * INTERVAL_SECONDS)
            await fill(registry, 1)
            await anyio.sleep(LIFETIME + INTERVAL_SECONDS)
            assert count(store, "jobs") == 0
        store.close()

    with caplog.at_level(logging.ERROR):
        virtual.run(scenario)
    failed = ("delete expired data", "index lineages")
    assert len(caplog.records) == 3
    assert {record.getMessage() for record in caplog.records} == {f"cannot {what} now: {error}" for what in failed}
    assert all(bool(record.exc_info) == isinstance(error, RuntimeError) for record in caplog.records)


@pytest.mark.anyio
@pytest.mark.parametrize("shrinkable_from_the_start", [True, False])
async def test_free_pages_are_returned(tmp_path: Path, shrinkable_from_the_start: bool) -> None:
    if not shrinkable_from_the_start:
        Store.open(tmp_path).close()
        with sqlite3.connect(tmp_path / LINEAGES_NAME, isolation_level=None) as earlier:
            earlier.execute("PRAGMA auto_vacuum = NONE")
            earlier.execute("VACUUM")
            assert earlier.execute("PRAGMA auto_vacuum").fetchone() == (0,)
        earlier.close()
    store = Store.open(tmp_path)
    registry = make_registry(store, run=run_inline)
    kept = await registry.open("kept")
    await kept.add_jobs(job(1))
    receipt = await kept.finalize()
    await fill(registry, 3000, metadata='{"x": "%s"}' % ("x" * 1_500))
    assert size(tmp_path) > 4_500_000
    while store.write(sweep_slice, registry.clock.now + LIFETIME):
        pass
    assert await registry.is_published(receipt["hash"])
    await registry.client.aclose()
    store.close()
    assert size(tmp_path) < 1_500_000


def size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.iterdir())


def test_a_lineage_is_indexed_soon_after_it_was_published_and_an_idle_registry_rests() -> None:
    calls = 0

    async def counting(call: Callable[[], T], /) -> T:
        nonlocal calls
        calls += 1
        return call()

    async def scenario() -> None:
        nonlocal calls
        store = Store.in_memory()
        async with serving(store, counting) as registry:
            await anyio.sleep(1)
            session = await registry.open()
            await session.add_jobs(job(1))
            await session.add_links(1, "inputs", link(1))
            await session.finalize()
            await anyio.sleep(2)
            assert count(store, "artifact_links") == 1
            await anyio.sleep(2 * INTERVAL_SECONDS)
            calls = 0
            await anyio.sleep(60 * INTERVAL_SECONDS)
            assert calls < 4 * 60
        store.close()

    virtual.run(scenario)
