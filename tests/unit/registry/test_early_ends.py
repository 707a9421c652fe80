"""Replies about a lineage that are refused, or end early: it is too large, or is not what it was at their start."""

import pytest

from roar_publisher.registry.data import Store
from roar_publisher.registry.http.refusals import Refusal
from roar_publisher.registry.lineages import replay, upstream
from roar_publisher.registry.lineages.reading import readable_lineage
from roar_publisher.registry.lineages.replay import LineageReplaced, replayed_jobs
from roar_publisher.registry.lineages.sweeping import sweep_slice
from roar_publisher.registry.store.access import Reader
from roar_publisher.registry.store.provenance import places_after
from tests.support.registry.harness import (
    Registry,
    digest,
    job,
    link,
    uid,
)
from tests.support.registry.legacy import Legacy, hash_beforehand, staged
from tests.support.registry.people import Bearer
from tests.support.registry.provenance import publish

pytestmark = pytest.mark.anyio


async def test_more_jobs_than_one_reply_holds_are_refused(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    lineage_hash = await publish(registry, *((job(number), [number - 1], [number]) for number in range(1, 6)))
    paths = (f"artifacts/{digest(5)}/dag", f"public/sessions/{lineage_hash}/reproduction")
    for most, status in ((5, 200), (4, 413)):
        monkeypatch.setattr(upstream, "MOST_JOBS", most)
        assert [(await registry.client.get(f"/api/v1/{path}")).status_code for path in paths] == [status, status]


async def test_a_reply_ends_early_if_the_lineage_is_gone_meanwhile(registry: Registry, store: Store) -> None:
    await publish(registry, (job(1), [], [1]), (job(2), [1], [2]))
    store.write(lambda connection: connection.execute("DELETE FROM job_sizes WHERE bytes > 0").rowcount)
    with pytest.raises(LineageReplaced):
        await registry.client.get(f"/api/v1/artifacts/{digest(2)}/dag")


async def test_a_reply_ends_early_if_one_of_its_jobs_is_gone(registry: Registry, store: Store) -> None:
    await publish(registry, (job(1), [], [1]), (job(2), [1], [2]), (job(3), [2], [3]))
    gone = "DELETE FROM job_sizes WHERE job_id = (SELECT id FROM jobs WHERE step_number = 2)"
    store.write(lambda connection: connection.execute(gone).rowcount)
    with pytest.raises(LineageReplaced):
        await registry.client.get(f"/api/v1/artifacts/{digest(3)}/dag")


async def test_a_slow_reader_does_not_get_jobs_that_have_the_ids_of_deleted_ones(
    registry: Registry, store: Store
) -> None:
    """SQLite gives the ids of deleted rows again, here those of a legacy lineage to what somebody else stages."""
    person = registry.person("alice")
    alice, bob = Bearer(person), Bearer(registry.person("bob"))
    session = await staged(registry, alice)
    legacy = Legacy(registry, await hash_beforehand(person), alice)
    await legacy.open()
    await legacy.add_jobs(job(1), job(2))
    await legacy.add_links(2, "inputs", link(1))
    lineage = store.read(readable_lineage, legacy.hash, Reader())
    ids = [place.id for place in store.read(places_after, lineage.graph_id, None, 10)]
    assert [each.document["jobUid"] for each in store.read(replayed_jobs, lineage, ids, 1)] == [uid(1), uid(2)]

    assert (await session.finalize())["hash"] == legacy.hash
    while store.write(sweep_slice, registry.clock()):
        continue
    secret = await registry.open(auth=bob)
    await secret.add_jobs(job(7, command="secret"), job(8, command="secret"))
    await secret.add_links(8, "inputs", link(7, "secret"))
    with pytest.raises(LineageReplaced):
        store.read(replayed_jobs, lineage, ids[1:], 2)
    with pytest.raises(LineageReplaced):
        store.read(replay.links_page, lineage, ids[1], "inputs", "")
    with pytest.raises(Refusal, match="try again"):
        store.read(replay.git_context, lineage, ids[1])
