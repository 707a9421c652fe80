"""The same lineage comes again with other job uids: labels by either find the jobs (protocol.md §6)."""

from collections.abc import Sequence

import httpx2
import pytest

from roar_publisher.registry.lineages import pairing, slices
from tests.support.registry.harness import (
    NO_AUTH,
    Json,
    Registry,
    Session,
    digest,
    job,
    refused,
    succeeded,
    uid,
    uids_of,
)
from tests.support.registry.people import Bearer, Ssh

pytestmark = pytest.mark.anyio

OWN: Json = {"owner_resolution": "current_user", "owner_type": "user", "visibility": "private"}
OTHER = 1000
"""Added to a number, gives the uid that the second client has for the same job."""


async def staged(registry: Registry, numbers: Sequence[int], shift: int = 0, auth: httpx2.Auth = NO_AUTH) -> Session:
    session = await registry.open(auth=auth)
    jobs = [job(number, job_uid=uid(number + shift)) for number in numbers]
    for first in range(0, len(jobs), 100):
        await session.add_jobs(*jobs[first : first + 100])
    return session


def label(lineage_hash: str, number: int, metadata: Json) -> Json:
    return {"entity_type": "job", "session_hash": lineage_hash, "job_uid": uid(number), "metadata": metadata}


async def test_labels_by_either_uid_find_the_job(registry: Registry) -> None:
    alice = registry.person("alice")
    first = await staged(registry, [1, 2], auth=Bearer(alice))
    lineage_hash = (await first.finalize(scope_request=OWN))["hash"]
    second = await staged(registry, [2, 1], OTHER, auth=Bearer(alice))
    receipt = await second.finalize(scope_request=OWN)
    assert (receipt["hash"], receipt["created"]) == (lineage_hash, False)

    batch = {"labels": [label(lineage_hash, 2 + OTHER, {"a": 1})]}
    assert succeeded(await second.post("/labels/batch", batch))["created"] == 1
    sync = {"labels": [label(lineage_hash, 2, {"a": 1})]}
    assert succeeded(await registry.client.post("/api/v1/labels/sync", json=sync, auth=Ssh(alice)))["noops"] == 1
    edit = {"session_hash": lineage_hash, "labels": [label(lineage_hash, 1 + OTHER, {"b": 2})]}
    succeeded(await registry.client.post("/api/v1/labels/reconcile", json=edit, auth=Bearer(alice)))

    lineage = await registry.lineage(lineage_hash, auth=Bearer(alice))
    assert uids_of(lineage) == [uid(1), uid(2)]
    assert [found["labels"] for found in lineage["jobs"]] == [{"b": 2}, {"a": 1}]
    for number in (2, 2 + OTHER):
        where = {"entity_type": "job", "session_hash": lineage_hash, "job_uid": uid(number)}
        current = succeeded(await registry.client.get("/api/v1/labels/current", params=where, auth=Bearer(alice)))
        assert (current["metadata"], current["jobUid"]) == ({"a": 1}, uid(2))


async def test_jobs_of_one_step_are_paired_by_content(registry: Registry) -> None:
    """The uids are in another order than the jobs, and two jobs of the step are equal."""
    commands = ["echo b", "echo a", "echo a", "echo c"]
    session = await registry.open()
    await session.add_jobs(*(job(n, step_number=1, command=c, timestamp=0) for n, c in enumerate(commands)))
    lineage_hash = (await session.finalize())["hash"]
    again = await registry.open()
    swapped = [job(OTHER - n, step_number=1, command=c, timestamp=0) for n, c in enumerate(commands)]
    await again.add_jobs(*swapped)
    assert (await again.finalize())["hash"] == lineage_hash
    for number, command in enumerate(commands):
        batch = {"labels": [label(lineage_hash, OTHER - number, {"command": command})]}
        reply = await registry.client.post("/api/v1/labels/sync", json=batch)
        assert reply.is_success or command == "echo a", reply.text
    lineage = await registry.lineage(lineage_hash)
    assert all(found["labels"] in ({"command": found["command"]}, {}) for found in lineage["jobs"])
    assert sum(found["labels"] != {} for found in lineage["jobs"]) >= 3


async def test_uids_of_published_jobs_keep_their_meaning(registry: Registry) -> None:
    """A stranger publishes the lineage again, with two uids exchanged and a new one."""
    first = await staged(registry, [1, 2, 3])
    lineage_hash = (await first.finalize())["hash"]
    stranger = await registry.open()
    await stranger.add_jobs(*(job(number, job_uid=uid(other)) for number, other in ((1, 2), (2, 1), (3, 3 + OTHER))))
    assert (await stranger.finalize())["hash"] == lineage_hash
    pairs = registry.store.read(lambda db: db.execute("SELECT uid, job_uid FROM job_aliases").fetchall())
    assert [tuple(pair) for pair in pairs] == [(uid(3 + OTHER), uid(3))]

    await _check_labels_of_job_1(registry, first, lineage_hash)


async def test_aliases_of_an_earlier_release_leave_a_uid_its_own_job(registry: Registry) -> None:
    session = await staged(registry, [1, 2])
    lineage_hash = (await session.finalize())["hash"]
    exchanged = "INSERT INTO job_aliases (graph_id, uid, job_uid) SELECT graph_id, ?, ? FROM lineages"
    registry.store.write(lambda db: db.execute(exchanged, (uid(1), uid(2))))

    await _check_labels_of_job_1(registry, session, lineage_hash)


async def _check_labels_of_job_1(registry: Registry, publisher: Session, lineage_hash: str) -> None:
    """Check that a label by the uid of job 1 is that of job 1, which its page shows."""
    succeeded(await publisher.post("/labels/batch", {"labels": [label(lineage_hash, 1, {"verdict": "good"})]}))
    lineage = await registry.lineage(lineage_hash)
    assert [found["labels"] for found in lineage["jobs"][:2]] == [{"verdict": "good"}, {}]
    page = await registry.client.get(f"/dag/{lineage_hash}/jobs/{uid(1)}")
    assert "python step1.py" in page.text


async def test_pages_know_either_uid(registry: Registry) -> None:
    lineage_hash = (await (await staged(registry, [1, 2])).finalize())["hash"]
    await (await staged(registry, [1, 2], OTHER)).finalize()
    for address in (f"/dag/{lineage_hash}/jobs/{uid(1 + OTHER)}", f"/dag/{lineage_hash}?node={uid(1 + OTHER)}"):
        page = await registry.client.get(address)
        assert page.status_code == 200
        assert "python step1.py" in page.text
    assert 'aria-current="true"' in page.text


async def test_slices_pair_every_job(registry: Registry) -> None:
    numbers = range(1, 2 * slices.SLICE_JOBS + 2)
    lineage_hash = (await (await staged(registry, numbers)).finalize())["hash"]
    await (await staged(registry, numbers, OTHER)).finalize()
    pairs = registry.store.read(lambda db: db.execute("SELECT uid, job_uid FROM job_aliases").fetchall())
    assert {tuple(pair) for pair in pairs} == {(uid(number + OTHER), uid(number)) for number in numbers}
    assert (await registry.lineage(lineage_hash))["jobs_count"] == len(numbers)


async def test_known_jobs_are_named_by_either_uid(registry: Registry) -> None:
    alice = registry.person("alice")
    lineage_hash = (await (await staged(registry, [1, 2], auth=Bearer(alice))).finalize())["hash"]
    await (await staged(registry, [1, 2], OTHER, auth=Bearer(alice))).finalize()
    third = await registry.open(auth=Bearer(alice))
    reply = await third.add_jobs(*(job(number, job_uid=uid(number + OTHER)) for number in (1, 2)))
    assert (reply["already_registered_session_hashes"], reply["created_count"]) == ([lineage_hash], 0)


async def test_publishing_a_lineage_repeatedly_does_not_fill_the_disk(registry: Registry) -> None:
    for round_number in range(3 * pairing.MAX_ALIASES):
        lineage_hash = (await (await staged(registry, [1, 2], 10 * round_number)).finalize())["hash"]
    (kept,) = registry.store.read(lambda db: db.execute("SELECT count(*) FROM job_aliases").fetchone())
    assert kept == 2 * pairing.MAX_ALIASES
    unknown = {"labels": [label(lineage_hash, 1 + 10 * round_number, {"a": 1})]}
    refused(await registry.client.post("/api/v1/labels/sync", json=unknown), 404)


async def test_another_lineage_lends_no_uids(registry: Registry) -> None:
    alice, bob = registry.person("alice"), registry.person("bob")
    hers = (await (await staged(registry, [1], auth=Bearer(alice))).finalize())["hash"]
    his = (await (await staged(registry, [1], OTHER, auth=Bearer(bob))).finalize())["hash"]
    assert hers != his
    batch = {"labels": [label(hers, 1 + OTHER, {"a": 1})]}
    refused(await registry.client.post("/api/v1/labels/sync", json=batch, auth=Bearer(alice)), 404)


async def test_a_digest_is_not_an_alias(registry: Registry) -> None:
    """Aliases are of jobs: an artifact keeps its own name."""
    session = await staged(registry, [1])
    lineage_hash = (await session.finalize())["hash"]
    bad = {"entity_type": "artifact", "session_hash": lineage_hash, "artifact_hash": digest(1), "metadata": {}}
    refused(await session.post("/labels/batch", {"labels": [bad]}), 404)
