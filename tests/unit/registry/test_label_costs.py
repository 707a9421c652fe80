"""What reading and indexing labels costs is bounded, whatever their writers have sent, which may be gigabytes."""

import pytest

from roar_publisher.registry.data import Store
from roar_publisher.registry.lineages import readback_labels
from roar_publisher.registry.lineages.indexing import index_slice
from tests.support.registry.harness import Json, Registry, Session, job, succeeded, uid
from tests.support.registry.indexing import index_all
from tests.unit.registry.test_costs import counted

pytestmark = pytest.mark.anyio


def label(number: int, metadata: Json) -> Json:
    return {"entity_type": "job", "job_uid": uid(number), "metadata": metadata}


async def published(registry: Registry, jobs: int) -> tuple[Session, str]:
    session = await registry.open()
    await session.add_jobs(*(job(number) for number in range(jobs)))
    return session, str((await session.finalize())["hash"])


async def test_the_number_of_versions_costs_readers_and_the_index_nothing(registry: Registry, store: Store) -> None:
    session, lineage_hash = await published(registry, 3)
    address = f"/api/v1/sessions/{lineage_hash}/readback/labels"
    costs = []
    for versions in (range(5), range(5, 205)):
        labels = [label(number, {"a": version}) for number in range(3) for version in versions]
        succeeded(await session.post("/labels/batch", {"labels": labels}))
        with counted(store) as steps:
            reply = succeeded(await registry.client.get(address))
        assert [found["metadata"] for found in reply["labels"]] == [{"a": versions[-1]}] * 3
        reading = steps.taken
        index_all(store)
        store.write(lambda db: db.execute("UPDATE lineages SET index_phase = 3, index_position = ''"))
        with counted(store) as steps:
            store.write(index_slice)
        costs.append((reading, steps.taken))
    assert costs[0] == costs[1]


async def test_every_label_is_read_back_once(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the pages: the entities come in their order, each with its newest document."""
    session, lineage_hash = await published(registry, 7)
    labels = [label(number, {"a": version}) for number in range(7) for version in range(number + 1)]
    labels.append({"entity_type": "dag", "metadata": {"whole": True}})
    succeeded(await session.post("/labels/batch", {"labels": labels}))
    monkeypatch.setattr(readback_labels, "MAX_LABELS", 3)
    found: list[tuple[str, str | None, int]] = []
    after: str | None = ""
    while after is not None:
        reply = succeeded(
            await registry.client.get(f"/api/v1/sessions/{lineage_hash}/readback/labels", params={"after": after})
        )
        found += [(each["entity_type"], each.get("job_uid"), each["version"]) for each in reply["labels"]]
        after = reply["next"]
    assert found == [("dag", None, 1), *(("job", uid(number), number + 1) for number in range(7))]
