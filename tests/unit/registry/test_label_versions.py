"""Versions of label documents: what readers see, what they take on disk, and edits that cost too much."""

import json
import random
from pathlib import Path
from typing import Any

import pytest

from roar_publisher.registry.data import Store
from roar_publisher.registry.http.bounds import REPLY_BYTES
from roar_publisher.registry.lineages import reconcile
from roar_publisher.registry.lineages.labels import LARGEST_DOCUMENT
from roar_publisher.registry.store import label_versions
from roar_publisher.registry.store.database import Connection
from roar_publisher.registry.store.differences import difference, restored
from roar_publisher.registry.store.documents import dump_document
from roar_publisher.registry.store.graphs import new_graph
from roar_publisher.registry.store.label_versions import Entity, add_version, current_label, versions_before
from roar_publisher.registry.store.private_data import LINEAGES_NAME
from roar_publisher.registry.store.schema import MIGRATIONS
from roar_publisher.registry.store.sqlite import connect, migrate
from tests.support.registry.harness import Json, Registry, Session, job, refused, succeeded, uid
from tests.support.registry.people import Bearer
from tests.support.sampling import sample

BEFORE_DIFFERENCES = 5
"""Migrations of the last schema that kept every version whole."""
HISTORY = "/api/v1/labels/history"


def random_document(rng: random.Random, depth: int = 3) -> dict[str, Any]:
    """Objects in objects, with values that Python takes for equal and JSON does not."""
    values = [1, 1.0, True, "1", None, [], [1, {"a": 2}], {}, "é\x00"]
    return {
        rng.choice("abcdef"): random_document(rng, depth - 1) if depth and rng.random() < 0.4 else rng.choice(values)
        for _ in range(rng.randrange(5))
    }


@pytest.mark.parametrize("seed", sample("label versions", range(50), 12))
def test_a_restored_document_has_the_same_text(seed: int) -> None:
    rng = random.Random(seed)
    for _ in range(20):
        newer, older = random_document(rng), random_document(rng)
        before = dump_document(newer)
        changes = json.loads(dump_document(difference(newer, older)))
        assert dump_document(restored(newer, changes)) == dump_document(older)
        assert dump_document(newer) == before
        assert difference(newer, newer) == {}


@pytest.fixture
def entity(store: Store) -> Entity:
    return Entity(store.write(new_graph), "dag", "")


def write(store: Store, entity: Entity, documents: list[dict[str, Any]]) -> None:
    def operation(connection: Connection) -> None:
        for number, document in enumerate(documents):
            texts = dump_document(document), dump_document(dict.fromkeys(document, "user"))
            add_version(connection, entity, current_label(connection, entity), *texts, float(number))

    store.write(operation)


def seen(store: Store, entity: Entity, before: int | None = None) -> list[tuple[int, str]]:
    """Number and text of the versions, the newest first."""
    return [
        (version.number, dump_document(version.metadata))
        for version in store.read(lambda connection: list(versions_before(connection, entity, before)))
    ]


def kept_bytes(store: Store, entity: Entity) -> tuple[int, int]:
    """What the earlier versions take, and what the newest says that they take."""
    rows = store.read(lambda db: db.execute("SELECT * FROM labels WHERE graph_id = ?", [entity.graph_id]).fetchall())
    *earlier, newest = sorted(rows, key=lambda row: int(row["version"]))
    return sum(len(row["metadata"]) + len(row["key_origins"]) for row in earlier), newest["history_bytes"]


@pytest.mark.parametrize("seed", range(5))
def test_readers_see_every_version_as_it_was_written(store: Store, entity: Entity, seed: int) -> None:
    rng = random.Random(seed)
    documents = [random_document(rng) for _ in range(2 * label_versions.FULL_VERSION_INTERVAL + 30)]
    write(store, entity, documents)
    expected = [(number + 1, dump_document(document)) for number, document in enumerate(documents)][::-1]
    assert seen(store, entity) == expected
    for before in (1, 2, 99, 100, 101, 102, 200, 201, 230, 231, 999):
        assert seen(store, entity, before) == [version for version in expected if version[0] < before]
    assert len(set(kept_bytes(store, entity))) == 1


def test_small_changes_of_a_large_document_take_little(store: Store, entity: Entity) -> None:
    large = {f"key{number}": "x" * 100 for number in range(200)}
    whole = len(dump_document(large))
    write(store, entity, [{**large, "count": number} for number in range(250)])
    taken, said = kept_bytes(store, entity)
    assert taken == said
    # Two of the versions stay whole, with their origins; the others take some bytes each.
    assert taken < 2 * 1.5 * whole + 250 * 100


def test_a_history_that_is_too_large_loses_its_oldest_versions(
    store: Store, entity: Entity, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(label_versions, "HISTORY_BYTES", 20_000)
    rng = random.Random(1)
    documents: list[dict[str, Any]] = [{"noise": rng.randbytes(1000).hex()} for _ in range(120)]
    write(store, entity, documents)
    taken, said = kept_bytes(store, entity)
    assert taken == said <= 20_000
    versions = seen(store, entity)
    assert 5 < len(versions) < 12
    expected = [(number + 1, dump_document(document)) for number, document in enumerate(documents)][::-1]
    assert versions == expected[: len(versions)]


def test_an_earlier_store_keeps_its_histories_and_gets_smaller(tmp_path: Path) -> None:
    connection = connect(str(tmp_path / LINEAGES_NAME), timeout=0)
    migrate(connection, MIGRATIONS[:BEFORE_DIFFERENCES])
    rng = random.Random(3)
    connection.execute("INSERT INTO graphs (id) VALUES (1), (2)")
    histories = {1: [random_document(rng) for _ in range(230)], 2: [{"only": float("nan")}]}
    for graph_id, documents in histories.items():
        for number, document in enumerate(documents):
            row = (graph_id, "job", "j", number + 1, json.dumps({**document, "same": "x" * 500}), "{}", number)
            connection.execute("INSERT INTO labels VALUES (?, ?, ?, ?, ?, ?, ?)", row)
    before = connection.execute("SELECT sum(length(metadata)) FROM labels").fetchone()[0]
    connection.close()
    store = Store.open(tmp_path)
    for graph_id, documents in histories.items():
        entity = Entity(graph_id, "job", "j")
        expected = [dump_document({**document, "same": "x" * 500}) for document in documents]
        assert [text for _, text in seen(store, entity)] == expected[::-1]
        assert len(set(kept_bytes(store, entity))) == 1
        write(store, entity, [{"later": 1}])
        assert [text for _, text in seen(store, entity)] == ['{"later":1}', *expected[::-1]]
    assert store.read(lambda db: db.execute("SELECT sum(length(metadata)) FROM labels").fetchone()[0]) < before / 4
    store.close()


async def labelled(registry: Registry) -> tuple[Session, Json]:
    """A lineage of alice's, and the query that finds the labels of its job."""
    alice = registry.person("alice")
    session = await registry.open(auth=Bearer(alice))
    await session.add_jobs(job(1))
    scope = {"owner_resolution": "current_user", "owner_type": "user", "visibility": "public"}
    receipt = await session.finalize(scope_request=scope)
    return session, {"entity_type": "job", "session_hash": receipt["hash"], "job_uid": uid(1)}


@pytest.mark.anyio
async def test_a_history_is_read_page_by_page_from_the_newest_on(registry: Registry) -> None:
    session, query = await labelled(registry)
    for number in range(30):
        label = {**query, "metadata": {"n": number, "large": "x" * 90_000}}
        succeeded(await session.post("/labels/batch", {"labels": [label]}))
    plain = succeeded(await registry.client.get(HISTORY, params=query))
    assert plain["labels"][-1]["version"] == 30
    pages: list[Json] = []
    before: dict[str, int] = {}
    while True:
        response = await registry.client.get(HISTORY, params={**query, **before})
        assert len(response.content) < REPLY_BYTES + 2 * 90_000
        page = succeeded(response)
        pages = page["labels"] + pages
        if page["next_before"] is None:
            break
        before = {"before": page["next_before"]}
    assert [(each["version"], each["metadata"]["n"]) for each in pages] == [(n + 1, n) for n in range(30)]
    few = succeeded(await registry.client.get(HISTORY, params={**query, "limit": 2, "before": 11}))
    assert ([each["version"] for each in few["labels"]], few["next_before"]) == ([9, 10], 9)
    current = succeeded(await registry.client.get("/api/v1/labels/current", params=query))
    assert current["metadata"]["n"] == 29
    for wrong in ({"before": "x"}, {"limit": "1001"}, {"entity_type": "artifact", "session_hash": None, "before": 3}):
        params = {name: value for name, value in {**query, "artifact_hash": "a", **wrong}.items() if value is not None}
        refused(await registry.client.get(HISTORY, params=params), 422)


async def edit(registry: Registry, session: Session, query: Json, *metadata: Json, **more: object) -> Any:
    edits = [{"entity_type": "job", "job_uid": uid(1), "metadata": each} for each in metadata]
    body = {"session_hash": query["session_hash"], "labels": edits, **more}
    return await registry.client.post("/api/v1/labels/reconcile", json=body, auth=session.auth)


@pytest.mark.anyio
async def test_a_label_does_not_grow_without_end(registry: Registry) -> None:
    session, query = await labelled(registry)
    for number in range(2):
        succeeded(await edit(registry, session, query, {f"k{number}": "x" * 90_000}))
    response = await edit(registry, session, query, {"k2": "x" * 90_000})
    assert "remove some" in refused(response, 422)
    succeeded(await edit(registry, session, query, {"k0": ""}))
    succeeded(await edit(registry, session, query, {"k2": "x" * 90_000}))
    history = succeeded(await registry.client.get(HISTORY, params=query))["labels"]
    assert max(len(dump_document(each["metadata"])) for each in history) < LARGEST_DOCUMENT


@pytest.mark.anyio
async def test_many_small_edits_of_a_large_label_are_refused_at_once(registry: Registry) -> None:
    session, query = await labelled(registry)
    succeeded(await edit(registry, session, query, {"large": "x" * 90_000}))
    many = [{"n": number} for number in range(1000)]
    refused(await edit(registry, session, query, *many, dry_run=True), 413)
    refused(await edit(registry, session, query, *many), 413)
    assert succeeded(await registry.client.get("/api/v1/labels/current", params=query))["version"] == 1
    succeeded(await edit(registry, session, query, *many[:20]))


@pytest.mark.anyio
async def test_keys_that_multiply_when_written_out_are_refused(registry: Registry) -> None:
    """A long key over many short ones: 100 kB whose dotted paths take 150 MB."""
    session, query = await labelled(registry)
    bomb = {"k" * 40_000: {str(number): 1 for number in range(4000)}}
    assert "use shorter ones" in refused(await edit(registry, session, query, bomb), 422)
    # As a document of its own it is taken, for its origins need not be made. The page does not write all of it out.
    succeeded(await session.post("/labels/batch", {"labels": [{**query, "metadata": bomb}]}))
    page = await registry.client.get(f"/dag/{query['session_hash']}")
    assert "4,000 labels" in page.text
    assert len(page.content) < 200_000


@pytest.mark.anyio
async def test_the_paths_of_a_document_are_made_once_an_edit(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    session, query = await labelled(registry)
    calls = []
    paths = reconcile._bounded_paths
    monkeypatch.setattr(reconcile, "_bounded_paths", lambda document: calls.append(1) or paths(document))  # type: ignore[func-returns-value]
    succeeded(await edit(registry, session, query, {str(number): number for number in range(3000)}))
    assert len(calls) == 2
