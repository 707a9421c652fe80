"""Finalize: the server's hash, the counts, and publication in one moment."""

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

import pytest

from roar_publisher.glaas.features import RegistrationSessionFeatures
from roar_publisher.lineage.canonical import LineageHasher, canonical_job
from roar_publisher.registry.data import Store
from roar_publisher.registry.lineages import finalize, slices
from roar_publisher.registry.lineages.sweeping import sweep_slice
from roar_publisher.registry.store import canonical_texts
from tests.support.registry.harness import (
    GIT,
    RECORDINGS,
    Json,
    Registry,
    Session,
    digest,
    job,
    link,
    make_registry,
    recorded_body,
    recording,
    recording_name,
    refused,
    run_inline,
    succeeded,
    uid,
    uids_of,
)

pytestmark = pytest.mark.anyio
T = TypeVar("T")


@pytest.mark.parametrize("path", RECORDINGS, ids=recording_name)
async def test_recorded_requests_reach_the_recorded_hash(registry: Registry, path: Path) -> None:
    recorded = recording(path)
    session: Session | None = None
    receipt: Json = {}
    for request in recorded["requests"]:
        body = recorded_body(request["body"])
        if request["path"].endswith("/registration-sessions"):
            session = Session(registry.client, succeeded(await registry.client.post(request["path"], json=body)))
        elif session is None:
            succeeded(await registry.client.get(request["path"]))
        else:
            relative = request["path"].partition("{rsid}")[2]
            reply = succeeded(await session.post(relative, body))
            receipt = reply if relative == "/finalize" else receipt
    staged = receipt["staged_counts"]
    assert receipt["hash"] == recorded["finalized_hash"]
    assert {**staged, "n_artifacts": staged["artifacts"]} == {**recorded["staged"], "artifacts": staged["artifacts"]}
    assert (await registry.lineage(receipt["hash"]))["jobs_count"] == recorded["staged"]["jobs"]


def test_there_are_recordings() -> None:
    assert len(RECORDINGS) >= 6


async def test_nothing_is_visible_before_finalize_and_all_after(registry: Registry) -> None:
    expected = expected_hash(3)
    session = await staged(registry, 3)
    assert not await registry.is_published(expected)
    assert expected not in (await registry.client.get("/")).text
    receipt = await session.finalize()
    assert receipt["hash"] == expected
    lineage = await registry.lineage(expected)
    assert uids_of(lineage) == [uid(1), uid(2), uid(3)]
    assert lineage["git_repo"] == GIT["git_repo"]
    assert receipt["url"] == lineage["url"] == f"http://registry/dag/{expected}"
    assert expected in (await registry.client.get("/")).text


async def test_a_closed_session_returns_its_receipt_again_and_refuses_writes(registry: Registry) -> None:
    session = await staged(registry, 2)
    receipt = await session.finalize()
    assert receipt["status"] == "closed"
    assert await session.finalize(expected={"jobs": 99}) == receipt
    for path, body in (("/jobs/batch", {"jobs": [job(9)]}), (f"/jobs/{uid(1)}/inputs", {"artifacts": [link(9)]})):
        response = await session.post(path, body)
        refused(response, 409)
        assert response.json()["status"] == "closed"
        assert response.json()["receipt"]["hash"] == receipt["hash"]
    assert (await registry.lineage(receipt["hash"]))["jobs_count"] == 2


@pytest.mark.parametrize(
    "expected", [{"jobs": 3}, {"inputs": 1}, {"outputs": 9}, {"jobs": 2, "inputs": 2, "outputs": 1}]
)
async def test_counts_that_differ_publish_nothing(registry: Registry, expected: dict[str, int]) -> None:
    session = await staged(registry, 2)
    response = await session.post("/finalize", {**GIT, "expected": expected})
    assert "differ" in refused(response, 400)
    assert response.json()["staged_counts"] == {"jobs": 2, "inputs": 2, "outputs": 2}
    assert not await registry.is_published(expected_hash(2))
    await session.add_jobs(job(3))
    await session.finalize(expected={"jobs": 3})


async def test_a_scope_with_a_session_token_publishes_nothing(registry: Registry) -> None:
    session = await staged(registry, 1)
    scope = {"owner_id": "o", "owner_type": "user", "visibility": "private"}
    refused(await session.post("/finalize", {**GIT, "scope_request": scope}), 400)
    assert not await registry.is_published(expected_hash(1))


async def test_an_empty_session_publishes_nothing(registry: Registry) -> None:
    session = await registry.open()
    refused(await session.post("/finalize", GIT), 400)


async def test_the_same_lineage_from_two_sessions_is_published_once(registry: Registry) -> None:
    first, second = await staged(registry, 3), await staged(registry, 3)
    one, two = await first.finalize(), await second.finalize()
    assert one["hash"] == two["hash"]
    assert (one["created"], two["created"]) == (True, False)
    assert await second.finalize() == two
    assert (await registry.lineage(one["hash"]))["jobs_count"] == 3
    assert (await registry.client.get("/")).text.count(f'href="/dag/{one["hash"]}"') == 1


async def test_the_discarded_duplicate_is_swept_and_the_published_graph_stays(registry: Registry, store: Store) -> None:
    for _ in range(2):
        receipt = await (await staged(registry, 3)).finalize()
    while store.write(sweep_slice, registry.clock.now):
        pass
    assert store.read(lambda connection: connection.execute("SELECT count(*) FROM jobs").fetchone()[0]) == 3
    assert (await registry.lineage(receipt["hash"]))["jobs_count"] == 3


async def test_jobs_of_one_step_are_hashed_by_their_canonical_text(registry: Registry) -> None:
    hashes = set()
    for order in ([1, 2, 3], [3, 1, 2]):
        session = await registry.open()
        for number in order:
            await session.add_jobs(job(number, step_number=7, command=f"echo {9 - number} \u00e9 \U0001f600"))
        hashes.add((await session.finalize())["hash"])
    assert len(hashes) == 1


@pytest.mark.parametrize("jobs", [1, slices.SLICE_JOBS - 1, slices.SLICE_JOBS, 2 * slices.SLICE_JOBS + 1])
async def test_slices_neither_lose_nor_repeat_a_job(registry: Registry, jobs: int) -> None:
    session = await staged(registry, jobs)
    receipt = await session.finalize(expected={"jobs": jobs, "inputs": jobs, "outputs": jobs})
    assert receipt["hash"] == expected_hash(jobs)


async def test_a_finalize_makes_way_for_others_after_a_bounded_number_of_jobs(
    anyio_backend: str, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs = 3 * slices.SLICE_JOBS
    made: list[int] = []

    def count(**job: Any) -> str:
        made[-1] += 1
        return canonical_job(**job)

    async def run(call: Callable[[], T], /) -> T:
        made.append(0)
        return call()

    monkeypatch.setattr(canonical_texts, "canonical_job", count)
    registry = make_registry(store, run=run)
    async with registry.client:
        await (await staged(registry, jobs)).finalize()
    assert sum(made) == jobs
    assert max(made) <= slices.SLICE_JOBS


async def test_readers_during_finalize_see_all_or_nothing(anyio_backend: str, store: Store) -> None:
    jobs = 3 * slices.SLICE_JOBS
    seen: list[int] = []
    looking = False

    async def run(call: Callable[[], T], /) -> T:
        nonlocal looking
        if watching and not looking:
            looking = True
            response = await registry.client.get(f"/api/v1/sessions/{expected_hash(jobs)}?limit=1000")
            seen.append(len(response.json()["jobs"]) if response.is_success else 0)
            looking = False
        return call()

    watching = False
    registry = make_registry(store, run=run)
    async with registry.client:
        session = await staged(registry, jobs)
        watching = True
        receipt = await session.finalize()
        assert (await registry.lineage(receipt["hash"]))["jobs_count"] == jobs
    assert set(seen) == {0, jobs}
    assert len(seen) > 4


async def test_data_staged_while_the_hash_is_computed_is_part_of_it(anyio_backend: str, store: Store) -> None:
    interrupt: list[Callable[[], Awaitable[object]]] = []

    async def run(call: Callable[[], T], /) -> T:
        result = call()
        if isinstance(result, finalize.Hashing) and interrupt:
            await interrupt.pop()()
        return result

    registry = make_registry(store, run=run)
    async with registry.client:
        session = await staged(registry, 2)

        async def stage_late() -> object:
            await session.add_jobs(job(3))
            await session.add_links(3, "inputs", link(2))
            return await session.add_links(3, "outputs", link(3))

        interrupt.append(stage_late)
        receipt = await session.finalize()
    assert receipt["hash"] == expected_hash(3)


async def test_a_session_that_never_rests_is_not_published(anyio_backend: str, store: Store) -> None:
    number = 2

    async def run(call: Callable[[], T], /) -> T:
        nonlocal number
        result = call()
        if isinstance(result, finalize.Hashing):
            number += 1
            await session.add_jobs(job(number))
        return result

    registry = make_registry(store, run=run)
    async with registry.client:
        session = await staged(registry, 2)
        refused(await session.post("/finalize", GIT), 409)
        assert "Nothing is published yet" in (await registry.client.get("/")).text


async def test_two_finalizes_of_one_session_publish_once(anyio_backend: str, store: Store) -> None:
    inner: list[Json] = []
    nested = False

    async def run(call: Callable[[], T], /) -> T:
        nonlocal nested
        result = call()
        if nested:  # after the first check, which finds the session open
            nested = False
            inner.append(await session.finalize())
        return result

    registry = make_registry(store, run=run)
    async with registry.client:
        session = await staged(registry, 2)
        nested = True
        outer = await session.finalize()
    assert inner == [outer]
    assert outer["created"] is True


async def test_counts_are_ignored_where_the_feature_is_off(anyio_backend: str, store: Store) -> None:
    features = RegistrationSessionFeatures(anonymous_public=True, finalize_server_authoritative_hash=True)
    registry = make_registry(store, features=features, run=run_inline)
    async with registry.client:
        session = await staged(registry, 1)
        assert (await session.finalize(expected={"jobs": 5}))["created"] is True


async def staged(registry: Registry, jobs: int) -> Session:
    """A session with a chain of jobs: job n reads the artifact n - 1 and writes the artifact n."""
    session = await registry.open()
    for first in range(1, jobs + 1, 200):
        await session.add_jobs(*(job(number) for number in range(first, min(first + 200, jobs + 1))))
    for number in range(1, jobs + 1):
        await session.add_links(number, "inputs", link(number - 1))
        await session.add_links(number, "outputs", link(number))
    return session


def expected_hash(jobs: int) -> str:
    """The hash of what `staged` stages, by the client's code."""
    hasher = LineageHasher(GIT["git_repo"], GIT["git_commit"], GIT["git_branch"], ["anonymous"])
    for number in range(1, jobs + 1):
        hasher.add(
            canonical_job(
                command=job(number)["command"],
                job_type="run",
                step_number=number,
                parent_step_number=None,
                inputs=[(digest(number - 1), link(number - 1)["path"])],
                outputs=[(digest(number), link(number)["path"])],
                metadata=job(number)["metadata"],
            )
        )
    return hasher.digests()["anonymous"]
