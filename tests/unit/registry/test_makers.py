"""Which jobs made an artifact is recorded when a lineage is published, in slices, and goes with the jobs."""

from contextlib import closing
from pathlib import Path

import pytest

from roar_publisher.registry.api.service import RegistryService
from roar_publisher.registry.data import Store
from roar_publisher.registry.lineages import makers
from roar_publisher.registry.lineages.makers import Slices
from roar_publisher.registry.store import schema
from roar_publisher.registry.store.database import Connection
from roar_publisher.registry.store.graphs import delete_discarded, discard_graph
from tests.support.registry.engines import sqlite_of
from tests.support.registry.harness import Registry, Session, artifact, digest, job, link, make_registry, succeeded, uid
from tests.support.registry.legacy import Legacy
from tests.support.registry.postgres import Postgres
from tests.unit.registry.test_costs import counted

BEFORE = next(number for number, script in enumerate(schema.MIGRATIONS) if "CREATE TABLE made_artifacts" in script)
pytestmark = pytest.mark.anyio


def recorded(store: Store) -> list[tuple[str, str]]:
    """The digest and the uid of the job, of each row. A row of a job that is gone fails."""

    def read(connection: Connection) -> list[tuple[str, str]]:
        rows = connection.execute(
            "SELECT digest, uid FROM made_artifacts LEFT JOIN jobs ON jobs.id = job_id ORDER BY digest, uid"
        ).fetchall()
        return [(found, maker) for found, maker in rows]

    return store.read(read)


async def staged(registry: Registry, outputs: dict[int, range]) -> Session:
    """A session with jobs, by their numbers, that made these artifacts and read another one."""
    session = await registry.open()
    await session.add_jobs(*(job(number) for number in outputs))
    for number, made in outputs.items():
        await session.add_links(number, "inputs", link(999))
        await session.add_links(number, "outputs", *(link(each) for each in made))
    return session


def expected(outputs: dict[int, range]) -> list[tuple[str, str]]:
    return sorted((digest(each), uid(number)) for number, made in outputs.items() for each in made)


WIDE = {1: range(3), 2: range(0), 3: range(2, 12), 4: range(3), 5: range(20, 21)}


async def test_finalize_records_what_was_staged(registry: Registry, store: Store) -> None:
    session = await staged(registry, WIDE)
    other = await staged(registry, {7: range(5)})
    assert recorded(store) == []
    await session.finalize()
    assert recorded(store) == expected(WIDE)
    await other.finalize()
    assert recorded(store) == sorted(expected(WIDE) + expected({7: range(5)}))


@pytest.mark.parametrize(("jobs", "outputs"), [(1, 1), (1, 1000), (2, 4), (1000, 3), (1000, 10)])
async def test_the_size_of_slices_changes_nothing(
    registry: Registry, store: Store, monkeypatch: pytest.MonkeyPatch, jobs: int, outputs: int
) -> None:
    monkeypatch.setattr(makers, "SLICE_JOBS", jobs)
    monkeypatch.setattr(makers, "SLICE_OUTPUTS", outputs)
    await (await staged(registry, WIDE)).finalize()
    assert recorded(store) == expected(WIDE)


@pytest.mark.parametrize("outputs", [{1: range(600)}, {number: range(number, number + 3) for number in range(60)}])
async def test_a_slice_is_bounded_whatever_the_lineage(
    registry: Registry, store: Store, monkeypatch: pytest.MonkeyPatch, outputs: dict[int, range]
) -> None:
    monkeypatch.setattr(makers, "SLICE_JOBS", 20)
    monkeypatch.setattr(makers, "SLICE_OUTPUTS", 50)
    session = await staged(registry, outputs)
    advance, costs = makers.advance, list[int]()

    def counting(connection: Connection, slices: Slices) -> bool:
        with counted(store) as steps:
            more = advance(connection, slices)
        costs.append(steps.taken)
        return more

    monkeypatch.setattr(makers, "advance", counting)
    await session.finalize()
    assert recorded(store) == expected(outputs)
    assert len(costs) > 3
    assert max(costs) < 50 * 100


async def test_what_is_staged_meanwhile_is_recorded(
    registry: Registry, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is hashed as well, so the recording begins again."""
    session = await staged(registry, {1: range(2)})
    write_durably, late = RegistryService.write_durably, [link(7)]

    async def write(service: RegistryService, *args: object, **kwargs: object) -> object:
        while late:
            await session.add_links(1, "outputs", late.pop())
        return await write_durably(service, *args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(RegistryService, "write_durably", write)
    receipt = await session.finalize()
    assert receipt["staged_counts"]["outputs"] == 3
    assert recorded(store) == sorted([*expected({1: range(2)}), (digest(7), uid(1))])


async def test_a_lineage_that_is_published_already_is_not_recorded_again(registry: Registry, store: Store) -> None:
    first = await (await staged(registry, WIDE)).finalize()
    again = await staged(registry, WIDE)
    assert (await again.finalize())["hash"] == first["hash"]
    await again.finalize()
    assert recorded(store) == expected(WIDE)


async def test_outputs_of_a_legacy_lineage_are_recorded_with_their_links(registry: Registry, store: Store) -> None:
    legacy = Legacy(registry, "1e" * 32)
    await legacy.open()
    await legacy.add_jobs(job(1), job(2))
    await legacy.add_links(1, "outputs", link(1), link(2))
    await legacy.add_links(1, "inputs", link(3))
    entries = [
        {"job_uid": uid(2), "kind": "inputs", "artifacts": [link(1)]},
        {"job_uid": uid(2), "kind": "outputs", "artifacts": [link(4), link(1)]},
    ]
    for _ in range(2):
        succeeded(await legacy.post(f"sessions/{legacy.hash}/links/batch", {"links": entries}))
    assert recorded(store) == sorted(
        [(digest(1), uid(1)), (digest(2), uid(1)), (digest(4), uid(2)), (digest(1), uid(2))]
    )
    dag = succeeded(await registry.client.get(f"/api/v1/artifacts/{digest(4)}/dag"))
    assert [each["jobUid"] for each in dag["jobs"]] == [uid(1), uid(2)]


@pytest.mark.parametrize("limit", [1, 4, 1000])
async def test_the_rows_go_with_their_jobs(registry: Registry, store: Store, limit: int) -> None:
    """SQLite gives the ids of jobs that are gone to other jobs."""
    await (await staged(registry, {8: range(3)})).finalize()
    receipt = await (await staged(registry, WIDE)).finalize()

    def discard(connection: Connection) -> None:
        chosen = {"hash": receipt["hash"]}
        (graph_id,) = connection.execute("SELECT graph_id FROM lineages WHERE hash = :hash", chosen).fetchone()
        connection.execute("DELETE FROM lineages WHERE hash = :hash", chosen)
        connection.execute("DELETE FROM sessions WHERE graph_id = :graph", {"graph": graph_id})
        discard_graph(connection, graph_id)

    store.write(discard)
    while store.write(delete_discarded, limit):
        pass
    assert recorded(store) == expected({8: range(3)})


async def test_links_to_artifacts_that_were_sent_are_looked_up_in_the_index_alone(store: Store) -> None:
    connection, statements = sqlite_of(store), list[str]()
    registry = make_registry(store)
    async with registry.client:
        session = await registry.open()
        await session.add_jobs(job(1))
        await session.add_artifacts(artifact(1))
        connection.set_trace_callback(statements.append)
        await session.add_links(1, "inputs", link(1))
        connection.set_trace_callback(None)
    asked = [statement for statement in statements if "FROM artifacts" in statement]
    assert len(asked) == 1
    plan = [row["detail"] for row in connection.execute(f"EXPLAIN QUERY PLAN {asked[0]}")]
    assert "COVERING INDEX" in plan[0]


EARLIER = """
    INSERT INTO graphs (id) VALUES (1), (2);
    INSERT INTO lineages (hash, graph_id, creator, published_at, session_id)
        VALUES ('{hash}', 1, 'anonymous', 7, 'closed');
    INSERT INTO jobs (id, graph_id, uid, step_number, command)
        VALUES (1, 1, '{one}', 1, 'a'), (2, 2, '{two}', 1, 'b'), (3, 1, '{three}', 2, 'c');
    INSERT INTO job_sizes (job_id, inputs, outputs, bytes) VALUES (1, 0, 2, 9), (2, 0, 1, 9), (3, 1, 1, 9);
    INSERT INTO links (job_id, kind, digest, path)
        VALUES (1, 'outputs', '{a}', '/a'), (1, 'outputs', '{b}', '/b'), (2, 'outputs', '{a}', '/a'),
        (3, 'inputs', '{a}', '/a'), (3, 'outputs', '{c}', '/c');
    INSERT INTO artifacts (graph_id, digest, path) VALUES (1, '{a}', '/a'), (1, '{b}', '/b'), (1, '{c}', '/c');
"""
"""A lineage, and a graph that is only staged, as they were stored before `made_artifacts`."""


@pytest.mark.parametrize("engine", ["sqlite", "postgresql"])
async def test_lineages_of_earlier_releases_are_recorded_by_the_migration(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest, engine: str
) -> None:
    url = None
    if engine == "postgresql":
        postgres: Postgres = request.getfixturevalue("postgres")
        url = postgres.new_database()
    (a, b, c), (one, two, three) = map(digest, (1, 2, 3)), map(uid, (1, 2, 3))
    script = EARLIER.format(hash="5" * 64, one=one, two=two, three=three, a=a, b=b, c=c)
    with monkeypatch.context() as earlier:
        earlier.setattr(schema, "MIGRATIONS", schema.MIGRATIONS[:BEFORE])
        with closing(Store.open(tmp_path, url)) as store:

            def fill(connection: Connection) -> None:
                for statement in filter(str.strip, script.split(";")):
                    connection.execute(statement)

            store.write(fill)
    with closing(Store.open(tmp_path, url)) as store:
        assert recorded(store) == sorted([(a, one), (b, one), (c, three)])
        registry = make_registry(store)
        async with registry.client:
            dag = succeeded(await registry.client.get(f"/api/v1/artifacts/{c}/dag"))
            assert [each["jobUid"] for each in dag["jobs"]] == [one, three]
