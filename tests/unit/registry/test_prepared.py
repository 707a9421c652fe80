"""A private lineage is published again: its jobs are prepared, and finalize settles its scope."""

import httpx2
import pytest

from tests.support.registry.harness import (
    GIT,
    NO_AUTH,
    Json,
    Registry,
    Session,
    artifact,
    digest,
    job,
    link,
    refused,
    succeeded,
    uid,
)
from tests.support.registry.people import Bearer, Ssh

pytestmark = pytest.mark.anyio

OWN: Json = {"owner_resolution": "current_user", "owner_type": "user", "visibility": "private"}
HONOURED, IGNORED = ("0.4.6", "0.4.7", "0.5.0", "1.0.0rc1"), ("", "0.4.5", "0.3.7", "nonsense", "0.4")
"""Versions of roar-cli that finalize a prepared session, and those that do not or do not say so."""


async def private(registry: Registry, auth: httpx2.Auth, jobs: int = 2) -> str:
    """A private lineage of jobs 1 to `jobs`, each writing an artifact; its hash."""
    session = await registry.open(auth=auth)
    await session.add_jobs(*map(job, range(1, jobs + 1)))
    for number in range(1, jobs + 1):
        await session.add_artifacts(artifact(number))
        await session.add_links(number, "outputs", link(number))
    return str((await session.finalize(scope_request=OWN))["hash"])


async def send_jobs(session: Session, *jobs: Json, version: str = "0.4.7") -> httpx2.Response:
    headers = {"X-Roar-Version": version}
    path = f"{session.root}/jobs/batch"
    return await session.client.post(path, json={"jobs": jobs}, headers=headers, auth=session.auth)


def is_prepared(reply: Json) -> bool:
    counts = (reply["created_count"], reply["existing_count"])
    assert not reply["existing_binding_prepared"] or counts == (0, 0)
    return bool(reply["existing_binding_prepared"])


@pytest.mark.parametrize("by_key", [False, True])
@pytest.mark.parametrize("then", ["public", "private"])
async def test_finalize_settles_the_prepared_lineage(registry: Registry, by_key: bool, then: str) -> None:
    alice = registry.person("alice")
    auth: httpx2.Auth = Ssh(alice) if by_key else Bearer(alice)
    lineage_hash = await private(registry, auth)
    session = await registry.open(auth=auth)
    for _ in range(2):
        reply = succeeded(await send_jobs(session, job(2), job(1)))
        assert (is_prepared(reply), reply["already_registered_session_hashes"]) == (True, [lineage_hash])
        assert reply["job_ids"] == [uid(2), uid(1)]
    receipt = await session.finalize(**({} if then == "public" else {"scope_request": OWN}))
    assert receipt == {
        "hash": lineage_hash,
        "created": False,
        "status": "closed",
        "canonical_version": 1,
        "staged_counts": {"jobs": 2, "inputs": 0, "outputs": 2, "artifacts": 2},
        "visibility": then,
        "url": f"http://registry/dag/{lineage_hash}",
    }
    assert await session.finalize(**({} if then == "public" else {"scope_request": OWN})) == receipt
    assert await registry.is_published(lineage_hash) is (then == "public")
    label = {"entity_type": "job", "job_uid": uid(1), "session_hash": lineage_hash, "metadata": {"a": 1}}
    assert succeeded(await session.post("/labels/batch", {"labels": [label]}))["created"] == 1
    lineage = await registry.lineage(lineage_hash, auth=auth)
    assert (lineage["jobs_count"], lineage["jobs"][0]["labels"]) == (2, {"a": 1})


async def test_a_prepared_lineage_that_would_move_stays_and_is_refused(registry: Registry) -> None:
    alice = registry.person("alice")
    lineage_hash = await private(registry, Bearer(alice))
    session = await registry.open(auth=Bearer(alice))
    await send_jobs(session, job(1), job(2))
    elsewhere = {**OWN, "visibility": "public", "owner_type": "organization"}
    refused(await session.post("/finalize", {**GIT, "scope_request": elsewhere}), 422)
    assert not await registry.is_published(lineage_hash)


@pytest.mark.parametrize("version", [*HONOURED, *IGNORED])
async def test_it_is_offered_to_those_that_finalize_then(registry: Registry, version: str) -> None:
    alice = registry.person("alice")
    await private(registry, Bearer(alice))
    session = await registry.open(auth=Bearer(alice))
    reply = succeeded(await send_jobs(session, job(1), job(2), version=version))
    assert is_prepared(reply) is (version in HONOURED)
    if version in IGNORED:
        assert (reply["created_count"], reply["already_registered_session_hashes"]) == (2, [])


@pytest.mark.parametrize("numbers", [[1], [1, 2, 3], [3]])
async def test_jobs_that_are_not_exactly_those_of_the_lineage_are_staged(
    registry: Registry, numbers: list[int]
) -> None:
    """A part may be one of several batches, and what has grown is another lineage."""
    alice = registry.person("alice")
    await private(registry, Bearer(alice))
    session = await registry.open(auth=Bearer(alice))
    reply = succeeded(await send_jobs(session, *map(job, numbers)))
    assert (is_prepared(reply), reply["created_count"]) == (False, len(numbers))


async def test_where_jobs_are_staged_nothing_is_prepared(registry: Registry) -> None:
    alice = registry.person("alice")
    await private(registry, Bearer(alice))
    session = await registry.open(auth=Bearer(alice))
    await send_jobs(session, job(3))
    assert not is_prepared(succeeded(await send_jobs(session, job(1), job(2))))
    assert (await session.finalize(scope_request=OWN))["staged_counts"]["jobs"] == 3


@pytest.mark.parametrize("numbers", [[1], [3], [1, 2, 3]])
async def test_a_prepared_session_takes_no_other_jobs(registry: Registry, numbers: list[int]) -> None:
    """None of the lineage's jobs is staged, so other staged jobs would be published without them."""
    alice = registry.person("alice")
    await private(registry, Bearer(alice))
    session = await registry.open(auth=Bearer(alice))
    await send_jobs(session, job(1), job(2))
    for version in ("0.4.7", ""):
        refused(await send_jobs(session, *map(job, numbers), version=version), 409)
    refused(await session.post("/jobs", job(3)), 409)


async def test_another_users_lineage_is_not_prepared(registry: Registry) -> None:
    alice, bob = registry.person("alice"), registry.person("bob")
    await private(registry, Bearer(alice))
    for auth in (Bearer(bob), Ssh(bob)):
        reply = succeeded(await send_jobs(await registry.open(auth=auth), job(1), job(2)))
        assert (is_prepared(reply), reply["already_registered_session_hashes"]) == (False, [])
    anonymous = await registry.open(auth=NO_AUTH)
    reply = succeeded(await anonymous.post("/jobs/batch", {"jobs": [job(1), job(2)]}))
    assert (is_prepared(reply), reply["already_registered_session_hashes"]) == (False, [])


async def test_an_artifact_of_a_lineage_made_public_is_visible_to_all(registry: Registry) -> None:
    alice = registry.person("alice")
    await private(registry, Bearer(alice))
    refused(await registry.client.get(f"/api/v1/artifacts/{digest(1)}"), 404)
    session = await registry.open(auth=Bearer(alice))
    await send_jobs(session, job(1), job(2))
    await session.finalize()
    succeeded(await registry.client.get(f"/api/v1/artifacts/{digest(1)}"))
