"""Steps with very many jobs and jobs with very many links: hashed right, in bounded pieces, with others in between."""

import os
import random
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

import pytest

from roar_publisher.glaas import batches
from roar_publisher.lineage.canonical import LineageHasher, canonical_frame, canonical_job, canonical_page
from roar_publisher.registry.data import Store
from roar_publisher.registry.lineages import huge_jobs, slices, staging, wide_steps
from roar_publisher.registry.store import canonical_texts, sorting
from roar_publisher.registry.store.errors import StoreUnavailable
from roar_publisher.registry.store.graphs import new_graph
from roar_publisher.registry.store.jobs import LinkKind
from roar_publisher.registry.store.sorting import Sort
from tests.support.registry.harness import GIT, Session, digest, job, link, make_registry, refused, uid

T = TypeVar("T")
SEEDS = range(20)
SMALL = {"SLICE_JOBS": 3, "SLICE_BYTES": 900, "HUGE_BYTES": 600, "PIECE_BYTES": 150, "COMPARED": 40}


Staged = tuple[batches.Job, list[batches.Link], list[batches.Link]]
"""A job with its inputs and outputs."""


@pytest.fixture
def small_slices(monkeypatch: pytest.MonkeyPatch) -> None:
    """Limits that a few jobs exceed."""
    for name, value in SMALL.items():
        for module in (slices, wide_steps, huge_jobs):
            monkeypatch.setattr(module, name, value, raising=False)


def random_jobs(rng: random.Random) -> list[Staged]:
    """Jobs of few steps, many of them alike at first; some with more links than one piece holds."""
    shared = [batches.Link(hash=digest(n), path=f"/shared/{n}") for n in range(12)]
    jobs = []
    for number in range(rng.randrange(1, 30)):
        alike = batches.Job(
            command=rng.choice(["python train.py", "python train.py é", 'say "x"']),
            job_uid=uid(number),
            step_number=rng.choice([None, 1, 1, 1, 2, 10]),
            parent_job_uid=rng.choice([None, uid(0)]),
            metadata=rng.choice([None, '{"b": 1.0, "a": [NaN]}', f'{{"seed": {rng.randrange(3)}}}']),
        )
        inputs = rng.choice([[], shared[:1], shared, shared, shared[:11]])
        outputs = rng.choice([[], shared[:2], [batches.Link(hash=digest(100 + number), path=f"/out/{number}")]])
        jobs.append((alike, list(inputs), list(outputs)))
    return jobs


def reference(
    jobs: list[Staged],
) -> tuple[list[tuple[int, str]], str]:
    """The jobs' steps and texts in the order of the hash, and the hash: all of it in memory, as protocol.md §6 says."""
    steps = {each.job_uid: each.step_number for each, _, _ in jobs}
    texts = []
    for each, inputs, outputs in jobs:
        text = canonical_job(
            command=each.command,
            job_type=each.job_type,
            step_number=each.step_number,
            parent_step_number=steps[each.parent_job_uid] if each.parent_job_uid else None,
            inputs=[(one.hash, one.path) for one in inputs],
            outputs=[(one.hash, one.path) for one in outputs],
            metadata=each.metadata,
        )
        texts.append((-1 if each.step_number is None else each.step_number, text))
    hasher = LineageHasher(None, None, None, ["x"])
    for _, text in sorted(texts):
        hasher.add(text)
    return sorted(texts), hasher.digests()["x"]


def stage(store: Store, jobs: list[Staged]) -> int:
    graph_id = store.write(new_graph)
    for each, inputs, outputs in jobs:
        store.write(staging.add_jobs, graph_id, [each])
        store.write(staging.add_links, graph_id, each.job_uid, LinkKind.INPUTS, inputs)
        store.write(staging.add_links, graph_id, each.job_uid, LinkKind.OUTPUTS, outputs)
    return graph_id


def pieces_of(store: Store, graph_id: int) -> Iterator[list[slices.TextPart]]:
    """The pieces of work, each in a transaction of its own, as the registry takes them."""
    parts = store.read(wide_steps.parts_in_order, graph_id)
    while (piece := store.read(lambda _connection: slices.advance(parts))) is not None:
        yield piece


@pytest.mark.parametrize("seed", SEEDS)
def test_slices_give_the_hash_of_the_whole(store: Store, small_slices: None, seed: int) -> None:
    jobs = random_jobs(random.Random(seed))
    in_order, expected = reference(jobs)
    graph_id = stage(store, jobs)
    hasher = LineageHasher(None, None, None, ["x"])
    texts = [""]
    for piece in pieces_of(store, graph_id):
        for part in piece:
            hasher.add(part.text, last=part.last)
            texts[-1] += part.text
            texts += [""] if part.last else []
    assert texts == [*(text for _, text in in_order), ""]
    assert hasher.digests()["x"] == expected


@pytest.mark.parametrize("seed", SEEDS)
def test_every_slice_is_small(store: Store, small_slices: None, seed: int) -> None:
    graph_id = stage(store, random_jobs(random.Random(seed)))
    for piece in pieces_of(store, graph_id):
        assert len(piece) <= SMALL["SLICE_JOBS"]
        # One job more than fits, or one piece of a huge one; JSON makes a text longer than its words.
        assert sum(len(part.text) for part in piece) <= 3 * (SMALL["SLICE_BYTES"] + SMALL["HUGE_BYTES"])


def test_the_usual_limits_split_nothing_that_is_small(store: Store) -> None:
    jobs = random_jobs(random.Random(1))
    assert [len(piece) for piece in pieces_of(store, stage(store, jobs))] == [len(jobs)]


@pytest.mark.parametrize("pages", [[], [3], [1, 1, 1], [2, 0, 1]])
def test_a_text_in_pieces_is_the_text(pages: list[int]) -> None:
    links = [(digest(n), f" /a/{n} ") for n in range(sum(pages))]
    paged = [links[sum(pages[:n]) : sum(pages[: n + 1])] for n in range(len(pages))]
    job = {"command": "é", "job_type": None, "step_number": 3, "parent_step_number": None, "metadata": '{"b":1,"a":2}'}
    whole = canonical_job(inputs=links, outputs=links, **job)  # type: ignore[arg-type]
    head, middle, tail = canonical_frame(**job)  # type: ignore[arg-type]
    text = ",".join(canonical_page(page) for page in paged if page)
    assert f"{head}{text}{middle}{text}{tail}" == whole


def test_huge_jobs_with_equal_beginnings_do_not_fill_the_memory(store: Store) -> None:
    """Thousands of them fit into what one address may write in a day; of each a piece of its text was kept."""
    links = [batches.Link(hash=digest(number), path="\u4e00" * 20_000) for number in range(14)]
    same = (batches.Job(command="same", job_uid=uid(number), step_number=1) for number in range(40))
    graph_id = stage(store, [(each, links, []) for each in same])
    tracemalloc.start()
    try:
        for piece in pieces_of(store, graph_id):
            del piece
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 5_000_000


def test_sorted_texts_are_dropped_when_hashing_stops_early(
    store: Store, small_slices: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    left: list[int] = []

    class WatchedSort(Sort):
        def close(self) -> None:
            left.append(len(list(self.first(100))))
            super().close()

    monkeypatch.setattr(wide_steps, "Sort", WatchedSort)
    graph_id = stage(store, [(batches.Job(command=f"c{n}", job_uid=uid(n), step_number=1), [], []) for n in range(20)])
    parts = store.read(wide_steps.parts_in_order, graph_id)
    store.read(lambda _connection: slices.advance(parts))
    assert left == []
    parts.close()
    assert len(left) == 1
    assert left[0] > 0


@pytest.mark.parametrize("engine", ["sqlite", "postgresql"])
def test_texts_are_sorted_in_the_folder_of_the_data(
    request: pytest.FixtureRequest, tmp_path: Path, small_slices: None, monkeypatch: pytest.MonkeyPatch, engine: str
) -> None:
    """In a container, it may be the only folder that can be written."""
    database = None
    if engine == "postgresql":
        database = request.getfixturevalue("database")
        request.getfixturevalue("postgres").clear(database)
    data = tmp_path / "data"
    store = Store.open(data, database)
    names = sorted(path.name for path in data.iterdir())
    monkeypatch.setattr(sorting, "CACHE_KIB", 1)
    large = [batches.Job(command=f"{n:04}" * 500, job_uid=uid(n), step_number=1) for n in range(50)]
    parts = store.read(wide_steps.parts_in_order, stage(store, [(each, [], []) for each in large]))
    sorted_files: set[str] = set()
    while store.read(lambda _connection: slices.advance(parts)) is not None:
        sorted_files |= {name for name in open_files() if name.startswith(f"{data}/.sort-")}
        assert sorted(path.name for path in data.iterdir()) == names
    assert len(sorted_files) == 1
    assert sorted_files.isdisjoint(open_files())
    store.close()


def open_files() -> Iterator[str]:
    """The files of this process."""
    for number in os.listdir("/proc/self/fd"):
        with suppress(FileNotFoundError):  # the listing's own
            yield os.readlink(f"/proc/self/fd/{number}")


def test_a_folder_in_which_nothing_can_be_sorted_is_a_store_that_cannot_write_now(tmp_path: Path) -> None:
    with pytest.raises(StoreUnavailable, match="No such file"):
        Sort(tmp_path / "gone")


def test_a_sort_that_finds_no_room_is_a_store_that_cannot_write_now() -> None:
    """Beside PostgreSQL, too, so a finalize gets a 503 and not a 500."""
    sort = Sort()
    sort._file.execute("PRAGMA max_page_count = 2")
    with pytest.raises(StoreUnavailable, match="full"):
        sort.add(("x" * 10_000, uid(number)) for number in range(100))
    sort.close()


@pytest.mark.anyio
async def test_other_requests_are_answered_while_a_wide_step_is_hashed(
    anyio_backend: str, store: Store, small_slices: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    longest = 0
    pieces = 0

    async def run(call: Callable[[], T], /) -> T:
        # Between any two calls another request has its turn.
        nonlocal longest, pieces
        hashed.clear()
        result = call()
        longest, pieces = max(longest, len(hashed)), pieces + bool(hashed)
        return result

    hashed: list[str] = []
    registry = make_registry(store, run=run)
    monkeypatch.setattr(canonical_texts, "canonical_job", lambda **_: hashed.append("") or '{"fake":1}')  # type: ignore[func-returns-value]
    async with registry.client:
        session = await registry.open()
        await session.add_jobs(*(job(n, step_number=1) for n in range(60)))
        await session.finalize()
    assert longest <= SMALL["SLICE_JOBS"]
    assert pieces >= 60 / SMALL["SLICE_JOBS"]


@pytest.mark.anyio
async def test_counts_that_differ_are_refused_before_anything_is_hashed(
    anyio_backend: str, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    hashed: list[str] = []
    monkeypatch.setattr(canonical_texts, "canonical_job", lambda **_: hashed.append("") or "{}")  # type: ignore[func-returns-value]
    registry = make_registry(store)
    async with registry.client:
        session = await registry.open()
        await session.add_jobs(*(job(n, step_number=1) for n in range(30)))
        response = await session.post("/finalize", {**GIT, "expected": {"jobs": 31}})
    assert "differ" in refused(response, 400)
    assert hashed == []


@pytest.mark.anyio
async def test_a_huge_lineage_published_again_pairs_its_uids(
    anyio_backend: str, store: Store, small_slices: None
) -> None:
    """Two stagings of one wide step under other uids: a label finds its job by either."""
    registry = make_registry(store)

    async def staged(first_uid: int) -> Session:
        session = await registry.open()
        numbers = list(range(12))
        await session.add_jobs(
            *(job(first_uid + n, step_number=1, command=f"c{n}", timestamp=None, metadata=None) for n in numbers)
        )
        await session.add_links(first_uid + 5, "inputs", *(link(n) for n in range(20)))
        return session

    async with registry.client:
        first, second = await staged(0), await staged(100)
        receipt = await first.finalize()
        assert (await second.finalize())["hash"] == receipt["hash"]
    pairs = store.read(lambda db: db.execute("SELECT uid, job_uid FROM job_aliases ORDER BY uid").fetchall())
    assert [tuple(pair) for pair in pairs] == [(uid(100 + n), uid(n)) for n in range(12)]
