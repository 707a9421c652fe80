"""A legacy lineage is what was written so far; what a session finalizes under the same hash takes its place."""

from collections.abc import Sequence
from typing import Any

import pytest

from roar_publisher.registry.data import Store
from roar_publisher.registry.lineages.labels import ADDITION_TIME
from roar_publisher.registry.lineages.legacy import ROW_BYTES
from tests.support.registry.harness import GIT, Registry, artifact, digest, job, link, refused, succeeded, uid, uids_of
from tests.support.registry.legacy import COUNTS, OWN, Legacy, hash_beforehand, staged
from tests.support.registry.people import Bearer

pytestmark = pytest.mark.anyio


async def test_staged_data_replaces_unverified_data(registry: Registry) -> None:
    legacy = Legacy(registry, await hash_beforehand())
    await legacy.open()
    await legacy.add_jobs(job(2), job(9, command="never run"))
    await legacy.add_links(9, "outputs", link(9))
    session = await staged(registry)
    receipt = await session.finalize(expected=COUNTS)
    assert (receipt["hash"], receipt["created"]) == (legacy.hash, True)
    lineage = await registry.lineage(legacy.hash)
    assert uids_of(lineage) == [uid(1), uid(2)]
    assert [(each["inputs_count"], each["outputs_count"]) for each in lineage["jobs"]] == [(0, 1), (1, 1)]
    assert await session.finalize() == receipt
    refused(await legacy.post(f"sessions/{legacy.hash}/jobs/batch", {"jobs": [job(3)]}), 409)
    assert (await (await staged(registry)).finalize())["created"] is False


async def test_a_users_own_complete_legacy_lineage_loses_nothing_that_readers_saw(registry: Registry) -> None:
    """What the session does not say again, because the hash does not ask for it: artifacts, and labels."""
    alice = registry.person("alice")
    legacy = Legacy(registry, await hash_beforehand(alice), Bearer(alice))
    await legacy.open()
    await legacy.add_jobs(job(1), job(2))
    await legacy.add_artifacts(artifact(1, size=111), artifact(2, size=222), artifact(3))
    await legacy.add_links(1, "outputs", link(1))
    await legacy.add_links(2, "inputs", link(1))
    await legacy.add_links(2, "outputs", link(2))
    entities: list[dict[str, str]] = [
        {},
        {"entity_type": "job", "job_uid": uid(1)},
        {"entity_type": "artifact", "artifact_hash": digest(3)},
    ]
    for entity in entities:
        await legacy.label({"team": "ml"}, **entity)
        await legacy.label({"team": "vision"}, **entity)
    before = await everything_read(registry, legacy.hash, entities)
    session = await staged(registry, Bearer(alice), artifacts=False)
    await session.finalize(expected=COUNTS)
    assert await everything_read(registry, legacy.hash, entities) == before

    again = {"entity_type": "dag", "session_hash": legacy.hash, "metadata": {"team": "audio"}}
    assert succeeded(await session.post("/labels/batch", {"labels": [again]}))["updated"] == 1
    assert (await registry.lineage(legacy.hash))["labels"] == {"team": "audio"}


async def test_staged_data_defines_an_artifact(registry: Registry) -> None:
    legacy = Legacy(registry, await hash_beforehand())
    await legacy.open()
    await legacy.add_artifacts(artifact(1, size=111))
    await (await staged(registry)).finalize()
    found = succeeded(await registry.client.get(f"/api/v1/artifacts/{digest(1)}"))
    assert (found["size"], (await registry.lineage(legacy.hash))["artifacts_count"]) == (10, 2)


async def everything_read(registry: Registry, lineage_hash: str, labelled: Sequence[dict[str, str]]) -> list[Any]:
    """What readers see of a lineage, but for the time."""
    lineage = await registry.lineage(lineage_hash)
    del lineage["published_at"]
    found = [succeeded(await registry.client.get(f"/api/v1/artifacts/{digest(number)}")) for number in (1, 2, 3)]
    histories = []
    for entity in labelled:
        where = {"entity_type": "dag", "session_hash": lineage_hash, **entity}
        histories.append(succeeded(await registry.client.get("/api/v1/labels/history", params=where)))
    return [lineage, found, histories]


async def test_jobs_of_a_users_own_legacy_lineage_are_staged_again(registry: Registry) -> None:
    """She began on the legacy path and got half-way."""
    alice = registry.person("alice")
    legacy = Legacy(registry, await hash_beforehand(alice), Bearer(alice))
    await legacy.open()
    await legacy.add_jobs(job(1), job(2))
    session = await registry.open(auth=Bearer(alice))
    reply = await session.add_jobs(job(1), job(2))
    assert (reply["created_count"], reply["already_registered_session_hashes"]) == (2, [])
    receipt = await (await staged(registry, Bearer(alice))).finalize(expected=COUNTS)
    assert (receipt["hash"], receipt["created"]) == (legacy.hash, True)
    assert [each["outputs_count"] for each in (await registry.lineage(legacy.hash))["jobs"]] == [1, 1]


async def test_a_legacy_lineage_that_is_too_large_to_move_is_set_aside(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Moving a million artifacts in the transaction that publishes would delay all clients for ten seconds."""
    alice = Bearer(person := registry.person("alice"))
    monkeypatch.setattr("roar_publisher.registry.lineages.legacy.MAX_MOVED_BYTES", 100 * ROW_BYTES)
    legacy = Legacy(registry, await hash_beforehand(person), alice)
    await legacy.open()
    await legacy.add_artifacts(*(artifact(number) for number in range(3, 120)))
    await legacy.label({"team": "ml"})
    receipt = await (await staged(registry, alice)).finalize(expected=COUNTS)
    assert (receipt["hash"], receipt["created"], receipt["visibility"]) == (legacy.hash, True, "public")
    assert (await registry.lineage(legacy.hash))["artifacts_count"] == 2
    own = await registry.client.get(f"/api/v1/sessions/{legacy.hash}?set_aside=true", auth=alice)
    kept = succeeded(own)
    assert (kept["artifacts_count"], kept["labels"]) == (117, {"team": "ml"})


@pytest.mark.parametrize("then", ["public", "private"])
@pytest.mark.parametrize("first", ["public", "private"])
async def test_it_keeps_the_legacy_lineages_scope_or_becomes_public(registry: Registry, first: str, then: str) -> None:
    alice = registry.person("alice")
    scopes: dict[str, dict[str, object]] = {"public": {}, "private": {"scope_request": OWN}}
    legacy = Legacy(registry, await hash_beforehand(alice), Bearer(alice))
    await legacy.open(**scopes[first])
    answer = await (await staged(registry, Bearer(alice))).post("/finalize", {**GIT, **scopes[then]})
    is_public = "public" in (first, then)
    receipt = succeeded(answer)
    assert (receipt["created"], receipt["visibility"]) == (True, "public" if is_public else "private")
    assert (await registry.lineage(legacy.hash, auth=Bearer(alice)))["jobs_count"] == 2
    assert await registry.is_published(legacy.hash) is is_public


async def test_a_users_legacy_artifact_stays_if_the_session_only_links_it(
    registry: Registry,
) -> None:
    alice = Bearer(registry.person("alice"))
    receipt = await (await staged(registry, alice, artifacts=False)).finalize()
    registry.store.write(lambda db: db.execute("UPDATE lineages SET session_id = NULL"))
    known = {**artifact(1, size=77), "session_hash": receipt["hash"]}
    succeeded(await registry.client.post("/api/v1/artifacts/batch", json={"artifacts": [known]}, auth=alice))
    assert (await (await staged(registry, alice, artifacts=False)).finalize())["hash"] == receipt["hash"]
    found = succeeded(await registry.client.get(f"/api/v1/artifacts/{digest(1)}"))
    assert (found["size"], found["hashes"]) == (77, known["hashes"])


async def test_a_session_closed_with_the_legacy_graph_by_an_earlier_release_works(
    registry: Registry, store: Store
) -> None:
    earlier = await staged(registry)
    receipt = await earlier.finalize()
    store.write(lambda connection: connection.execute("UPDATE lineages SET session_id = NULL"))
    assert (await (await staged(registry)).finalize())["created"] is True
    registry.clock.now += ADDITION_TIME + 1
    label = {"entity_type": "dag", "session_hash": receipt["hash"], "metadata": {"team": "ml"}}
    assert succeeded(await earlier.post("/labels/batch", {"labels": [label]}))["skipped"] == 1
    assert await earlier.finalize() == receipt
    await registry.open()  # would delete what is discarded: the graph that is set aside stays
    counts = "SELECT (SELECT count(*) FROM jobs), (SELECT count(*) FROM discarded_graphs)"
    assert store.read(lambda connection: tuple(connection.execute(counts).fetchone())) == (4, 0)
    assert (await registry.lineage(receipt["hash"]))["jobs_count"] == 2
