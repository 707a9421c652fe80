"""Labels of finalized lineages: who may write them, and what readers get."""

from dataclasses import dataclass

import httpx2
import pytest

from tests.registry.harness import Json, Registry, Session, artifact, digest, job, refused, succeeded, uid
from tests.registry.people import Bearer, Person

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
    assert first == {"created": 3, "updated": 0, "noops": 0, "skipped": 0}
    assert again == {"created": 0, "updated": 0, "noops": 3, "skipped": 0}
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


@pytest.mark.parametrize(
    ("entity", "status"),
    [
        ({"entity_type": "job", "job_uid": uid(2)}, 404),
        ({"entity_type": "artifact", "artifact_hash": digest(2)}, 404),
        ({"entity_type": "job"}, 422),
        ({"entity_type": "artifact"}, 422),
        ({"entity_type": "user"}, 422),
        ({"session_hash": "b" * 64}, 404),
    ],
)
async def test_labels_of_unknown_things_are_refused_whole(
    registry: Registry, entity: dict[str, str], status: int
) -> None:
    session, lineage_hash = await published(registry)
    batch = [label(lineage_hash, {"good": 1}), {**label(lineage_hash, {"bad": 1}), **entity}]
    refused(await session.post("/labels/batch", {"labels": batch}), status)
    assert (await registry.lineage(lineage_hash))["labels"] == {}


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
    }
    assert (await registry.lineage(lineage_hash))["labels"] == {"team": "ml"}


async def test_editing_needs_somebody_who_is_signed_in(registry: Registry) -> None:
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


async def test_a_dry_run_tells_and_does_nothing(owned: Owned) -> None:
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
