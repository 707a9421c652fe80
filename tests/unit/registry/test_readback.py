"""Reading a lineage back: complete, in bounded pages, and only for those who may read it."""

import random
from typing import Any

import pytest

from roar_publisher.glaas.protocol import ANONYMOUS_IDENTITY
from roar_publisher.lineage.canonical import LineageHasher, canonical_job, sort_key
from roar_publisher.registry.lineages import readback
from tests.support.registry.harness import GIT, Json, Registry, job, link, refused, succeeded, uid
from tests.support.registry.people import Bearer

pytestmark = pytest.mark.anyio


async def read_pages(registry: Registry, lineage_hash: str) -> list[Json]:
    """Every page of a lineage."""
    pages, after = [], ""
    while True:
        query = {"after": after} if after else {}
        reply = await registry.client.get(f"/api/v1/sessions/{lineage_hash}/readback", params=query)
        pages.append(succeeded(reply))
        after = pages[-1]["next"]
        if after is None:
            return pages


def hash_of(pages: list[Json]) -> str:
    """The hash of what is served, by the rules of protocol.md §6."""
    jobs: dict[str, dict[str, Any]] = {}
    for entry in (entry for page in pages for entry in page["jobs"]):
        known = jobs.setdefault(entry["job_uid"], {**entry, "inputs": [], "outputs": []})
        for kind in ("inputs", "outputs"):
            known[kind] += [(each["hash"], each["path"]) for each in entry[kind]]
    texts = []
    for each in jobs.values():
        fields = {name: value for name, value in each.items() if name != "job_uid"}
        texts.append(sort_key(each["step_number"], canonical_job(**fields)))
    hasher = LineageHasher(GIT["git_repo"], GIT["git_commit"], GIT["git_branch"], [pages[0]["creator_identity"]])
    for key in sorted(texts):
        hasher.add(key[2])
    return hasher.digests()[pages[0]["creator_identity"]]


@pytest.mark.parametrize("seed", range(6))
async def test_the_hash_follows_from_what_is_served(
    registry: Registry, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    rng = random.Random(seed)
    monkeypatch.setattr(readback, "REPLY_BYTES", rng.choice([300, 1500, 20_000, 1024 * 1024]))
    session = await registry.open()
    numbers = range(1, 40)
    await session.add_jobs(
        *(
            job(
                number,
                step_number=rng.choice([None, 1, 2, number]),
                command=f"python é{rng.randrange(4)}.py",
                parent_job_uid=uid(rng.choice(numbers)),
                metadata=rng.choice([None, "{}", '{"rate": 0.1, "whole": 2.0}', "no JSON"]),
            )
            for number in numbers
        )
    )
    for number in numbers:
        for kind in ("inputs", "outputs"):
            if rng.random() < 0.6:
                await session.add_links(number, kind, *(link(n) for n in rng.sample(range(200), rng.randrange(1, 30))))
    lineage_hash = (await session.finalize())["hash"]
    pages = await read_pages(registry, lineage_hash)
    assert hash_of(pages) == lineage_hash
    assert {page["hash"] for page in pages} == {lineage_hash}
    first = pages[0]
    assert (first["finalized"], first["creator_identity"]) == (True, ANONYMOUS_IDENTITY)


async def test_a_page_is_bounded_and_a_job_continues_on_the_next(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(readback, "REPLY_BYTES", 2000)
    session = await registry.open()
    await session.add_jobs(job(1), job(2))
    await session.add_links(1, "inputs", *(link(n) for n in range(100)))
    await session.add_links(1, "outputs", *(link(n) for n in range(100, 150)))
    lineage_hash = (await session.finalize())["hash"]
    pages = await read_pages(registry, lineage_hash)
    assert len(pages) > 5
    assert max(len(entry["inputs"] + entry["outputs"]) for page in pages for entry in page["jobs"]) < 25
    assert hash_of(pages) == lineage_hash


async def test_only_readers_of_a_lineage_read_it_back(registry: Registry) -> None:
    alice, bob = registry.person("alice"), registry.person("bob")
    session = await registry.open(auth=Bearer(alice))
    await session.add_jobs(job(1))
    scope = {"owner_resolution": "current_user", "owner_type": "user", "visibility": "private"}
    path = f"/api/v1/sessions/{(await session.finalize(scope_request=scope))['hash']}/readback"
    assert succeeded(await registry.client.get(path, auth=Bearer(alice)))["jobs"]
    refused(await registry.client.get(path, auth=Bearer(bob)), 404)
    refused(await registry.client.get(path), 404)
    refused(await registry.client.get(f"/api/v1/sessions/{'0' * 64}/readback"), 404)


@pytest.mark.parametrize("after", ["x", "1", "1:2", "1:2:labels:", f"{2**70}:1:inputs:", "1:1e3:inputs:", "::inputs:"])
async def test_a_place_that_no_page_names_is_422(registry: Registry, after: str) -> None:
    session = await registry.open()
    await session.add_jobs(job(1))
    lineage_hash = (await session.finalize())["hash"]
    path = f"/api/v1/sessions/{lineage_hash}/readback"
    refused(await registry.client.get(path, params={"after": after}), 422)


async def test_labels_are_read_back_by_readers_alone(registry: Registry) -> None:
    alice = registry.person("alice")
    session = await registry.open(auth=Bearer(alice))
    await session.add_jobs(job(1))
    scope = {"owner_resolution": "current_user", "owner_type": "user", "visibility": "private"}
    lineage_hash = (await session.finalize(scope_request=scope))["hash"]
    path = f"/api/v1/sessions/{lineage_hash}/readback/labels"
    empty = {"hash": lineage_hash, "labels": [], "next": None}
    assert succeeded(await registry.client.get(path, auth=Bearer(alice))) == empty
    refused(await registry.client.get(path), 404)
    for place in ("x", "jobs:1", "job"):
        refused(await registry.client.get(path, params={"after": place}, auth=Bearer(alice)), 422)
