"""Labels of finalized lineages: who may write them, and what readers get."""

import pytest

from tests.registry.harness import Json, Registry, Session, artifact, digest, job, refused, succeeded, uid

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
