"""`links/batch`: the links of several jobs in one request, with the effect of the single requests."""

import json

import pytest

from roar_publisher.glaas.wire import BATCH_LIMIT, DEFAULT_BODY_LIMIT, MOST_ITEMS
from roar_publisher.registry.data import Store
from tests.support.registry.features import SINGLE_LINKS, SMALL_REQUESTS
from tests.support.registry.harness import (
    Json,
    Registry,
    Session,
    job,
    link,
    make_registry,
    refused,
    run_inline,
    succeeded,
    uid,
)
from tests.support.registry.legacy import Legacy
from tests.support.registry.people import Ssh

pytestmark = pytest.mark.anyio
LEGACY_HASH = "e" * 64


def entry(number: int, kind: str, *links: Json) -> Json:
    return {"job_uid": uid(number), "kind": kind, "artifacts": list(links)}


async def add(session: Session, *entries: Json) -> Json:
    return succeeded(await session.post("/links/batch", {"links": entries}))


async def test_it_is_advertised_with_its_limit(registry: Registry) -> None:
    features = succeeded(await registry.client.get("/api/v1/health"))["features"]
    assert features["registration_sessions"]["links_batch"] is True
    assert features["legacy_links_batch"] is True
    assert features["max_body_bytes"] == BATCH_LIMIT


async def test_where_it_is_not_advertised_it_is_not_there(anyio_backend: str, store: Store) -> None:
    registry = make_registry(store, features=SINGLE_LINKS, bulk=SMALL_REQUESTS, run=run_inline)
    async with registry.client:
        session, legacy = await registry.open(), Legacy(registry, LEGACY_HASH)
        features = succeeded(await registry.client.get("/api/v1/health"))["features"]
        assert not features.keys() & {"max_body_bytes", "request_encodings", "legacy_links_batch"}
        assert refused(await session.post("/links/batch", {"links": []}), 404) == "Endpoint not found"
        path = f"sessions/{legacy.hash}/links/batch"
        assert refused(await legacy.post(path, {"links": []}), 404) == "Endpoint not found"


async def test_a_batch_has_the_effect_of_the_single_requests(registry: Registry) -> None:
    single, batch = await registry.open(), await registry.open()
    for session in (single, batch):
        await session.add_jobs(job(1), job(2))
    await single.add_links(1, "outputs", link(1, "/b"), link(2))
    await single.add_links(1, "outputs", link(1, "/a"))
    await single.add_links(2, "inputs", link(1, "/c"))
    reply = await add(
        batch,
        entry(1, "outputs", link(1, "/b"), link(2)),
        entry(2, "inputs", link(1, "/c")),
        entry(1, "outputs", link(1, "/a")),
    )
    assert reply == {"inputs_linked": 1, "outputs_linked": 3, "errors": []}
    first, second = await single.finalize(), await batch.finalize()
    assert second["hash"] == first["hash"]
    assert second["staged_counts"] == first["staged_counts"]


async def test_a_batch_may_be_repeated(registry: Registry) -> None:
    session = await registry.open()
    await session.add_jobs(job(1))
    entries = [entry(1, "inputs", link(1)), entry(1, "outputs", link(2), link(3))]
    assert await add(session, *entries) == await add(session, *entries)
    receipt = await session.finalize(expected={"jobs": 1, "inputs": 1, "outputs": 2})
    assert receipt["staged_counts"]["artifacts"] == 3


async def test_an_entry_that_cannot_be_linked_does_not_affect_the_others(registry: Registry) -> None:
    session = await registry.open()
    await session.add_jobs(job(1))
    huge = link(3, "/" + "x" * DEFAULT_BODY_LIMIT)
    reply = await add(
        session, entry(1, "inputs", link(1)), entry(7, "inputs", link(2)), entry(1, "outputs", huge, link(4))
    )
    assert (reply["inputs_linked"], reply["outputs_linked"]) == (1, 0)
    accepted, unknown, large = reply["errors"]
    assert accepted is None
    assert "no such job" in unknown
    assert "too large" in large
    receipt = await session.finalize(expected={"jobs": 1, "inputs": 1, "outputs": 0})
    assert receipt["staged_counts"]["artifacts"] == 1


@pytest.mark.parametrize(
    "malformed",
    [
        {"job_uid": uid(1), "kind": "view-edges", "artifacts": []},
        {"job_uid": uid(1), "artifacts": []},
        {"kind": "inputs", "artifacts": []},
        {"job_uid": uid(1), "kind": "inputs", "artifacts": [{"hash": "a b", "path": "/x"}]},
        {"job_uid": uid(1), "kind": "inputs", "artifacts": {}},
    ],
)
async def test_of_a_malformed_batch_nothing_is_linked(registry: Registry, malformed: Json) -> None:
    session = await registry.open()
    await session.add_jobs(job(1))
    refused(await session.post("/links/batch", {"links": [entry(1, "inputs", link(1)), malformed]}), 422)
    await session.finalize(expected={"jobs": 1, "inputs": 0, "outputs": 0})


async def test_bodies_past_the_advertised_limit_or_with_too_many_links_are_413(registry: Registry) -> None:
    session = await registry.open()
    await session.add_jobs(job(1))
    entries = [entry(1, "inputs", *(link(n, "/" + "x" * 300) for n in range(100))) for _ in range(20)]
    assert DEFAULT_BODY_LIMIT < len(json.dumps(entries)) < BATCH_LIMIT
    assert (await add(session, *entries))["inputs_linked"] == 2000
    refused(await session.post("/links/batch", {"links": entries * 2}), 413)
    short = [{"hash": "a", "path": ""}] * (MOST_ITEMS // 2 + 1)
    refused(await session.post("/links/batch", {"links": [entry(1, "inputs", *short)] * 2}), 413)


async def test_a_signed_batch_past_the_limit_of_other_bodies_is_accepted(registry: Registry) -> None:
    session = await registry.open(auth=Ssh(registry.person("alice")))
    await session.add_jobs(job(1))
    links = [link(n, "/" + "x" * 300) for n in range(400)]
    assert (await add(session, entry(1, "inputs", *links)))["inputs_linked"] == 400


async def test_a_closed_or_foreign_session_takes_none(registry: Registry) -> None:
    session, other = await registry.open(), await registry.open()
    await session.add_jobs(job(1))
    headers = {"Authorization": other.token}
    body = {"links": [entry(1, "inputs", link(1))]}
    foreign = await registry.client.post(f"{session.root}/links/batch", json=body, headers=headers)
    assert foreign.status_code in (401, 403, 404)
    await session.finalize()
    refused(await session.post("/links/batch", body), 409)


async def test_on_the_legacy_path_a_batch_has_the_effect_of_the_single_requests(registry: Registry) -> None:
    single, batch = Legacy(registry, LEGACY_HASH), Legacy(registry, "d" * 64)
    for legacy in (single, batch):
        await legacy.open()
        await legacy.add_jobs(job(1), job(2))
    await single.add_links(1, "outputs", link(1, "/b"), link(2))
    await single.add_links(1, "outputs", link(1, "/a"))
    await single.add_links(2, "inputs", link(1, "/c"))
    entries = [
        entry(1, "outputs", link(1, "/b"), link(2)),
        entry(2, "inputs", link(1, "/c")),
        entry(7, "inputs", link(3)),
        entry(1, "outputs", link(1, "/a")),
    ]
    for _ in range(2):
        reply = succeeded(await batch.post(f"sessions/{batch.hash}/links/batch", {"links": entries}))
        assert (reply["inputs_linked"], reply["outputs_linked"]) == (1, 3)
        assert [bool(error) for error in reply["errors"]] == [False, False, True, False]
    first, second = await registry.lineage(single.hash), await registry.lineage(batch.hash)
    assert second["jobs"] == first["jobs"]


async def test_a_finalized_or_unknown_lineage_takes_none(registry: Registry) -> None:
    session = await registry.open()
    await session.add_jobs(job(1))
    lineage_hash = (await session.finalize())["hash"]
    body = {"links": [entry(1, "inputs", link(1))]}
    published, unknown = Legacy(registry, lineage_hash), Legacy(registry, "d" * 64)
    refused(await published.post(f"sessions/{published.hash}/links/batch", body), 409)
    refused(await unknown.post(f"sessions/{unknown.hash}/links/batch", body), 404)
    assert (await registry.lineage(lineage_hash))["jobs"][0]["inputs"] == []
