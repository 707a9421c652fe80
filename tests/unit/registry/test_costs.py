"""What a request costs does not grow with what strangers have written, which costs them little and may be gigabytes."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from roar_publisher.registry.data import Store
from roar_publisher.registry.lineages.digest_search import SLICE_DIGESTS
from roar_publisher.registry.lineages.reading import MAX_GRAPHS_WITH_UID
from roar_publisher.registry.store import sessions
from roar_publisher.registry.store.canonical_texts import jobs_from
from roar_publisher.registry.store.database import Connection
from roar_publisher.registry.store.graphs import delete_discarded, discard_graph, new_graph
from roar_publisher.registry.store.jobs import StoredJob, insert_jobs
from roar_publisher.registry.store.lineage_index import links_after
from roar_publisher.registry.store.provenance import places_after
from tests.support.registry.engines import sqlite_of
from tests.support.registry.harness import START, Json, Registry, digest, job, link, refused, succeeded
from tests.support.registry.people import Bearer
from tests.support.registry.planted import Planted, plant

pytestmark = pytest.mark.anyio

JOBS = [job(number) for number in range(20)]


class Steps:
    """Instructions of SQLite's machine."""

    taken = 0

    def take(self) -> int:
        self.taken += 1
        return 0


@contextmanager
def counted(store: Store) -> Iterator[Steps]:
    """The steps that the store takes in the block."""
    steps = Steps()
    sqlite_of(store).set_progress_handler(steps.take, 1)
    yield steps
    sqlite_of(store).set_progress_handler(None, 0)


async def test_hidden_digests_cost_a_lookup_slices_and_change_no_reply(
    registry: Registry, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A limit on them would tell how many there are: a stranger could stage all but the last one."""
    published = await registry.open()
    await published.add_jobs(job(1))
    await published.add_links(1, "inputs", {"hash": "deadbeef00", "path": "/a"})
    await published.finalize()
    session = await registry.open()
    await session.add_jobs(job(1))
    for first in range(0, 3 * SLICE_DIGESTS, SLICE_DIGESTS):
        links = ({"hash": f"deadbeef{number:07}", "path": ""} for number in range(first, first + SLICE_DIGESTS))
        await session.add_links(1, "inputs", *links)
    read, costs = store.read, []

    def counting(*arguments: Any, **options: Any) -> Any:
        with counted(store) as steps:
            result = read(*arguments, **options)
        costs.append(steps.taken)
        return result

    monkeypatch.setattr(store, "read", counting)
    assert succeeded(await registry.client.get("/api/v1/artifacts/deadbeef"))["hash"] == "deadbeef00"
    assert max(costs) < 100 * SLICE_DIGESTS
    assert len(costs) > 3
    refused(await registry.client.get("/api/v1/artifacts/deadbeef000"), 404)
    costs.clear()
    assert succeeded(await registry.client.get("/api/v1/artifacts/deadbeef00"))["hash"] == "deadbeef00"
    assert len(costs) == 2


@pytest.mark.parametrize("visibility", ["public", "private"])
async def test_the_cost_of_jobs_does_not_grow_with_other_sessions(
    registry: Registry, store: Store, visibility: str
) -> None:
    alice = Bearer(registry.person("alice"))
    scope = {"owner_resolution": "current_user", "owner_type": "user", "visibility": visibility}
    session = await registry.open(auth=alice)
    await session.add_jobs(*JOBS)
    lineage_hash = (await session.finalize(scope_request=scope))["hash"]

    async def plant(sessions: int) -> None:
        for _ in range(sessions):
            await (await registry.open()).add_jobs(*JOBS)

    async def send() -> tuple[Json, int]:
        again = await registry.open(auth=alice)
        headers = {"X-Roar-Version": "0.4.7"}
        with counted(store) as steps:
            path = f"{again.root}/jobs/batch"
            reply = succeeded(await again.client.post(path, json={"jobs": JOBS}, headers=headers, auth=alice))
        return reply, steps.taken

    await plant(MAX_GRAPHS_WITH_UID)
    first, cost = await send()
    planted = 2 * MAX_GRAPHS_WITH_UID
    await plant(planted)
    second, more = await send()
    assert first == second
    assert first["already_registered_session_hashes"] == [lineage_hash]
    assert more < cost + planted * len(JOBS)  # less than a step for each job


async def test_the_cost_of_the_list_does_not_grow_with_private_lineages(registry: Registry, store: Store) -> None:
    alice = Bearer(registry.person("alice"))
    scope = {"owner_resolution": "current_user", "owner_type": "user", "visibility": "private"}

    async def plant(first: int, last: int) -> int:
        for number in range(first, last):
            body = {"hash": f"{number:064x}", "scope_request": scope}
            succeeded(await registry.client.post("/api/v1/sessions", json=body, auth=alice))
        with counted(store) as steps:
            assert (await registry.client.get("/")).status_code == 200
        return steps.taken

    assert await plant(0, 10) == await plant(10, 100)


def test_a_slice_of_links_costs_the_same_wherever_it_begins(store: Store) -> None:
    plant(store, 0, [Planted("x", range(200), range(200))])
    graph_id, job_id = store.read(lambda db: tuple(db.execute("SELECT graph_id, id FROM jobs").fetchone()))
    costs = []
    for number in (5, 180):
        with counted(store) as steps:
            store.read(links_after, graph_id, job_id, ("outputs", digest(number)), 10)
        costs.append(steps.taken)
    assert costs[0] == costs[1]


@pytest.mark.parametrize("same_step", [True, False])
def test_a_page_of_jobs_costs_the_same_wherever_it_begins(store: Store, *, same_step: bool) -> None:
    def write(connection: Connection) -> int:
        graph_id = new_graph(connection)
        rows = [
            StoredJob(f"{number:08x}", None, 1 if same_step else number, "", None, 1.0, 1.0, 0, None, None, None)
            for number in range(300)
        ]
        insert_jobs(connection, graph_id, rows)
        return graph_id

    graph_id = store.write(write)
    places = store.read(places_after, graph_id, None, 300)
    assert [place.id for place in places] == sorted(place.id for place in places)
    costs = []
    for place, following in ((places[4], places[5]), (places[280], places[281])):
        with counted(store) as steps:
            assert store.read(places_after, graph_id, place, 10)[0] == following
            read = store.read(lambda db, at: list(jobs_from(db, graph_id, at.step, at.id, 10)), following)
        assert (read[0].id, len(read)) == (following.id, 10)
        costs.append(steps.taken)
    assert costs[0] == costs[1]


def open_session(connection: Connection) -> None:
    graph_id = new_graph(connection)
    sessions.insert(
        connection,
        owner="",
        identity="anonymous",
        client_session_id=None,
        mode="anonymous_public",
        graph_id=graph_id,
        expires_at=START,
        client="",
    )


def test_deleting_a_graph_does_not_cost_more_with_more_sessions(store: Store) -> None:
    costs = []
    for number in (10, 300):
        for _ in range(number):
            store.write(open_session)
        graph_id = store.write(new_graph)
        store.write(discard_graph, graph_id)
        with counted(store) as steps:
            store.write(delete_discarded, 100)
        costs.append(steps.taken)
    assert costs[0] == costs[1]


async def test_a_batch_of_links_reads_as_often_whatever_it_holds(registry: Registry, store: Store) -> None:
    session = await registry.open()
    await session.add_jobs(*JOBS)
    reads = []
    for jobs in (JOBS[:1], JOBS[1:]):
        statements: list[str] = []
        sqlite_of(store).set_trace_callback(statements.append)
        entries = [{"job_uid": each["job_uid"], "kind": "inputs", "artifacts": [link(1), link(2)]} for each in jobs]
        succeeded(await session.post("/links/batch", {"links": entries}))
        sqlite_of(store).set_trace_callback(None)
        reads.append(sum(statement.lstrip().startswith("SELECT") for statement in statements))
    assert reads[0] == reads[1] > 0
