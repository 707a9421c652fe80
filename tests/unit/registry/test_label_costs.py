"""What reading and indexing labels costs is bounded, whatever their writers have sent, which may be gigabytes."""

import pytest

from roar_publisher.registry.data import Store
from roar_publisher.registry.lineages import indexing, readback_labels
from roar_publisher.registry.lineages.indexing import index_slice
from roar_publisher.registry.lineages.words import LONGEST_WORD, WORDS_OF_LABEL, WORDS_OF_TEXT, words_of_label
from tests.support.registry.harness import Json, Registry, Session, job, succeeded, uid
from tests.support.registry.indexing import index_all
from tests.unit.registry.test_costs import counted

pytestmark = pytest.mark.anyio

OLD_PLACE = f'["job", "{uid(1)}"]'
"""A position in the labels, as earlier releases stored it."""


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


async def test_slices_are_bounded_by_the_bytes_of_labels(registry: Registry, store: Store) -> None:
    """They are many words, keys and values, and one edit makes all of the lineage's labels come again."""
    session, _hash = await published(registry, 45)
    for number in range(45):
        many = {f"k{number}x{each}": f"v{number}x{each}" for each in range(4000)}
        succeeded(await session.post("/labels/batch", {"labels": [label(number, many)]}))
    index_all(store)
    succeeded(await session.post("/labels/batch", {"labels": [label(0, {"a": 1})]}))
    costs = []
    more = True
    while more:
        with counted(store) as steps:
            more = store.write(index_slice)
        costs.append(steps.taken)
    assert max(costs) < 100_000
    assert len(costs) < 10  # there is room for 2,000 words


async def test_words_of_labels_are_found_up_to_a_number_of_bytes(
    registry: Registry, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    session, _hash = await published(registry, 4)
    for number in range(4):
        same = {"note": "the same " * 1000, f"name{number}": number}
        succeeded(await session.post("/labels/batch", {"labels": [label(number, same)]}))
    monkeypatch.setattr(indexing, "SLICE_LABEL_BYTES", 1)
    monkeypatch.setattr(indexing, "LABEL_BYTES", 20_000)
    index_all(store)
    assert labels_with(store) == {"name0", "name1", "name2", "note", "same", "the"}
    store.write(lambda db: db.execute("UPDATE lineages SET index_phase = 3, index_position = :old", {"old": OLD_PLACE}))
    monkeypatch.undo()
    index_all(store)
    assert "name3" in labels_with(store)


def labels_with(store: Store) -> set[str]:
    """The words of labels that are indexed."""
    return {
        word for (word,) in store.read(lambda db: db.execute("SELECT word FROM words WHERE kind = 'label'").fetchall())
    }


def test_the_words_of_a_label_are_bounded() -> None:
    nested = {"outer": {"inner": ["first", {"second": True}], "gone": "x" * 2000 + " late"}}
    assert words_of_label(nested) == ["outer", "inner", "first", "second", "true", "gone", "x" * LONGEST_WORD]
    many = {f"key{number}": f"value{number}" for number in range(1000)}
    assert words_of_label(many) == [f"{kind}{number}" for number in range(250) for kind in ("key", "value")]
    assert len(words_of_label({f"key{number}": "one two three four" for number in range(1000)})) < WORDS_OF_LABEL
    assert len(words_of_label({"a": " ".join(f"w{number}" for number in range(999))})) == WORDS_OF_TEXT
