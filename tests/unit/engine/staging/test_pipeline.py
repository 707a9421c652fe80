"""The pipeline: everything is sent, in the right order, as much at once as allowed, and what arrived is kept."""

import json
import random
import sqlite3
from pathlib import Path

import anyio
import pytest
from msgspec.structs import replace

from roar_publisher.engine.staging import pipeline
from roar_publisher.glaas.client import Refused
from roar_publisher.report import Advanced
from roar_publisher.state.errors import Interrupted, LocalProblem, Rejected, Transient
from roar_publisher.state.units import Kind, Unit
from tests.support import virtual
from tests.support.engine.drains import Drain
from tests.support.lineages import chain, cut, random_jobs, random_lineage
from tests.support.sampling import sample


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.db"


def large(count: int, *, items: int = 8) -> list[Unit]:
    """Artifact batches of some items each."""
    body = json.dumps([f"item {n:04d}" for n in range(items)]).encode()
    return [Unit(seq, Kind.ARTIFACTS, None, items, 0, body) for seq in range(1, count + 1)]


@pytest.mark.parametrize("seed", sample("pipelines", range(40), 12))
def test_no_unit_goes_before_the_nodes_that_it_waits_for(seed: int, path: Path) -> None:
    rng = random.Random(seed)
    drain = Drain(path, random_lineage(rng))

    async def deliver(unit: Unit) -> None:
        assert not [seq for seq in drain.missing_nodes if seq <= unit.after], f"{unit} went too early"
        await anyio.sleep(rng.uniform(0, 1))
        drain.delivered.append(unit)

    async def scenario() -> None:
        await drain.run(deliver, most_requests=rng.randint(1, 9))

    virtual.run(scenario)
    staged = [unit for unit in drain.units if unit.kind is not Kind.LABELS]
    assert sorted(drain.delivered, key=lambda unit: unit.seq) == staged
    assert drain.acknowledged == {(unit.seq, unit.part) for unit in staged}


def test_as_many_at_once_as_allowed_and_no_more(path: Path) -> None:
    drain = Drain(path, units=large(40))
    seen: list[int] = []

    async def deliver(unit: Unit) -> None:
        seen.append(drain.in_flight)
        await drain.take(unit)

    async def scenario() -> None:
        await drain.run(deliver, most_requests=5)
        assert anyio.current_time() < 40 * 0.05 / 5 + 0.5

    virtual.run(scenario)
    assert max(seen) == 5


def test_the_bytes_in_flight_are_bounded(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is in flight is sent again after a crash."""
    units = large(40)
    monkeypatch.setattr(pipeline, "BYTES_IN_FLIGHT", 3 * len(units[0].body) - 1)
    drain = Drain(path, units=units)
    seen: list[int] = []

    async def deliver(unit: Unit) -> None:
        seen.append(drain.in_flight)
        await drain.take(unit)

    virtual.run(lambda: drain.run(deliver, most_requests=16))
    assert (max(seen), len(drain.delivered)) == (3, 40)


@pytest.mark.parametrize("page_bytes", [5_000, pipeline.PAGE_BYTES])
def test_memory_holds_a_window_of_the_plan_and_not_the_plan(
    page_bytes: int, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pipeline, "PAGE_BYTES", page_bytes)
    units = large(3000, items=1)
    drain = Drain(path, units=units)
    most = 0

    async def deliver(unit: Unit) -> None:
        nonlocal most
        assert drain.pipeline is not None
        most = max(most, len(drain.pipeline._window))
        await drain.take(unit)

    virtual.run(lambda: drain.run(deliver))
    assert 0 < most <= min(pipeline.PAGE_UNITS, page_bytes / len(units[0].body)) * 3 / 2
    assert len(drain.delivered) == 3000


def test_what_is_reported_adds_up(path: Path) -> None:
    drain = Drain(path, cut(chain(9)))
    virtual.run(drain.run)
    advanced = [report for report in drain.reports if isinstance(report, Advanced)]
    assert sum(report.items for report in advanced) == sum(unit.items for unit in drain.delivered)


class Picky:
    """A server that answers 413 to bodies past a limit."""

    def __init__(self, drain: Drain, limit: int) -> None:
        self.drain, self.limit, self.refused = drain, limit, 0

    async def __call__(self, unit: Unit) -> None:
        await anyio.sleep(0.05)
        if len(unit.body) > self.limit:
            self.refused += 1
            raise Refused("too large", status=413)
        self.drain.delivered.append(unit)


def delivered_items(drain: Drain) -> list[str]:
    return [f"{unit.seq}/{item}" for unit in drain.delivered for item in json.loads(unit.body)]


@pytest.mark.parametrize("limit", [14, 30, 60, 1000])
@pytest.mark.parametrize("page_bytes", [1, 300, pipeline.PAGE_BYTES])
def test_too_large_units_are_halved_until_they_fit_and_nothing_goes_twice(
    limit: int, page_bytes: int, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pipeline, "PAGE_BYTES", page_bytes)
    drain = Drain(path, units=large(30))
    virtual.run(lambda: drain.run(Picky(drain, limit)))
    items = delivered_items(drain)
    assert len(items) == len(set(items)) == 30 * 8
    assert all(len(unit.body) <= limit for unit in drain.delivered)


def test_links_wait_for_every_part_of_a_node_that_was_halved(path: Path) -> None:
    lineage = cut(chain(12), batch=lambda: 6)
    drain = Drain(path, lineage)
    picky = Picky(drain, 500)
    wanted = {item["job_uid"] for unit in drain.units if unit.kind is Kind.JOBS for item in json.loads(unit.body)}

    async def deliver(unit: Unit) -> None:
        if unit.kind is Kind.INPUTS:
            sent = [json.loads(u.body) for u in drain.delivered if u.kind is Kind.JOBS]
            assert {job["job_uid"] for jobs in sent for job in jobs} == wanted
        await picky(unit)

    virtual.run(lambda: drain.run(deliver))
    assert picky.refused


def test_what_was_too_large_once_is_not_tried_again(path: Path) -> None:
    drain = Drain(path, units=large(50))
    picky = Picky(drain, 60)

    async def scenario() -> None:
        await drain.run(picky, most_requests=1)

    virtual.run(scenario)
    assert picky.refused == 1


def test_the_smallest_body_that_was_too_large_counts(path: Path) -> None:
    """The refusals of requests that ran together arrive in any order."""
    small, big = large(1)[0], large(1, items=16)[0]
    units = [replace(small, seq=1), replace(big, seq=2), *(replace(small, seq=seq) for seq in range(3, 9))]
    drain = Drain(path, units=units)
    whole: list[int] = []

    async def deliver(unit: Unit) -> None:
        await anyio.sleep(unit.items / 100)  # the larger one is refused later
        if unit.items >= small.items:
            whole.append(unit.seq)
            raise Refused("too large", status=413)
        drain.delivered.append(unit)

    virtual.run(lambda: drain.run(deliver, most_requests=2))
    assert [seq for seq in whole if seq > 2] == [], "units of that size are halved before they are sent"
    assert len(delivered_items(drain)) == len(set(delivered_items(drain))) == 7 * 8 + 16


def test_a_single_item_that_is_too_large_is_rejected(path: Path) -> None:
    body = b'[{"job_uid":"j","step_number":7,"command":"python train.py"}]'
    drain = Drain(path, units=[Unit(1, Kind.JOBS, None, 1, 0, body)])
    with pytest.raises(Rejected, match=rf"too large for the registry: step 7 \(python train.py\): {len(body)} bytes"):
        virtual.run(lambda: drain.run(Picky(drain, 3)))


def test_halves_survive_and_the_next_run_sends_only_what_is_missing(path: Path) -> None:
    drain = Drain(path, units=large(4))
    picky = Picky(drain, 60)

    async def fail_later(unit: Unit) -> None:
        if len(drain.delivered) >= 3:
            raise Transient("gone")
        await picky(unit)

    with pytest.raises(Transient):
        virtual.run(lambda: drain.run(fail_later, most_requests=1))
    assert len(drain.acknowledged) == 3
    virtual.run(lambda: drain.run(picky))
    items = delivered_items(drain)
    assert len(items) == len(set(items)) == 4 * 8


def test_asked_to_stop_it_finishes_what_is_under_way_and_keeps_it(path: Path) -> None:
    drain = Drain(path, units=large(40))

    async def scenario() -> None:
        async with anyio.create_task_group() as tasks:

            async def stop_soon() -> None:
                await anyio.sleep(0.12)
                drain.stop.set()

            tasks.start_soon(stop_soon)
            try:
                await drain.run(most_requests=5)
            except Interrupted:
                return
            raise AssertionError("it was not interrupted")

    virtual.run(scenario)
    assert len(drain.delivered) == 15, "three rounds of five, none begun after the stop"
    assert len(drain.acknowledged) == 15


def test_the_first_failure_ends_it_and_what_arrived_is_kept(path: Path) -> None:
    drain = Drain(path, units=large(40))

    async def deliver(unit: Unit) -> None:
        if unit.seq == 20:
            raise Rejected("the first")
        if unit.seq > 20:
            await anyio.sleep_forever()
        await drain.take(unit)

    with pytest.raises(Rejected, match="the first"):
        virtual.run(lambda: drain.run(deliver))
    assert drain.acknowledged == {(unit.seq, 0) for unit in drain.delivered}
    assert len(drain.delivered) >= 8


def test_cancelled_it_keeps_every_acknowledgement(path: Path) -> None:
    drain = Drain(path, units=large(40))

    async def scenario() -> None:
        with anyio.move_on_after(0.17):
            await drain.run(most_requests=5)

    virtual.run(scenario)
    assert len(drain.delivered) == 15
    assert drain.acknowledged == {(unit.seq, 0) for unit in drain.delivered}


@pytest.mark.parametrize("call", ["pending", "acknowledge", "split", "unacknowledged_nodes"])
def test_a_journal_that_fails_is_a_local_problem_and_nothing_else(
    call: str, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drain = Drain(path, units=large(40))

    def fail(*_: object, **__: object) -> None:
        with drain.journal.translated():
            raise sqlite3.OperationalError("disk I/O error")

    monkeypatch.setattr(drain.journal.units, call, fail)
    with pytest.raises(LocalProblem, match="disk I/O error"):
        virtual.run(lambda: drain.run(Picky(drain, 60)))


def test_an_empty_plan_is_drained_at_once(path: Path) -> None:
    drain = Drain(path, units=[])
    virtual.run(drain.run)
    assert drain.delivered == []


def test_only_the_kinds_asked_for_are_sent(path: Path) -> None:
    drain = Drain(path, cut(random_jobs(random.Random(5))))
    virtual.run(drain.run)
    assert Kind.LABELS not in {unit.kind for unit in drain.delivered}
    assert drain.journal.units.tally()[Kind.LABELS].acked_units == 0
