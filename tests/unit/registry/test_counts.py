"""The counts that are kept while staging say what is there, whatever is written and in whatever order."""

import random
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from msgspec import convert

from roar_publisher.glaas import batches, wire
from roar_publisher.registry.data import Store
from roar_publisher.registry.lineages import staging
from roar_publisher.registry.lineages.legacy import supersede
from roar_publisher.registry.store.graphs import new_graph
from roar_publisher.registry.store.jobs import LinkKind
from roar_publisher.registry.store.private_data import LINEAGES_NAME
from tests.support.checkout import DATA
from tests.support.registry.harness import Json, artifact, digest, job, link, uid

EARLIER = DATA / "registry-earlier-release.sql"
KEPT = "SELECT id, jobs, inputs, outputs, artifacts FROM graphs ORDER BY id"
COUNTED = """
    SELECT id, (SELECT count(*) FROM jobs WHERE graph_id = graphs.id),
        (SELECT count(*) FROM links JOIN jobs ON jobs.id = job_id WHERE graph_id = graphs.id AND kind = 'inputs'),
        (SELECT count(*) FROM links JOIN jobs ON jobs.id = job_id WHERE graph_id = graphs.id AND kind = 'outputs'),
        (SELECT count(*) FROM artifacts WHERE graph_id = graphs.id)
    FROM graphs ORDER BY id
"""
SIZES_KEPT = "SELECT job_id, inputs, outputs FROM job_sizes ORDER BY job_id"
SIZES_COUNTED = """
    SELECT id, (SELECT count(*) FROM links WHERE job_id = jobs.id AND kind = 'inputs'),
        (SELECT count(*) FROM links WHERE job_id = jobs.id AND kind = 'outputs') FROM jobs ORDER BY id
"""


def check(store: Store) -> None:
    for kept, counted in ((KEPT, COUNTED), (SIZES_KEPT, SIZES_COUNTED)):
        assert rows(store, kept) == rows(store, counted)


def rows(store: Store, query: str) -> list[tuple[Any, ...]]:
    return [tuple(row) for row in store.read(lambda connection: connection.execute(query).fetchall())]


@pytest.mark.parametrize("seed", range(10))
def test_the_counts_are_right_after_any_writes(store: Store, seed: int) -> None:
    rng = random.Random(seed)
    graphs = [store.write(new_graph) for _ in range(2)]
    for graph_id in graphs:
        store.write(staging.add_jobs, graph_id, [convert(job(n), batches.Job) for n in range(3)])
    for _ in range(60):
        graph_id = rng.choice(graphs)
        some = [rng.randrange(8) for _ in range(rng.randrange(4))]
        match rng.choice(["jobs", "artifacts", "composite", "links", "batch of links"]):
            case "jobs":
                store.write(staging.add_jobs, graph_id, [convert(job(n), batches.Job) for n in some])
            case "artifacts":
                sent = [convert(artifact(n), batches.Artifact) for n in some]
                store.write(staging.add_artifacts, graph_id, sent)
            case "composite":
                composite = {**artifact(some[0] if some else 9), "hash": digest(9), "component_count_total": 1}
                store.write(staging.add_composite, graph_id, wire.CompositeRequest.model_validate(composite))
            case "links":
                links = [convert(link(n, f"/{rng.random()}"), batches.Link) for n in some]
                kind = rng.choice([LinkKind.INPUTS, LinkKind.OUTPUTS])
                store.write(staging.add_links, graph_id, uid(rng.randrange(3)), kind, links)
            case "batch of links":
                entries = [random_entry(rng) for _ in range(rng.randrange(5))]
                store.write(staging.add_link_batch, graph_id, entries, 1000)
        check(store)
    store.write(supersede, graphs[0], graphs[1])
    assert rows(store, KEPT)[1] == rows(store, COUNTED)[1]


def test_links_that_a_batch_names_twice_count_once(store: Store) -> None:
    graph_id = store.write(new_graph)
    store.write(staging.add_jobs, graph_id, [convert(job(1), batches.Job)])
    twice = [entry(1, [link(1, "/b"), link(2)]), entry(1, [link(1, "/a"), link(3)])]
    assert store.write(staging.add_link_batch, graph_id, twice, 1000) == [None, None]
    check(store)
    assert rows(store, "SELECT path FROM links WHERE digest = (SELECT min(digest) FROM links)") == [("/a",)]


def entry(number: int, links: list[Json], kind: str = "inputs") -> batches.JobLinks:
    return convert({"job_uid": uid(number), "kind": kind, "artifacts": links}, batches.JobLinks)


def random_entry(rng: random.Random) -> batches.JobLinks:
    """Links of a job that may have some of them, name others twice, or not be there."""
    links = [link(rng.randrange(8), f"/{rng.random()}") for _ in range(rng.randrange(4))]
    return entry(rng.randrange(9), links, rng.choice(["inputs", "outputs"]))


def test_the_counts_of_an_earlier_store_are_right(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / LINEAGES_NAME) as connection:
        connection.executescript(EARLIER.read_text())
    connection.close()
    store = Store.open(tmp_path)
    check(store)
    assert sum(sum(row[1:]) for row in rows(store, KEPT)) > 0
    store.close()
