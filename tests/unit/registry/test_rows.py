"""A batch may mix items with and without their optional fields: each is stored with its own."""

from typing import Any

from msgspec import convert

from roar_publisher.glaas import batches
from roar_publisher.registry.data import Store
from roar_publisher.registry.lineages import staging
from roar_publisher.registry.store.graphs import graph_counts, new_graph
from roar_publisher.registry.store.rows import SEVERAL
from tests.support.registry.engines import sqlite_of
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


def entry(numbers: range, **sized: int) -> batches.JobLinks:
    """The inputs of job 1. Every third one has `sized`."""
    links = [{"hash": digest(n), "path": f"/{n:04}", **(sized if n % 3 == 0 else {})} for n in numbers]
    return convert({"job_uid": uid(1), "kind": "inputs", "artifacts": links}, batches.JobLinks)


def test_links_are_stored_whatever_their_number(store: Store) -> None:
    for number in (1, SEVERAL - 1, SEVERAL, SEVERAL + 1, 5 * SEVERAL + 7):
        graph_id = store.write(new_graph)
        store.write(staging.add_jobs, graph_id, [convert(job(1), batches.Job)])
        store.write(staging.add_link_batch, graph_id, [entry(range(number), size=7)], 1000)
        query = f"SELECT path, links.size FROM links JOIN jobs ON jobs.id = job_id WHERE graph_id = {graph_id}"
        expected = [(f"/{n:04}", 7 if n % 3 == 0 else None) for n in range(number)]
        assert rows(store, f"{query} ORDER BY path") == expected
        assert store.read(graph_counts, graph_id)["inputs"] == number


def test_links_that_are_known_are_not_counted_again(store: Store) -> None:
    graph_id = store.write(new_graph)
    store.write(staging.add_jobs, graph_id, [convert(job(1), batches.Job)])
    for numbers in (range(SEVERAL), range(SEVERAL // 2, 3 * SEVERAL), range(10)):
        store.write(staging.add_link_batch, graph_id, [entry(numbers)], 1000)
    assert store.read(graph_counts, graph_id)["inputs"] == 3 * SEVERAL


def test_many_links_take_few_statements(store: Store) -> None:
    connection, statements = sqlite_of(store), list[str]()
    graph_id = store.write(new_graph)
    store.write(staging.add_jobs, graph_id, [convert(job(1), batches.Job)])
    connection.set_trace_callback(statements.append)
    store.write(staging.add_link_batch, graph_id, [entry(range(4 * SEVERAL))], 1000)
    connection.set_trace_callback(None)
    assert sum(statement.lstrip().startswith("INSERT INTO links") for statement in statements) == 4


def test_artifacts_with_and_without_sources(store: Store) -> None:
    graph_id = store.write(new_graph)
    sent = [artifact(1), {**artifact(2), "source_type": "s3", "metadata": "{}"}, artifact(3)]
    store.write(staging.add_artifacts, graph_id, [convert(each, batches.Artifact) for each in sent])
    stored = rows(store, "SELECT source_type, metadata FROM artifacts ORDER BY digest")
    assert sorted(stored, key=str) == sorted([(None, None), ("s3", "{}"), (None, None)], key=str)
