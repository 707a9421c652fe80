"""A batch may mix items with and without their optional fields: each is stored with its own."""

from typing import Any

from msgspec import convert

from roar_publisher.glaas import batches
from roar_publisher.registry.data import Store
from roar_publisher.registry.lineages import staging
from roar_publisher.registry.store.graphs import new_graph
from tests.support.registry.harness import artifact, digest, job, uid


def rows(store: Store, query: str) -> list[tuple[Any, ...]]:
    return [tuple(row) for row in store.read(lambda connection: connection.execute(query).fetchall())]


def test_links_with_and_without_sizes(store: Store) -> None:
    graph_id = store.write(new_graph)
    store.write(staging.add_jobs, graph_id, [convert(job(1), batches.Job)])
    links = [
        {"hash": digest(1), "path": "/plain"},
        {"hash": digest(2), "path": "/sized", "size": 7, "source_type": "s3"},
        {"hash": digest(3), "path": "/plain too"},
    ]
    entry = convert({"job_uid": uid(1), "kind": "inputs", "artifacts": links}, batches.JobLinks)
    store.write(staging.add_link_batch, graph_id, [entry], 1000)
    stored = rows(store, "SELECT path, size, source_type FROM links ORDER BY path")
    assert stored == [("/plain", None, None), ("/plain too", None, None), ("/sized", 7, "s3")]


def test_artifacts_with_and_without_sources(store: Store) -> None:
    graph_id = store.write(new_graph)
    sent = [artifact(1), {**artifact(2), "source_type": "s3", "metadata": "{}"}, artifact(3)]
    store.write(staging.add_artifacts, graph_id, [convert(each, batches.Artifact) for each in sent])
    stored = rows(store, "SELECT source_type, metadata FROM artifacts ORDER BY digest")
    assert sorted(stored, key=str) == sorted([(None, None), ("s3", "{}"), (None, None)], key=str)
