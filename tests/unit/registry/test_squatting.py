"""Legacy writes under another user's hash. They do not prevent its finalize, which publishes none of them."""

from dataclasses import dataclass

import httpx2
import pytest

from roar_publisher.registry.store import projects
from tests.support.registry.harness import (
    GIT,
    NO_AUTH,
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
from tests.support.registry.legacy import COUNTS, OWN, Legacy, hash_beforehand, staged
from tests.support.registry.people import Bearer, Person

pytestmark = pytest.mark.anyio

PUBLIC: dict[str, object] = {}
PRIVATE: dict[str, object] = {"scope_request": OWN}
PLANTED = {"defaced": True}


@dataclass
class Case:
    """Who squats, whose lineage it is, and how both publish it."""

    squatter: httpx2.Auth
    victim: httpx2.Auth
    victim_person: Person | None
    squatted: dict[str, object]
    published: dict[str, object]


CASES = {
    "an anonymous client squats a private lineage": ("anonymous", "alice", PUBLIC, PRIVATE),
    "an anonymous client squats a user's public lineage": ("anonymous", "alice", PUBLIC, PUBLIC),
    "an anonymous client squats an anonymous lineage": ("anonymous", "anonymous", PUBLIC, PUBLIC),
    "another user squats a private lineage in public": ("mallory", "alice", PUBLIC, PRIVATE),
    "another user squats a private lineage in private": ("mallory", "alice", PRIVATE, PRIVATE),
    "another user squats a public lineage in private": ("mallory", "alice", PRIVATE, PUBLIC),
    "another user squats a public lineage in public": ("mallory", "alice", PUBLIC, PUBLIC),
    "another user squats an anonymous lineage": ("mallory", "anonymous", PUBLIC, PUBLIC),
    "another user squats an anonymous lineage in private": ("mallory", "anonymous", PRIVATE, PUBLIC),
}


@pytest.fixture(params=list(CASES))
async def case(request: pytest.FixtureRequest, anyio_backend: str, registry: Registry) -> Case:
    squatter, victim, squatted, published = CASES[request.param]
    people = {name: registry.person(name) for name in (squatter, victim) if name != "anonymous"}
    shown = {name: Bearer(person) for name, person in people.items()}
    return Case(
        shown.get(squatter, NO_AUTH),
        shown.get(victim, NO_AUTH),
        people.get(victim),
        dict(squatted),
        dict(published),
    )


async def squat(registry: Registry, case: Case) -> Legacy:
    """Everything that legacy writes can plant under the hash that the victim's lineage will have."""
    legacy = Legacy(registry, await hash_beforehand(case.victim_person), case.squatter)
    await legacy.open(**case.squatted)
    await legacy.add_jobs(job(1, command="rm -rf /"), job(2), job(9, command="never run"))
    await legacy.add_artifacts(artifact(1, size=666), artifact(2, size=666), artifact(9))
    await legacy.add_links(1, "outputs", link(1, "/evil"), link(9))
    await legacy.add_links(1, "inputs", link(9))
    await legacy.label(PLANTED)
    await legacy.label(PLANTED, entity_type="job", job_uid=uid(1))
    await legacy.label(PLANTED, entity_type="artifact", artifact_hash=digest(1))
    return legacy


async def test_a_squatted_hash_stops_no_finalize_and_nothing_planted_is_published(
    registry: Registry, case: Case
) -> None:
    legacy = await squat(registry, case)
    session = await staged(registry, case.victim)
    receipt = await session.finalize(expected=COUNTS, **case.published)
    visibility = "private" if case.published else "public"
    assert (receipt["hash"], receipt["created"], receipt["visibility"]) == (legacy.hash, True, visibility)
    lineage = await registry.lineage(legacy.hash, auth=case.victim)
    assert (uids_of(lineage), lineage["artifacts_count"], lineage["labels"]) == ([uid(1), uid(2)], 2, {})
    first = lineage["jobs"][0]
    assert (first["command"], first["labels"], first["inputs_count"]) == ("python step1.py", {}, 0)
    assert first["outputs"] == [{**link(1), "size": 10}]
    found = succeeded(await registry.client.get(f"/api/v1/artifacts/{digest(1)}", auth=case.victim))
    assert (found["size"], found["labels"], found["original_session_hash"]) == (10, [], legacy.hash)
    assert await registry.is_published(legacy.hash) is (visibility == "public")
    assert await session.finalize(expected=COUNTS, **case.published) == receipt


async def test_a_squatter_keeps_the_data_and_cannot_write(registry: Registry, case: Case) -> None:
    legacy = await squat(registry, case)
    address = f"/api/v1/sessions/{legacy.hash}"
    before = await registry.lineage(legacy.hash, auth=case.squatter)
    await (await staged(registry, case.victim)).finalize(**case.published)
    kept = succeeded(await registry.client.get(f"{address}?set_aside=true", auth=case.squatter))
    assert kept == {**before, "set_aside": True}
    readers = {"anonymous": NO_AUTH, "eve": Bearer(registry.person("eve")), "victim": case.victim}
    for reader in readers.values():
        if reader is not case.squatter:
            refused(await registry.client.get(f"{address}?set_aside=true", auth=reader), 404)
    for path, body in writes(legacy.hash).items():
        answer = await legacy.post(path, body)
        assert answer.status_code in (403, 404, 409), (path, answer.text)
    after = succeeded(await registry.client.get(f"{address}?set_aside=true", auth=case.squatter))
    assert after == kept
    shown = await registry.lineage(legacy.hash, auth=case.victim)
    assert (uids_of(shown), shown["set_aside"]) == ([uid(1), uid(2)], False)


def writes(lineage_hash: str) -> dict[str, Json]:
    """Every legacy write, each of which would change something. (Labels of anonymous lineages: `test_additions`.)"""
    lineage = f"sessions/{lineage_hash}"
    return {
        f"{lineage}/jobs/batch": {"jobs": [job(7)]},
        f"{lineage}/jobs": job(7),
        f"{lineage}/jobs/{uid(1)}/inputs": {"artifacts": [link(7)]},
        f"{lineage}/jobs/{uid(1)}/outputs": {"artifacts": [link(7)]},
        "artifacts/batch": {"artifacts": [{**artifact(7), "session_hash": lineage_hash}]},
        "artifacts/composites": {
            **artifact(7),
            "hash": digest(7),
            "component_count_total": 0,
            "session_hash": lineage_hash,
        },
    }


async def test_a_squatter_who_may_not_read_the_lineage_still_reads_the_own_words(registry: Registry) -> None:
    """They learn nothing of the private lineage; others, who may open the hash's page, get nothing planted."""
    alice, mallory = registry.person("alice"), registry.person("mallory")
    legacy = Legacy(registry, await hash_beforehand(alice), Bearer(mallory))
    await legacy.open()
    await legacy.add_jobs(job(9))
    await (await staged(registry, Bearer(alice))).finalize(**PRIVATE)
    hers = await registry.lineage(legacy.hash, auth=Bearer(mallory))
    assert (uids_of(hers), hers["set_aside"]) == ([uid(9)], True)
    listed = succeeded(await registry.client.get("/api/v1/sessions", auth=Bearer(mallory)))["sessions"]
    assert [(each["hash"], each["set_aside"]) for each in listed] == [(legacy.hash, True)]
    for path in (f"/api/v1/sessions/{legacy.hash}", f"/dag/{legacy.hash}", f"/dag/{legacy.hash[:12]}"):
        assert (await registry.client.get(path)).status_code == 404
    assert legacy.hash not in (await registry.client.get("/")).text


async def test_ones_own_private_legacy_lineage_elsewhere_stops_no_finalize(registry: Registry) -> None:
    alice = registry.person("alice")
    accounts = registry.store.accounts
    project_id = accounts.write(projects.add_project, "alice", "models", "private")
    scope = {"owner_id": alice.user.id, "owner_type": "user", "project_id": project_id, "visibility": "private"}
    legacy = Legacy(registry, await hash_beforehand(alice), Bearer(alice))
    await legacy.open(**PRIVATE)
    await legacy.add_jobs(job(1))
    receipt = await (await staged(registry, Bearer(alice))).finalize(scope_request=scope)
    assert (receipt["created"], receipt["visibility"]) == (True, "private")
    address = f"/api/v1/sessions/{legacy.hash}?set_aside=true"
    assert uids_of(succeeded(await registry.client.get(address, auth=Bearer(alice)))) == [uid(1)]


@pytest.mark.parametrize("as_somebody", [False, True])
async def test_neither_the_first_nor_the_last_writer_defines_an_artifact(registry: Registry, as_somebody: bool) -> None:
    """Another lineage has the same digest with wrong facts: before, and with newer labels."""
    alice = registry.person("alice")
    squatter = Bearer(registry.person("mallory")) if as_somebody else NO_AUTH
    early = Legacy(registry, "e" * 64, squatter)
    await early.open()
    await early.add_artifacts(artifact(1, size=666))
    registry.clock.now += 1
    session = await staged(registry, Bearer(alice))
    receipt = await session.finalize()
    label = {"entity_type": "artifact", "artifact_hash": digest(1), "metadata": {"team": "ml"}}
    succeeded(await session.post("/labels/batch", {"labels": [label]}))
    registry.clock.now += 1
    await early.label({"team": "evil"}, entity_type="artifact", artifact_hash=digest(1))
    for reader in (NO_AUTH, Bearer(alice)):
        found = succeeded(await registry.client.get(f"/api/v1/artifacts/{digest(1)}", auth=reader))
        assert (found["size"], found["original_session_hash"]) == (10, receipt["hash"])
        assert found["labels"][-1]["metadata"] == {"team": "ml"}, "the last one counts"
        where = {"entity_type": "artifact", "artifact_hash": digest(1)}
        current = succeeded(await registry.client.get("/api/v1/labels/current", params=where, auth=reader))
        assert (current["metadata"], current["sessionHash"]) == ({"team": "ml"}, receipt["hash"])


async def test_a_hash_that_begins_alike_does_not_take_the_short_address_of_a_finalized_lineage(
    registry: Registry,
) -> None:
    receipt = await (await staged(registry)).finalize()
    short = receipt["hash"][:12]
    alike = short + ("0" if receipt["hash"][12] != "0" else "1") * 52
    succeeded(await registry.client.post("/api/v1/sessions", json={"hash": alike, **GIT}))
    assert (await registry.lineage(short))["hash"] == receipt["hash"]


async def test_later_members_of_a_composite_change_no_existing_data(registry: Registry) -> None:
    session = await registry.open()
    await session.add_jobs(job(1))
    await session.add_links(1, "outputs", {**link(1), "size": 10})
    lineage_hash = (await session.finalize())["hash"]
    planted = {**artifact(1, size=666), "hash": digest(1), "component_count_total": 0, "session_hash": lineage_hash}
    succeeded(await registry.client.post("/api/v1/artifacts/composites", json=planted))
    found = succeeded(await registry.client.get(f"/api/v1/artifacts/{digest(1)}"))
    assert found["size"] == 10
