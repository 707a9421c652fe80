"""Requests that add one thing to a published lineage: an artifact, the view edges of a job."""

import httpx2
import pytest

from roar_publisher.registry.data import Store
from roar_publisher.registry.lineages.labels import ADDITION_TIME
from tests.support.registry.harness import GIT, NO_AUTH, Registry, artifact, digest, job, refused, succeeded, uid
from tests.support.registry.people import Bearer

pytestmark = pytest.mark.anyio

HASH = "1e9ac1" + 58 * "0"
PRIVATE = {"owner_resolution": "current_user", "owner_type": "user", "visibility": "private"}
EDGE = {"relation": "consumes", "target_hash": digest(3), "selected_count": 1, "parent_total": 9, "bloom": {"bits": 8}}


async def legacy(registry: Registry, auth: httpx2.Auth = NO_AUTH) -> None:
    succeeded(await registry.client.post("/api/v1/sessions", json={"hash": HASH, **GIT}, auth=auth))
    jobs = {"jobs": [job(1)]}
    succeeded(await registry.client.post(f"/api/v1/sessions/{HASH}/jobs/batch", json=jobs, auth=auth))


async def finalized(registry: Registry, auth: httpx2.Auth = NO_AUTH, **finalize: object) -> None:
    session = await registry.open(auth=auth)
    await session.add_jobs(job(1))
    await session.finalize(**finalize)


async def send(registry: Registry, auth: httpx2.Auth = NO_AUTH, *edges: object, number: int = 1) -> httpx2.Response:
    body = {"view_edges": list(edges) or [EDGE]}
    return await registry.client.post(f"/api/v1/jobs/{uid(number)}/artifacts", json=body, auth=auth)


def edges(store: Store) -> list[tuple[str, str]]:
    """The edges by the creator of their lineage."""
    rows = "SELECT creator, edge FROM view_edges JOIN jobs ON jobs.id = job_id JOIN lineages USING (graph_id)"
    return store.read(lambda connection: [tuple(row) for row in connection.execute(rows)])


async def test_a_single_artifact_is_added_once(registry: Registry) -> None:
    await legacy(registry)
    body = {**artifact(1, size=42), "session_hash": HASH, "source_url": "https://example.org/file"}
    first = await registry.client.post("/api/v1/artifacts", json=body)
    again = await registry.client.post("/api/v1/artifacts", json=body)
    assert (first.status_code, again.status_code) == (201, 200)
    assert [succeeded(answer) for answer in (first, again)] == [
        {"hash": digest(1), "created": created} for created in (True, False)
    ]
    assert succeeded(await registry.client.get(f"/api/v1/artifacts/{digest(1)}"))["size"] == 42


async def test_an_artifact_needs_a_lineage_that_takes_writes(registry: Registry) -> None:
    body = {**artifact(1), "session_hash": HASH}
    refused(await registry.client.post("/api/v1/artifacts", json=body), 404)
    refused(await registry.client.post("/api/v1/artifacts", json=artifact(1)), 422)
    session = await registry.open()
    await session.add_jobs(job(1))
    closed = {**artifact(1), "session_hash": (await session.finalize())["hash"]}
    refused(await registry.client.post("/api/v1/artifacts", json=closed), 409)


async def test_view_edges_are_added_once_to_the_job_that_they_name(registry: Registry, store: Store) -> None:
    await legacy(registry)
    for _ in range(2):
        assert succeeded(await send(registry)) == {"job_uid": uid(1), "view_edges_linked": 1}
    ((creator, edge),) = edges(store)
    assert creator == "anonymous"
    assert '"selected_count":1' in edge
    refused(await send(registry, number=9), 404)
    refused(await send(registry, NO_AUTH, {"relation": "consumes"}), 422)


async def test_view_edges_of_a_staged_job_wait_for_its_session(registry: Registry) -> None:
    session = await registry.open()
    await session.add_jobs(job(1))
    refused(await send(registry), 404)


async def test_an_anonymous_lineage_takes_view_edges_as_long_as_labels(registry: Registry, store: Store) -> None:
    await finalized(registry)
    registry.clock.now += ADDITION_TIME
    succeeded(await send(registry))
    registry.clock.now += 1
    refused(await send(registry, NO_AUTH, {**EDGE, "target_hash": digest(4)}), 409)
    assert len(edges(store)) == 1


async def test_a_user_adds_view_edges_to_own_lineages_only(registry: Registry, store: Store) -> None:
    alice, bob = Bearer(registry.person("alice")), Bearer(registry.person("bob"))
    await finalized(registry, alice)
    for other in (bob, NO_AUTH):
        refused(await send(registry, other), 404)
    registry.clock.now += ADDITION_TIME + 1
    succeeded(await send(registry, alice))
    await finalized(registry)
    succeeded(await send(registry, alice, {**EDGE, "target_hash": digest(5)}))
    assert {creator.partition(":")[0] for creator, _ in edges(store)} == {"treqs"}, "her own comes first"


async def test_a_private_job_takes_no_view_edges_of_others(registry: Registry, store: Store) -> None:
    alice, bob = Bearer(registry.person("alice")), Bearer(registry.person("bob"))
    await finalized(registry, alice, scope_request=PRIVATE)
    missing = refused(await send(registry, bob, number=9), 404)
    for other in (bob, NO_AUTH):
        assert refused(await send(registry, other), 404) == missing
    assert edges(store) == []


async def test_another_uid_of_a_published_job_is_the_same_job(registry: Registry, store: Store) -> None:
    alice = Bearer(registry.person("alice"))
    await finalized(registry, alice)
    again = await registry.open(auth=alice)
    await again.add_jobs({**job(1), "job_uid": uid(77)})
    await again.finalize()
    succeeded(await send(registry, alice, number=77))
    assert len(edges(store)) == 1
