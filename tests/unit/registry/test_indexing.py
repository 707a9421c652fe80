"""The index of published lineages: built in bounded slices, once, and anew when a lineage changes."""

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import ParamSpec, TypeVar

import anyio
import pytest

from roar_publisher.registry.data import Store
from roar_publisher.registry.lineages import indexing
from roar_publisher.registry.lineages.finding import HIT_KINDS, search
from roar_publisher.registry.lineages.indexing import IndexedElsewhere, index_slice
from roar_publisher.registry.lineages.words import group_name, sought_words, words_of
from roar_publisher.registry.store import lineage_index, lineage_words
from roar_publisher.registry.store.access import LineageScope, Reader, space_of
from roar_publisher.registry.store.database import Connection, Operation
from roar_publisher.registry.store.errors import StoreUnavailable
from roar_publisher.registry.store.graphs import INDEX_TABLES, delete_discarded, discard_graph
from roar_publisher.registry.store.lineage_words import Word
from roar_publisher.registry.store.schema import MIGRATIONS
from roar_publisher.registry.store.sqlite import connect, migrate
from tests.support.registry.engines import sqlite_of
from tests.support.registry.harness import Registry, job, link, make_registry, succeeded
from tests.support.registry.indexing import index_all
from tests.support.registry.legacy import Legacy
from tests.support.registry.planted import Planted, plant
from tests.support.registry.postgres import Postgres
from tests.unit.registry.test_costs import counted

BEFORE_INDEX = next(number for number, script in enumerate(MIGRATIONS) if "index_phase" in script)
P = ParamSpec("P")
T = TypeVar("T")
pytestmark = pytest.mark.anyio


def rows(store: Store) -> dict[str, list[tuple[object, ...]]]:
    """The whole index."""

    def read(connection: Connection) -> dict[str, list[tuple[object, ...]]]:
        return {
            table: sorted(map(tuple, connection.execute(f"SELECT * FROM {table}").fetchall()), key=repr)
            for table, _, _ in INDEX_TABLES
        }

    return store.read(read)


async def published(registry: Registry, jobs: int = 7, links: int = 5) -> str:
    session = await registry.open()
    await session.add_jobs(
        *(job(number, command=f"python s{number % 3}.py --of a{number % 2}") for number in range(jobs))
    )
    for number in range(jobs):
        first = 1000 - number * 10  # outputs have smaller digests than inputs
        await session.add_links(number, "inputs", *(link(first + n) for n in range(links)))
        await session.add_links(number, "outputs", *(link(first - 10 + n) for n in range(links)))
    return str((await session.finalize())["hash"])


@pytest.mark.parametrize(("jobs", "links"), [(1, 1), (2, 3), (3, 1000), (1000, 7)])
async def test_the_size_of_slices_changes_nothing(
    registry: Registry, store: Store, monkeypatch: pytest.MonkeyPatch, jobs: int, links: int
) -> None:
    await published(registry)
    index_all(store)
    whole = rows(store)
    assert len(whole["artifact_links"]) == 70
    assert len(whole["job_groups"]) == 3
    assert len(whole["group_jobs"]) == 7
    assert len(whole["group_edges"]) == 3
    monkeypatch.setattr(indexing, "SLICE_JOBS", jobs)
    monkeypatch.setattr(indexing, "SLICE_LINKS", links)
    monkeypatch.setattr(indexing, "SLICE_ARTIFACTS", links)
    monkeypatch.setattr(indexing, "SLICE_ROWS", links)
    store.write(lambda connection: connection.execute("UPDATE lineages SET index_phase = 0"))
    assert index_all(store) > 4
    assert rows(store) == whole


async def test_a_slice_is_bounded_whatever_the_lineage(registry: Registry, store: Store) -> None:
    most = []
    wide = [Planted("python wide.py", range(2500))]
    for number, jobs in enumerate(([Planted("python x.py", range(n, n + 5)) for n in range(250)], wide)):
        plant(store, number, jobs)
        slices = 0
        more = True
        while more:
            with counted(store) as steps:
                more = store.write(index_slice)
            most.append(steps.taken)
            slices += 1
        assert slices > 5
    assert max(most) < 300_000


async def test_a_slice_reads_as_often_whatever_it_holds(registry: Registry, store: Store) -> None:
    reads = []
    for number, jobs in enumerate((1, 30)):
        plant(store, number, [Planted(f"python x{n}.py", range(n, n + 5), (100 + n,)) for n in range(jobs)])
        statements: list[str] = []
        sqlite_of(store).set_trace_callback(statements.append)
        slices = index_all(store)
        sqlite_of(store).set_trace_callback(None)
        reads.append((slices, sum(statement.lstrip().startswith("SELECT") for statement in statements)))
    assert reads[0] == reads[1]
    assert reads[0][1] > 0


async def test_known_words_take_no_room_from_new_ones(
    registry: Registry, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What all paths have in common comes first in each slice."""
    monkeypatch.setitem(indexing.MAX_WORDS, "path", 10)
    monkeypatch.setattr(indexing, "SLICE_LINKS", 2)
    plant(store, 0, [Planted("python x.py", range(n, n + 2)) for n in range(20)])
    index_all(store)
    assert sum(kind == "path" for _graph, kind, *_ in rows(store)["words"]) == 10


async def test_more_words_than_a_statement_has_places_are_indexed(store: Store) -> None:
    """PostgreSQL takes 65,535 values in a statement, SQLite as few as 32,766, or here 999."""
    sqlite_of(store).setlimit(sqlite3.SQLITE_LIMIT_VARIABLE_NUMBER, 999)
    plant(store, 0, [Planted("x")])
    words = [Word("path", f"w{number:06}", "") for number in range(3000)]
    store.write(lineage_words.add_words, 1, "", words[::2], 4000)
    store.write(lineage_words.add_words, 1, "", words, 2900)
    kept = store.read(lambda db: [word for (word,) in db.execute("SELECT word FROM words ORDER BY word").fetchall()])
    assert kept == [word.word for word in (*words[:2800], *words[2800::2])]


async def test_a_new_lineage_does_not_wait_for_older_ones(registry: Registry, store: Store) -> None:
    for number in range(3):
        plant(store, number, [Planted("x", (number,))])
    store.write(index_slice)
    new = plant(store, 7, [Planted("y", (7,))])
    while store.write(index_slice):
        done = store.read(
            lambda connection: connection.execute("SELECT hash FROM lineages WHERE index_phase = 4").fetchall()
        )
        if done:
            break
    assert [row["hash"] for row in done] == [new]


async def test_a_lineage_that_cannot_be_indexed_holds_up_no_other(
    store: Store, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    plant(store, 0, [Planted("old", (0,))])
    broken = plant(store, 1, [Planted("broken", (1,))])
    jobs = indexing._jobs

    def fail(connection: Connection, lineage: lineage_index.UnfinishedIndex) -> str | None:
        if not repaired and any(
            job.command == "broken" for job in lineage_index.jobs_from(connection, lineage.graph_id, "", 1)
        ):
            raise ValueError("no such text")
        return jobs(connection, lineage)

    repaired = False
    monkeypatch.setattr(indexing, "_jobs", fail)

    async def write(operation: Operation[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        return store.write(operation, *args, **kwargs)

    class Waited(indexing.Changes):
        async def wait(self, seconds: float) -> None:
            nonlocal repaired
            done.append(store.read(unfinished))
            if repaired:
                tasks.cancel_scope.cancel()
            repaired = True

    def unfinished(connection: Connection) -> list[str]:
        return [row["hash"] for row in connection.execute("SELECT hash FROM lineages WHERE index_phase < 4").fetchall()]

    done: list[list[str]] = []
    monkeypatch.setattr(indexing, "DELAY_SECONDS", 0)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(indexing.index_forever, write, Waited())
    assert done == [[broken], []]
    assert caplog.text.count("cannot be indexed: no such text") == 1


async def test_a_full_disk_is_waited_for(store: Store) -> None:
    """It is no fault of the lineage, after which the next one would be tried at once."""
    plant(store, 0, [Planted(f"python x{number}.py", range(number, number + 50)) for number in range(40)])
    (pages,) = sqlite_of(store).execute("PRAGMA page_count").fetchone()
    sqlite_of(store).execute(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(StoreUnavailable, match="full"):
        index_all(store)


async def test_a_slice_that_another_process_did_is_undone(registry: Registry, store: Store) -> None:
    await published(registry)
    index_all(store)
    whole = rows(store)

    def late(connection: Connection) -> None:
        stale = lineage_index.UnfinishedIndex(1, "", None, None, lineage_index.JOBS, "elsewhere")
        assert not lineage_index.advance_index(connection, stale, lineage_index.EDGES, "")

    store.write(late)
    assert issubclass(IndexedElsewhere, Exception)
    assert rows(store) == whole


async def test_a_legacy_lineage_is_indexed_again_after_each_write(registry: Registry, store: Store) -> None:
    legacy = Legacy(registry, "1e" * 32)
    await legacy.open()
    await legacy.add_jobs(job(1))
    index_all(store)
    assert rows(store)["artifact_links"] == []
    await legacy.add_links(1, "outputs", link(1))
    await legacy.add_jobs(job(2))
    assert index_all(store) > 0
    assert len(rows(store)["artifact_links"]) == 1
    assert len(rows(store)["group_jobs"]) == 2
    assert index_all(store) == 0


async def test_labels_are_indexed_when_they_change_and_old_ones_are_forgotten(registry: Registry, store: Store) -> None:
    session = await registry.open()
    await session.add_jobs(job(1))
    lineage_hash = (await session.finalize())["hash"]

    async def label(**metadata: object) -> set[object]:
        body = {"labels": [{"entity_type": "dag", "session_hash": lineage_hash, "metadata": metadata}]}
        assert (await session.post("/labels/batch", body)).is_success
        index_all(store)
        return {row[2] for row in rows(store)["words"] if row[1] == "label"}

    assert await label(team="vision", nested={"stage": ["gold", 7]}) >= {"team", "vision", "stage", "gold"}
    assert {"silver", "vision"} & await label(team="silver") == {"silver"}


async def test_the_index_of_a_discarded_graph_goes_with_it(registry: Registry, store: Store) -> None:
    await published(registry)
    index_all(store)

    def discard(connection: Connection) -> None:
        (graph_id,) = connection.execute("SELECT graph_id FROM lineages").fetchone()
        connection.execute("DELETE FROM lineages")
        connection.execute("DELETE FROM sessions")
        discard_graph(connection, graph_id)

    store.write(discard)
    whole = len(rows(store)["artifact_links"])
    store.write(delete_discarded, 7)
    assert len(rows(store)["artifact_links"]) == whole - 7
    while store.write(delete_discarded, 7):
        pass
    assert not any(rows(store).values())


def test_groups_are_named_after_their_programs() -> None:
    assert {command: group_name(command) for command in (
        "python train.py --lr 0.1",
        "/usr/bin/python3 -u src/train.py",
        "python -m pkg.train --x",
        "env A=1 B=2 python x.py",
        "A=1 make all",
        "bash -c 'x'",
        "./run.sh 1",
        "cp a b",
        "",
    )} == {
        "python train.py --lr 0.1": "python train.py",
        "/usr/bin/python3 -u src/train.py": "python3 train.py",
        "python -m pkg.train --x": "python -m pkg.train",
        "env A=1 B=2 python x.py": "python x.py",
        "A=1 make all": "make",
        "bash -c 'x'": "bash",
        "./run.sh 1": "run.sh",
        "cp a b": "cp",
        "": "(no command)",
    }  # fmt: skip
    assert len(group_name("x" * 10_000)) <= 80


def test_words_are_found_by_their_parts_and_beginnings() -> None:
    words = words_of("python /data/Train_v2.parquet --lr=0.1")
    assert {"python", "data", "train_v2.parquet", "train", "v2", "parquet", "lr"} <= set(words)
    assert sought_words("Data/Train_v2.par x") == ["data", "train_v2.par"]


def test_numbers_are_no_words() -> None:
    """The jobs of a large lineage differ by them. Versions and dates are words."""
    numbers = "100 0.00123 1e-05 -0.3 +1.5E+10 7."
    assert words_of(f"lr {numbers}") == ["lr"]
    assert words_of("v1.5 1.2.3 2026-11-29 3x") == ["v1.5", "v1", "1.2.3", "2026-11-29", "3x"]
    assert sought_words(f"lr {numbers}") == ["lr"]
    assert sought_words("0.5") == ["0.5"]
    assert len(words_of(" ".join(f"word{number}" for number in range(1000)))) <= 40
    assert all(len(word) <= 64 for word in words_of("x" * 1000))


async def test_a_label_with_a_nul_is_indexed_on_every_engine(
    registry: Registry, postgres: Postgres, tmp_path: Path
) -> None:
    """PostgreSQL stores no NUL in a text; the error came again for ever, and no lineage was indexed any more."""
    with closing(Store.open(tmp_path, postgres.new_database())) as store:
        for each in (registry, make_registry(store)):
            session = await each.open()
            await session.add_jobs(job(1))
            lineage_hash = (await session.finalize())["hash"]
            label = {"entity_type": "dag", "session_hash": lineage_hash, "metadata": {"a\0nul": "seven\0eight"}}
            succeeded(await session.post("/labels/batch", {"labels": [label]}))
            index_all(each.store)
            for word in ("nul", "seven", "eight", "seven\0eight"):
                found = each.store.read(search, word, HIT_KINDS, Reader(), None)
                assert [hit.entry.hash for hit in found.hits] == [lineage_hash]


def test_lineages_of_earlier_releases_get_their_space_and_are_indexed() -> None:
    connection = connect(":memory:", timeout=0)
    migrate(connection, MIGRATIONS[:BEFORE_INDEX])
    scopes = {
        "": ("public", "alice", None, None),
        "user alice": ("private", "alice", None, None),
        "owner acme": ("private", "alice", "acme", None),
        "project secret": ("private", "alice", "acme", "secret"),
    }
    for number, scope in enumerate(scopes.values()):
        connection.execute("INSERT INTO graphs (id) VALUES (?)", (number,))
        connection.execute(
            "INSERT INTO lineages (hash, graph_id, creator, published_at, visibility, owner, scope_owner,"
            " scope_project)"
            " VALUES (?, ?, '', 0, ?, ?, ?, ?)",
            (str(number), number, *scope),
        )
    migrate(connection, MIGRATIONS)
    rows = connection.execute("SELECT * FROM lineages ORDER BY hash").fetchall()
    assert [row["space"] for row in rows] == list(scopes)
    assert [row["holder"] for row in rows] == ["alice", "alice", "acme", "acme"]
    for row, (visibility, owner, scope_owner, project) in zip(rows, scopes.values(), strict=True):
        assert row["space"] == space_of(owner, LineageScope(visibility, scope_owner, project))
    while index_slice(connection):
        pass
    assert {row["index_phase"] for row in connection.execute("SELECT * FROM lineages")} == {lineage_index.DONE}
    connection.close()
