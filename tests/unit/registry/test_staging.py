"""Staging: idempotent, private, and only for jobs that are there."""

import json

import pytest

from roar_publisher.registry.data import Store
from tests.support.registry.harness import Json, Registry, artifact, digest, job, link, refused, uid, uids_of

pytestmark = pytest.mark.anyio


async def test_a_job_is_counted_once_however_often_it_is_sent(registry: Registry) -> None:
    session = await registry.open()
    first = await session.add_jobs(job(1), job(2))
    second = await session.add_jobs(job(2), job(3))
    assert (first["created_count"], first["existing_count"]) == (2, 0)
    assert (second["created_count"], second["existing_count"]) == (1, 1)
    assert second["job_ids"][0] == first["job_ids"][1]
    assert second["errors"] == []
    assert second["already_registered_session_hashes"] == []
    assert (await session.finalize())["staged_counts"]["jobs"] == 3


async def test_a_job_twice_in_one_batch_is_one_job(registry: Registry) -> None:
    session = await registry.open()
    reply = await session.add_jobs(job(1), job(1))
    assert (reply["created_count"], reply["existing_count"]) == (1, 1)


async def test_an_artifact_is_counted_once_by_its_best_digest(registry: Registry) -> None:
    session = await registry.open()
    both = {
        "hashes": [{"algorithm": "sha256", "digest": "s"}, {"algorithm": "blake3", "digest": digest(1)}],
        "size": 1,
        "source_type": "https",
        "metadata": {"source_url": "https://example.org"},
    }
    assert await session.add_artifacts(both, artifact(2)) == {"created": 2, "updated": 0, "errors": 0}
    assert await session.add_artifacts(artifact(1), artifact(3)) == {"created": 1, "updated": 1, "errors": 0}
    await session.add_jobs(job(1))
    assert (await session.finalize())["staged_counts"]["artifacts"] == 3


async def test_of_two_paths_with_the_same_bytes_the_smallest_survives_in_any_order(registry: Registry) -> None:
    for paths in (["/a", "/b"], ["/b", "/a"]):
        session = await registry.open()
        await session.add_jobs(job(1))
        for path in paths:
            await session.add_links(1, "inputs", link(7, path))
        await session.add_links(1, "outputs", link(7, "/z"), link(7, "/y"), link(7, "/y\U0001f600"))
        receipt = await session.finalize(expected={"jobs": 1, "inputs": 1, "outputs": 1})
        (published,) = (await registry.lineage(receipt["hash"]))["jobs"]
        assert [entry["path"] for entry in published["inputs"]] == ["/a"]
        assert [entry["path"] for entry in published["outputs"]] == ["/y"]


async def test_links_are_answered_by_kind(registry: Registry) -> None:
    session = await registry.open()
    await session.add_jobs(job(1))
    assert await session.add_links(1, "inputs", link(1), link(2)) == {"job_uid": uid(1), "inputs_linked": 2}
    assert await session.add_links(1, "outputs", link(3)) == {"job_uid": uid(1), "outputs_linked": 1}


@pytest.mark.parametrize("kind", ["inputs", "outputs"])
async def test_links_to_a_job_that_is_not_staged_are_404(registry: Registry, kind: str) -> None:
    elsewhere = await registry.open()
    await elsewhere.add_jobs(job(1))
    session = await registry.open()
    refused(await session.post(f"/jobs/{uid(1)}/{kind}", {"artifacts": [link(1)]}), 404)


async def test_one_job_is_staged_like_a_batch_of_one(registry: Registry) -> None:
    session = await registry.open()
    first = (await session.post("/jobs", job(1))).json()
    assert (first["job_uid"], first["created"]) == (uid(1), True)
    assert (await session.post("/jobs", job(1))).json() == {**first, "created": False}
    assert (await session.add_jobs(job(1), job(2)))["existing_count"] == 1
    refused(await session.post("/jobs", {"jobs": [job(1)]}), 422)


async def test_a_refused_request_leaves_nothing_behind(registry: Registry) -> None:
    session = await registry.open()
    refused(await session.post("/jobs/batch", {"jobs": [job(1), job(2, step_number="two")]}), 422)
    assert (await session.add_jobs(job(1)))["created_count"] == 1


async def test_staged_sessions_do_not_see_each_other(registry: Registry) -> None:
    first, second = await registry.open(), await registry.open()
    await first.add_jobs(job(1), job(2))
    assert (await second.add_jobs(job(1)))["created_count"] == 1
    assert (await second.finalize())["staged_counts"]["jobs"] == 1


async def test_a_composite_is_staged_with_its_components(registry: Registry) -> None:
    session = await registry.open()
    composite = composite_of(5, artifact(1), artifact(2))
    created = await session.post("/artifacts/composites", composite)
    assert created.json() == {"hash": digest(5), "created": True}
    again = await session.post("/artifacts/composites", composite)
    assert again.json() == {"hash": digest(5), "created": False}
    await session.add_jobs(job(1))
    assert (await session.finalize())["staged_counts"]["artifacts"] == 1


async def test_a_composite_completes_the_plain_artifact_that_came_first(registry: Registry) -> None:
    session = await registry.open()
    await session.add_artifacts(artifact(5))
    assert (await session.post("/artifacts/composites", composite_of(5, artifact(1)))).json()["created"] is True


async def test_view_edges_are_kept_once(registry: Registry) -> None:
    session = await registry.open()
    await session.add_jobs(job(1))
    edge = {"relation": "consumes", "target_hash": digest(5), "selected_count": 1, "parent_total": 9, "bloom": "AA=="}
    for _ in range(2):
        reply = await session.post(f"/jobs/{uid(1)}/view-edges", {"view_edges": [edge]})
        assert reply.json() == {"view_edges_linked": 1}
    refused(await session.post(f"/jobs/{uid(2)}/view-edges", {"view_edges": [edge]}), 404)


async def test_jobs_may_precede_their_parents_and_lack_optional_fields(registry: Registry) -> None:
    session = await registry.open()
    await session.add_jobs(job(2, parent_job_uid=uid(1)), {"command": "make", "job_uid": "bare"})
    await session.add_jobs(job(1))
    published = await registry.lineage((await session.finalize())["hash"])
    assert uids_of(published) == ["bare", uid(1), uid(2)]
    assert published["jobs"][0]["step_number"] is None
    assert published["jobs"][2]["parent_job_uid"] == uid(1)


async def test_a_parents_step_is_part_of_the_hash(registry: Registry) -> None:
    hashes = set()
    for parent in (None, uid(1), "unknown"):
        session = await registry.open()
        await session.add_jobs(job(1), job(2, **({"parent_job_uid": parent} if parent else {})))
        hashes.add((await session.finalize())["hash"])
    assert len(hashes) == 2


async def test_unknown_fields_are_ignored_everywhere(registry: Registry) -> None:
    session = await registry.open()
    extra = {"surprise": {"deep": [1]}}
    await session.add_jobs(job(1, **extra))
    await session.add_artifacts({**artifact(1), **extra})
    await session.add_links(1, "inputs", {**link(1), **extra, "byte_ranges": [[0, 9]], "metadata": {"a": 1}})
    assert (await session.finalize(**extra))["created"] is True


async def test_sizes_of_artifacts_are_shown_with_links(registry: Registry) -> None:
    session = await registry.open()
    await session.add_jobs(job(1))
    await session.add_artifacts(artifact(1, size=123))
    await session.add_links(1, "inputs", link(1), link(2), {**link(3), "size": 5})
    (published,) = (await registry.lineage((await session.finalize())["hash"]))["jobs"]
    assert [entry["size"] for entry in published["inputs"]] == [123, None, 5]
    assert json.loads(json.dumps(published["inputs"][0])) == {**link(1), "size": 123}


def composite_of(number: int, *members: Json) -> Json:
    components = [
        {"relative_path": f"{index}.bin", "component_digest": member["hashes"][0]["digest"], "component_size": 3}
        for index, member in enumerate(members)
    ]
    return {
        **artifact(number),
        "hash": digest(number),
        "component_count_total": len(members),
        "components": components,
        "membership_index": {"total_components": len(members), "bloom_filter_base64": "AA=="},
    }


async def test_an_artifact_that_only_links_name_has_the_smallest_of_their_paths(
    registry: Registry, store: Store
) -> None:
    """They arrive one after the other, among links to an artifact that was sent."""
    session = await registry.open()
    await session.add_jobs(*(job(number) for number in range(1, 4)))
    await session.add_artifacts(artifact(1))
    for number, path in ((1, "/b"), (2, "/a"), (3, "/c")):
        await session.add_links(number, "inputs", link(1), link(2, path))
    rows = store.read(lambda db: db.execute("SELECT digest, path FROM artifacts ORDER BY digest").fetchall())
    assert [tuple(row) for row in rows] == [(digest(1), None), (digest(2), "/a")]
