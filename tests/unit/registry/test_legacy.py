"""The legacy one-shot path: every write is visible at once, and may be repeated."""

import pytest

from roar_publisher.registry.lineages.labels import ADDITION_TIME
from tests.support.registry.harness import (
    GIT,
    Json,
    Registry,
    artifact,
    digest,
    job,
    link,
    refused,
    succeeded,
    uid,
    uids_of,
)

pytestmark = pytest.mark.anyio

HASH = "a" * 64
LINEAGE = f"/api/v1/sessions/{HASH}"


async def opened(registry: Registry) -> Json:
    return succeeded(await registry.client.post("/api/v1/sessions", json={"hash": HASH, **GIT}))


async def test_each_write_is_visible_at_once_and_may_be_repeated(registry: Registry) -> None:
    first = await opened(registry)
    assert first == {"hash": HASH, "url": f"http://registry/dag/{HASH}", "created": True}
    assert (await opened(registry))["created"] is False
    created = []
    for _ in range(2):
        created.append(
            succeeded(await registry.client.post(f"{LINEAGE}/jobs/batch", json={"jobs": [job(1), job(2)]}))[
                "created_count"
            ]
        )
        assert uids_of(await registry.lineage(HASH)) == [uid(1), uid(2)]
        for kind in ("inputs", "outputs"):
            response = await registry.client.post(f"{LINEAGE}/jobs/{uid(1)}/{kind}", json={"artifacts": [link(3)]})
            assert succeeded(response) == {"job_uid": uid(1), f"{kind}_linked": 1}
    assert created == [2, 0]
    published = (await registry.lineage(HASH))["jobs"][0]
    assert (published["inputs_count"], published["outputs_count"]) == (1, 1)


async def test_artifacts_go_to_the_lineages_that_they_name(registry: Registry) -> None:
    await opened(registry)
    named = {**artifact(1), "session_hash": HASH}
    batch = {"artifacts": [named, {**artifact(2), "session_hash": HASH}]}
    assert succeeded(await registry.client.post("/api/v1/artifacts/batch", json=batch))["created"] == 2
    again = succeeded(await registry.client.post("/api/v1/artifacts/batch", json={"artifacts": [named]}))
    assert (again["created"], again["existing"]) == (0, 1)
    composite = {**artifact(9), "hash": digest(9), "component_count_total": 1, "session_hash": HASH}
    assert succeeded(await registry.client.post("/api/v1/artifacts/composites", json=composite))["created"] is True
    assert (await registry.lineage(HASH))["artifacts_count"] == 3


async def test_labels_are_synced_in_versions(registry: Registry) -> None:
    await opened(registry)
    label = {"entity_type": "dag", "session_hash": HASH, "metadata": {"team": "ml"}}
    outcomes = []
    for metadata in ({"team": "ml"}, {"team": "ml"}, {"team": "vision"}):
        body = {"labels": [{**label, "metadata": metadata}]}
        outcomes.append(succeeded(await registry.client.post("/api/v1/labels/sync", json=body)))
    assert [(o["created"], o["updated"], o["unchanged"]) for o in outcomes] == [(1, 0, 0), (0, 0, 1), (0, 1, 0)]
    assert (await registry.lineage(HASH))["labels"] == {"team": "vision"}


@pytest.mark.parametrize(
    ("path", "body"),
    [
        (f"{LINEAGE}/jobs/batch", {"jobs": [job(1)]}),
        (f"{LINEAGE}/jobs/{uid(1)}/inputs", {"artifacts": [link(1)]}),
        (f"{LINEAGE}/jobs/{uid(1)}/outputs", {"artifacts": [link(1)]}),
        ("/api/v1/artifacts/batch", {"artifacts": [{**artifact(1), "session_hash": HASH}]}),
        ("/api/v1/labels/sync", {"labels": [{"entity_type": "dag", "session_hash": HASH, "metadata": {}}]}),
    ],
)
async def test_writes_into_an_unopened_lineage_are_404(registry: Registry, path: str, body: Json) -> None:
    refused(await registry.client.post(path, json=body), 404)


async def test_links_to_an_unknown_job_are_404(registry: Registry) -> None:
    await opened(registry)
    response = await registry.client.post(f"{LINEAGE}/jobs/{uid(1)}/inputs", json={"artifacts": [link(1)]})
    refused(response, 404)


async def test_an_anonymous_scope_is_403(registry: Registry) -> None:
    body = {"hash": HASH, **GIT, "scope_request": {"owner_id": "o"}}
    refused(await registry.client.post("/api/v1/sessions", json=body), 403)
    assert not await registry.is_published(HASH)


async def test_a_finalized_lineage_takes_no_legacy_writes(registry: Registry) -> None:
    session = await registry.open()
    await session.add_jobs(job(1))
    sealed = (await session.finalize())["hash"]
    again = await registry.client.post("/api/v1/sessions", json={"hash": sealed, **GIT})
    assert succeeded(again)["created"] is False
    refused(await registry.client.post(f"/api/v1/sessions/{sealed}/jobs/batch", json={"jobs": [job(2)]}), 409)
    registry.clock.now += ADDITION_TIME + 1
    label = {"entity_type": "dag", "session_hash": sealed, "metadata": {"defaced": True}}
    refused(await registry.client.post("/api/v1/labels/sync", json={"labels": [label]}), 409)
    lineage = await registry.lineage(sealed)
    assert (lineage["jobs_count"], lineage["labels"]) == (1, {})


@pytest.mark.parametrize("name", ["", "A" * 64, "a" * 63, "../" * 20, 7, None])
async def test_a_lineage_is_named_by_64_hex_digits(registry: Registry, name: object) -> None:
    refused(await registry.client.post("/api/v1/sessions", json={"hash": name, **GIT}), 422)
