"""A failing store: the client gets a JSON error, nothing is half done, and work continues when the cause is gone."""

import logging

import httpx2
import pytest

from roar_publisher.registry.data import Store
from tests.support.registry.engines import sqlite_of
from tests.support.registry.harness import GIT, Registry, job, make_registry, refused, uids_of

pytestmark = pytest.mark.anyio


async def test_a_full_disk_is_503_and_the_publish_continues_later(
    registry: Registry, store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    session = await registry.open()
    await session.add_jobs(job(1))
    limit_pages(store, 1)
    sent = 1
    while True:
        sent += 1
        response = await session.post("/jobs/batch", {"jobs": [job(sent, command="x" * 5000)]})
        if not response.is_success:
            break
    refused(response, 503)
    assert int(response.headers["retry-after"]) > 0
    assert "full" in caplog.text
    limit_pages(store, 1_000_000)
    assert (await session.add_jobs(job(sent)))["created_count"] == 1
    receipt = await session.finalize(expected={"jobs": sent})
    assert len(uids_of(await registry.lineage(receipt["hash"]))) == sent


async def test_a_fault_of_the_registry_is_a_500_without_a_traceback(
    anyio_backend: str, store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    registry = make_registry(store)
    store.close()
    transport = httpx2.ASGITransport(registry.app, raise_app_exceptions=False)
    with caplog.at_level(logging.ERROR):
        async with httpx2.AsyncClient(transport=transport, base_url="http://registry") as client:
            detail = refused(await client.post("/api/v1/sessions", json={"hash": "a" * 64, **GIT}), 500)
    assert "sqlite" not in detail.lower()
    assert "closed" in caplog.text


async def test_a_path_cannot_inject_log_lines(
    anyio_backend: str, store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    registry = make_registry(store)
    store.close()
    transport = httpx2.ASGITransport(registry.app, raise_app_exceptions=False)
    async with httpx2.AsyncClient(transport=transport, base_url="http://registry") as client:
        refused(await client.get("/api/v1/sessions/a%0Aforged%1B[31m"), 500)
    assert "\nforged" not in caplog.text
    assert "\x1b" not in caplog.text


def limit_pages(store: Store, pages: int) -> None:
    sqlite_of(store).execute(f"PRAGMA max_page_count = {pages}").fetchall()
