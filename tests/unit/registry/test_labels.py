"""Labels of finalized lineages: who may write them, and what readers get."""

from dataclasses import dataclass

import httpx2
import pytest

from tests.support.registry.harness import Json, Registry, Session, artifact, digest, job, link, refused, succeeded, uid
from tests.support.registry.people import Bearer, Person

pytestmark = pytest.mark.anyio


async def published(registry: Registry) -> tuple[Session, str]:
    session = await registry.open()
    await session.add_jobs(job(1))
    await session.add_artifacts(artifact(1))
    return session, (await session.finalize())["hash"]


def label(lineage_hash: str, metadata: Json, **entity: str) -> Json:
    origins = dict.fromkeys(metadata, "user")
    return {"entity_type": "dag", "session_hash": lineage_hash, "metadata": metadata, "key_origins": origins, **entity}


async def test_labels_are_versioned_and_repeating_them_changes_nothing(registry: Registry) -> None:
    session, lineage_hash = await published(registry)
    batch = [
        label(lineage_hash, {"team": "ml"}),
        label(lineage_hash, {"a": {"b": 1}}, entity_type="job", job_uid=uid(1)),
        label(lineage_hash, {"x": [1]}, entity_type="artifact", artifact_hash=digest(1)),
    ]
    first = succeeded(await session.post("/labels/batch", {"labels": batch}))
    again = succeeded(await session.post("/labels/batch", {"labels": batch}))
    assert first == {"created": 3, "updated": 0, "noops": 0, "skipped": 0, "errors": []}
    assert again == {"created": 0, "updated": 0, "noops": 3, "skipped": 0, "errors": []}
    changed = succeeded(await session.post("/labels/batch", {"labels": [label(lineage_hash, {"team": "vision"})]}))
    assert changed["updated"] == 1
    where = {"entity_type": "dag", "session_hash": lineage_hash}
    current = succeeded(await registry.client.get("/api/v1/labels/current", params=where))
    history = succeeded(await registry.client.get("/api/v1/labels/history", params=where))
    assert (current["version"], current["metadata"], current["canEdit"]) == (2, {"team": "vision"}, False)
    assert current["keyOrigins"] == {"team": "user"}
    assert [(row["version"], row["metadata"]) for row in history["labels"]] == [
        (1, {"team": "ml"}),
        (2, {"team": "vision"}),
    ]
    lineage = await registry.lineage(lineage_hash)
    assert (lineage["labels"], lineage["jobs"][0]["labels"]) == ({"team": "vision"}, {"a": {"b": 1}})


async def test_labels_before_finalize_are_refused(registry: Registry) -> None:
    session = await registry.open()
    await session.add_jobs(job(1))
    refused(await session.post("/labels/batch", {"labels": [label("a" * 64, {"a": 1})]}), 409)


UNTAKEN = {
    "a job that it does not have": ({"entity_type": "job", "job_uid": uid(2)}, 404, "no such job"),
    "an artifact that it does not have": (
        {"entity_type": "artifact", "artifact_hash": digest(2)},
        404,
        "no such artifact",
    ),
    "a job without its uid": ({"entity_type": "job"}, 422, "does not name"),
    "an artifact without its digest": ({"entity_type": "artifact"}, 422, "does not name"),
    "another lineage": ({"session_hash": "b" * 64}, 404, ""),
}


@pytest.mark.parametrize("by_sync", [False, True])
@pytest.mark.parametrize("name", UNTAKEN)
async def test_the_valid_labels_of_a_batch_are_written(registry: Registry, name: str, by_sync: bool) -> None:
    entity, status, words = UNTAKEN[name]
    session, lineage_hash = await published(registry)
    bad = {**label(lineage_hash, {"bad": 1}), **entity}

    async def send(*labels: Json) -> httpx2.Response:
        if by_sync:
            return await registry.client.post("/api/v1/labels/sync", json={"labels": labels})
        return await session.post("/labels/batch", {"labels": labels})

    reply = succeeded(await send(label(lineage_hash, {"good": 1}), bad))
    assert (reply["created"], reply["errors"][0]) == (1, None)
    assert words in reply["errors"][1]
    assert (await registry.lineage(lineage_hash))["labels"] == {"good": 1}
    alone = await send(bad)
    assert words in refused(alone, status)
    assert len(alone.json()["errors"]) == 1


async def test_a_batch_without_valid_labels_is_refused(registry: Registry) -> None:
    session, lineage_hash = await published(registry)
    batch = [label(lineage_hash, {"good": 1}), label(lineage_hash, {"bad": 1}, entity_type="user")]
    refused(await session.post("/labels/batch", {"labels": batch}), 422)
    assert (await registry.lineage(lineage_hash))["labels"] == {}


async def test_digests_that_only_links_name_are_artifacts(registry: Registry) -> None:
    """roar-cli links files that it registers no artifact for, and labels them."""
    session = await registry.open()
    await session.add_jobs(job(1), job(2))
    await session.add_links(1, "outputs", {**link(7, "/work/z"), "size": 70}, link(8, "/work/8"))
    await session.add_links(2, "inputs", link(7, "/work/a"), {**link(8, "/work/9"), "size": 80})
    receipt = await session.finalize()
    assert receipt["staged_counts"]["artifacts"] == 2
    batch = [
        label(receipt["hash"], {"seen": number}, entity_type="artifact", artifact_hash=digest(number))
        for number in (7, 8)
    ]
    assert succeeded(await session.post("/labels/batch", {"labels": batch}))["created"] == 2
    shown = [succeeded(await registry.client.get(f"/api/v1/artifacts/{digest(number)}")) for number in (7, 8)]
    assert [(found["hash"], found["size"], found["path"]) for found in shown] == [
        (digest(7), 70, "/work/a"),
        (digest(8), 80, "/work/8"),
    ]
    assert [found["hashes"] for found in shown] == [[], []], "the algorithm is unknown"
    assert (await registry.lineage(receipt["hash"]))["artifacts_count"] == 2


@pytest.mark.parametrize("first", ["links", "artifacts"])
async def test_the_artifact_itself_takes_precedence_over_its_links(registry: Registry, first: str) -> None:
    session = await registry.open()
    await session.add_jobs(job(1))
    if first == "links":
        await session.add_links(1, "outputs", {**link(1), "size": 1})
    assert (await session.add_artifacts(artifact(1, size=10)))["created"] == 1
    await session.add_links(1, "outputs", {**link(1), "size": 1})
    assert (await session.add_artifacts(artifact(1, size=99)))["created"] == 0
    receipt = await session.finalize()
    found = succeeded(await registry.client.get(f"/api/v1/artifacts/{digest(1)}"))
    assert (found["size"], found["hashes"]) == (10, artifact(1)["hashes"])
    assert receipt["staged_counts"]["artifacts"] == 1


async def test_who_publishes_a_lineage_again_cannot_relabel_it(registry: Registry) -> None:
    session, lineage_hash = await published(registry)
    await session.post("/labels/batch", {"labels": [label(lineage_hash, {"team": "ml"})]})
    other, same_hash = await published(registry)
    assert same_hash == lineage_hash
    batch = [
        label(lineage_hash, {"team": "ml"}),
        label(lineage_hash, {"defaced": 1}),
        label(lineage_hash, {"defaced": 1}, entity_type="job", job_uid="one it never had"[:3]),
    ]
    assert succeeded(await other.post("/labels/batch", {"labels": batch})) == {
        "created": 0,
        "updated": 0,
        "noops": 1,
        "skipped": 2,
        "errors": [],
    }
    assert (await registry.lineage(lineage_hash))["labels"] == {"team": "ml"}


async def test_editing_needs_a_signed_in_user(registry: Registry) -> None:
    refused(await registry.client.post("/api/v1/labels/reconcile", json={"labels": []}), 401)


@pytest.mark.parametrize("view", ["current", "history"])
@pytest.mark.parametrize(
    ("where", "status"),
    [
        ({}, 422),
        ({"entity_type": "dag"}, 422),
        ({"entity_type": "job", "session_hash": "a" * 64}, 422),
        ({"entity_type": "cow", "session_hash": "a" * 64}, 422),
        ({"entity_type": "dag", "session_hash": "a" * 64}, 404),
        ({"entity_type": "job", "session_hash": "a" * 64, "job_uid": "b"}, 404),
    ],
)
async def test_reading_labels_that_are_not_there(
    registry: Registry, view: str, where: dict[str, str], status: int
) -> None:
    detail = refused(await registry.client.get(f"/api/v1/labels/{view}", params=where), status)
    assert detail != "Endpoint not found"


@dataclass
class Owned:
    """A lineage of Alice's, with a label on its job."""

    registry: Registry
    alice: Person
    lineage_hash: str

    def job_edit(self, **changes: object) -> Json:
        return {"entity_type": "job", "job_uid": uid(1), **changes}

    async def edit(self, *edits: Json, auth: httpx2.Auth | None = None, dry_run: bool = False) -> httpx2.Response:
        body = {"session_hash": self.lineage_hash, "dry_run": dry_run, "labels": edits}
        return await self.registry.client.post("/api/v1/labels/reconcile", json=body, auth=auth or Bearer(self.alice))

    async def current(self, auth: httpx2.Auth | None = None) -> Json:
        where = {"entity_type": "job", "job_uid": uid(1), "session_hash": self.lineage_hash}
        shown = await self.registry.client.get("/api/v1/labels/current", params=where, auth=auth or Bearer(self.alice))
        return succeeded(shown)


@pytest.fixture
async def owned(registry: Registry) -> Owned:
    alice = registry.person("alice")
    session = await registry.open(auth=Bearer(alice))
    await session.add_jobs(job(1))
    lineage_hash = (await session.finalize())["hash"]
    first = label(lineage_hash, {"a": {"b": 1, "c": 2}}, entity_type="job", job_uid=uid(1))
    first["key_origins"] = {"a.b": "system", "a.c": "system"}
    succeeded(await session.post("/labels/batch", {"labels": [first]}))
    return Owned(registry, alice, lineage_hash)


async def test_an_edit_patches_and_deletes_and_the_rest_stays(owned: Owned) -> None:
    reply = succeeded(await owned.edit(owned.job_edit(metadata={"a": {"c": 3}, "new": True}, deleted_keys=["a.b"])))
    current = await owned.current()
    assert (current["version"], current["metadata"], current["canEdit"]) == (2, {"a": {"c": 3}, "new": True}, True)
    assert current["keyOrigins"] == {"a.c": "user", "new": "user"}
    assert (reply["processed"], reply["updated"], reply["deletedKeys"]) == (1, 1, 1)
    (result,) = reply["results"]
    assert result.items() >= {"entityType": "job", "jobUid": uid(1), "version": 2, "deletedKeys": ["a.b"]}.items()


async def test_deleting_the_last_key_of_an_object_deletes_the_object(owned: Owned) -> None:
    await owned.edit(owned.job_edit(deleted_keys=["a.b", "a.c", "never.there"]))
    assert (await owned.current())["metadata"] == {}


async def test_repeating_an_edit_changes_nothing(owned: Owned) -> None:
    edit = owned.job_edit(metadata={"a": {"b": 5}})
    await owned.edit(edit)
    assert succeeded(await owned.edit(edit))["noops"] == 1
    assert (await owned.current())["version"] == 2


async def test_a_dry_run_reports_and_changes_nothing(owned: Owned) -> None:
    assert succeeded(await owned.edit(owned.job_edit(metadata={"x": 1}), dry_run=True))["updated"] == 1
    assert (await owned.current())["version"] == 1


async def test_an_edit_of_an_older_version_is_a_conflict_and_nothing_of_the_request_is_done(owned: Owned) -> None:
    good = {"entity_type": "dag", "metadata": {"x": 1}, "base_version": 0}
    refused(await owned.edit(good, owned.job_edit(metadata={"x": 1}, base_version=0)), 409)
    assert (await owned.registry.lineage(owned.lineage_hash))["labels"] == {}
    succeeded(await owned.edit(good, owned.job_edit(metadata={"x": 1}, base_version=1)))


async def test_others_read_and_do_not_edit(owned: Owned) -> None:
    bob = Bearer(owned.registry.person("bob"))
    refused(await owned.edit(owned.job_edit(metadata={"x": 1}), auth=bob), 403)
    assert (await owned.current(bob))["canEdit"] is False


@pytest.mark.parametrize(
    ("changes", "status"),
    [({"job_uid": uid(9)}, 404), ({"job_uid": None}, 422), ({"entity_type": "user"}, 422), ({"metadata": 1}, 422)],
)
async def test_an_edit_of_nothing_known_is_refused(owned: Owned, changes: Json, status: int) -> None:
    refused(await owned.edit(owned.job_edit(**changes)), status)


async def test_a_patch_of_the_current_labels_returns_them(owned: Owned) -> None:
    where = {"session_hash": owned.lineage_hash, **owned.job_edit()}

    async def patch(auth: httpx2.Auth, **edit: object) -> httpx2.Response:
        return await owned.registry.client.patch("/api/v1/labels/current", json={**where, **edit}, auth=auth)

    alice = Bearer(owned.alice)
    changed = succeeded(await patch(alice, metadata={"a": {"c": 3}}, deleted_keys=["a.b"], base_version=1))
    assert changed == await owned.current()
    assert (changed["version"], changed["metadata"], changed["canEdit"]) == (2, {"a": {"c": 3}}, True)
    assert succeeded(await patch(alice, metadata={"a": {"c": 3}})) == changed, "nothing was left to do"
    refused(await patch(alice, metadata={"x": 1}, base_version=1), 409)
    refused(await patch(alice, metadata={"x": 1}, job_uid=uid(9)), 404)
    refused(await patch(Bearer(owned.registry.person("bob")), metadata={"x": 1}), 403)
    assert await owned.current() == changed


async def test_the_labels_of_an_artifact_are_found_by_the_beginning_of_its_digest(registry: Registry) -> None:
    alice = Bearer(registry.person("alice"))
    name = digest(0xAB12CD34 << 224)
    own = {"owner_resolution": "current_user", "owner_type": "user", "visibility": "private"}
    session = await registry.open(auth=alice)
    await session.add_jobs(job(1))
    await session.add_artifacts(artifact(0xAB12CD34 << 224))
    lineage_hash = (await session.finalize(scope_request=own))["hash"]
    written = label(lineage_hash, {"a": 1}, entity_type="artifact", artifact_hash=name)
    succeeded(await session.post("/labels/batch", {"labels": [written]}))
    for view in ("current", "history"):
        for session_hash in ({}, {"session_hash": lineage_hash}):
            where = {"entity_type": "artifact", "artifact_hash": name[:8], **session_hash}
            shown = await registry.client.get(f"/api/v1/labels/{view}", params=where, auth=alice)
            assert name in str(succeeded(shown))
            refused(await registry.client.get(f"/api/v1/labels/{view}", params=where), 404)
