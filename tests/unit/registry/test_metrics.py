"""The figures for Prometheus."""

import contextlib
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import anyio
import httpx2
import pytest
from prometheus_client.parser import text_string_to_metric_families

from roar_publisher.registry.data import Store
from roar_publisher.registry.lineages.registration import LIFETIME
from roar_publisher.registry.lineages.sweeping import INTERVAL_SECONDS
from roar_publisher.registry.server.metrics import Metrics
from tests.support import virtual
from tests.support.daemon.daemons import until
from tests.support.ports import reserved_port
from tests.support.registry.harness import GIT, START, job, make_registry, run_inline
from tests.support.registry.processes import PATIENCE, serving

PROGRAM = """
import sys
from pathlib import Path
from roar_publisher.registry.server.serve import ServeOptions, serve

options = ServeOptions(metrics=("127.0.0.1", int(sys.argv[3])))
serve(sys.argv[1], 0, Path(sys.argv[2]), lambda url: print(url, flush=True), options=options)
"""


ANONYMOUS = b'{"mode":"anonymous_public"}'


async def in_pieces() -> AsyncIterator[bytes]:
    """A body whose length is not declared."""
    yield ANONYMOUS


def figures(text: str) -> dict[str, float]:
    """The samples by their name and the values of their labels."""
    return {
        " ".join([sample.name, *sample.labels.values()]): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


@contextlib.contextmanager
def published(metrics: Metrics) -> Iterator[str]:
    with metrics.served("127.0.0.1", 0) as url:
        yield url


@pytest.mark.anyio
async def test_requests_are_counted_by_route_and_status(store: Store) -> None:
    metrics = Metrics()
    metrics.queued(7)
    registry = make_registry(store, observer=metrics)
    async with registry.client:
        session = await registry.open()
        await session.add_jobs(job(1))
        receipt = await session.finalize(**GIT)
        for name in (receipt["hash"], "a" * 64, "b" * 64):
            await registry.client.get(f"/api/v1/sessions/{name}")
        await registry.client.request("INVENTED", "/nowhere")
        await registry.client.get("/api/v1/health", headers={"Content-Length": "9" * 19})
        await registry.client.post("/api/v1/registration-sessions", content=in_pieces())
        assert (await registry.client.post("/api/v1/labels/sync", json={"labels": "none"})).is_client_error
    with published(metrics) as url:
        seen = figures(httpx2.get(url, timeout=PATIENCE).text)
    assert seen["roar_registry_requests_total GET /api/v1/sessions/{hash} 200"] == 1
    assert seen["roar_registry_requests_total GET /api/v1/sessions/{hash} 404"] == 2
    assert seen["roar_registry_requests_total other none 404"] == 1
    assert seen["roar_registry_request_seconds_count /api/v1/sessions/{hash}"] == 3
    assert seen["roar_registry_body_bytes_total /api/v1/registration-sessions/{id}/jobs/batch"] > 100
    assert seen["roar_registry_body_bytes_total /api/v1/health"] == 0, "nobody has read one"
    assert seen["roar_registry_body_bytes_total /api/v1/registration-sessions"] == 2 * len(ANONYMOUS)
    assert "roar_registry_body_bytes_total /api/v1/labels/sync" not in seen, "it was not accepted"
    assert seen["roar_registry_finalizes_total 200"] == 1
    assert seen["roar_registry_store_queue"] == 7
    assert not [name for name in seen if receipt["hash"] in name]


def test_sweeps_are_counted(store: Store) -> None:
    metrics = Metrics()
    now = START

    async def scenario() -> None:
        nonlocal now
        registry = make_registry(store, clock=lambda: now, run=run_inline, observer=metrics)
        async with registry.app.router.lifespan_context(registry.app), registry.client:
            await registry.open()
            now += 2 * LIFETIME
            await anyio.sleep(2 * INTERVAL_SECONDS)

    virtual.run(scenario)
    swept = metrics.collected.get_sample_value("roar_registry_sweeps_total")
    assert swept is not None
    assert swept >= 1


def test_they_are_at_an_address_of_their_own_that_ends_with_the_registry(data: Path) -> None:
    port = reserved_port()
    url = f"http://127.0.0.1:{port}/metrics"
    program = PROGRAM.replace("sys.argv[3]", str(port))
    with serving(data, program=program) as process:
        assert httpx2.get(f"{process.url}/metrics", timeout=PATIENCE).status_code == 404
        name = "roar_registry_requests_total GET none 404"
        # A reply may arrive before it is counted.
        until(lambda: figures(httpx2.get(url, timeout=PATIENCE).text).get(name) == 1)
        assert process.stop() == (0, "", "")
    with pytest.raises(httpx2.ConnectError):
        httpx2.get(url, timeout=PATIENCE)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return tmp_path / "data"
