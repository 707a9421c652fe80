"""The remaining time: whenever it is shown, it is within a factor of two of what it turns out to be."""

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import anyio
import pytest

from roar_publisher.glaas.replies import BatchReply
from roar_publisher.publishing.estimate import Estimate
from roar_publisher.publishing.meter import Meter
from roar_publisher.report import ObjectsPlanned, ObjectStored, Planned, Report, Sent
from roar_publisher.state.units import Kind, Unit
from tests.support import virtual
from tests.support.cli.reports import HandClock
from tests.support.engine.drains import EVERY_KIND, Drain
from tests.support.glaas.scripted import Calls, Script
from tests.support.lineages import Lineage, SampleJob, cut, digest
from tests.support.sampling import sample
from tests.unit.net.test_connection_capacity import SimulatedConnection

SLACK_SECONDS = 1.0
"""The last second is not judged."""
LOOK_SECONDS = 0.1


LINES = sample(
    "lines",
    [
        (*line, jitter, batch_requests)
        for line in ((1, 0.25), (4, 0.25), (10_000, 0.25), (2, 1.0))
        for jitter in (0.0, 1.0)
        for batch_requests in (1, 10)
    ],
    0,
    lambda line: line[:2],
    lambda line: line[2:],
)
"""(requests at once, seconds each, jitter, how many requests' time a batch takes)."""


@dataclass
class Shown:
    """Every estimate that was shown: when, and what it said.  ended_at: the truth."""

    estimates: list[tuple[float, float]] = field(default_factory=list)
    looks: int = 0
    ended_at: float = 0.0

    def check(self) -> None:
        for at, said in self.estimates:
            truth = self.ended_at - at
            right = truth / 2 <= said <= truth * 2 or abs(said - truth) <= SLACK_SECONDS
            assert right, f"at {at:.1f} s it said {said:.1f} s, and it took {truth:.1f} s"

    @property
    def share(self) -> float:
        """For how much of the time there was an estimate."""
        return len(self.estimates) / self.looks


def lineage(jobs: int) -> Lineage:
    """Jobs of five inputs and five outputs each; batches of 64 items, and links of a job in one request."""
    made = []
    for step in range(1, jobs + 1):
        inputs = {digest(f"in {step} {n}"): f"in/{step}-{n}" for n in range(5)}
        outputs = {digest(f"out {step} {n}"): f"out/{step}-{n}" for n in range(5)}
        made.append(SampleJob(f"job{step:05d}", step, inputs, outputs))
    return cut(made, batch=lambda: 64, labels=False)


def publish(tmp_path: Path, jobs: int, line: Callable[[], SimulatedConnection], *, batch_requests: int = 1) -> Shown:
    """Stage a lineage over a line.  batch_requests: how many requests' time a batch of jobs or artifacts takes."""
    shown = Shown()

    async def scenario() -> None:
        calls = Calls(Script([]), transport=line(), most=64)
        drain = Drain(tmp_path / "journal.db", lineage(jobs))
        meter = Meter(anyio.current_time)
        tally = drain.journal.units.tally()
        meter.take(Planned.of({kind: tally[kind] for kind in EVERY_KIND if kind in tally}))

        async def deliver(unit: Unit) -> None:
            links = unit.kind in (Kind.INPUTS, Kind.OUTPUTS)
            for _ in range(1 if links else batch_requests):
                await calls.client.call("POST", "/thing", b"x" if links else b"x" * 90_000, expect=BatchReply)

        def take(report: Report) -> None:
            meter.take(report)

        async def look() -> None:
            while True:
                shown.looks += 1
                if (seconds := meter.seconds_left) is not None:
                    shown.estimates.append((anyio.current_time(), seconds))
                await anyio.sleep(LOOK_SECONDS)

        drain.report = take
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(look)
            await drain.run(deliver, most_requests=64)
            tasks.cancel_scope.cancel()
        shown.ended_at = anyio.current_time()

    virtual.run(scenario)
    return shown


@pytest.mark.parametrize(("capacity", "seconds", "jitter", "batch_requests"), LINES)
def test_300_jobs_over_a_line_of_250_ms_a_piece(
    tmp_path: Path, capacity: int, seconds: float, jitter: float, batch_requests: int
) -> None:
    """The run of the report: "6 s left", and it took more than five minutes."""
    shown = publish(
        tmp_path, 300, lambda: SimulatedConnection(capacity, seconds, jitter), batch_requests=batch_requests
    )
    shown.check()
    if shown.ended_at > 60 and batch_requests == 1:
        assert shown.share > 0.5, "a long publish has an estimate"


def test_a_publish_of_a_few_seconds_claims_nothing(tmp_path: Path) -> None:
    shown = publish(tmp_path, 30, lambda: SimulatedConnection(64, 0.05))
    assert shown.ended_at < 5
    assert shown.estimates == []


@pytest.mark.parametrize("seed", sample("estimates", range(12), 3))
def test_a_line_of_any_capacity_is_never_told_wrongly(tmp_path: Path, seed: int) -> None:
    rng = random.Random(seed)
    capacity, seconds = rng.choice([1, 2, 5, 20, 100]), rng.uniform(0.02, 0.6)
    line = SimulatedConnection(capacity, seconds, rng.choice([0.0, 0.3, 1.0]), rng)
    publish(tmp_path, rng.randint(20, 200), lambda: line, batch_requests=rng.choice([1, 3, 8])).check()


# ------------------------------------------------------------------------------------------------- the estimate itself


def watched(steps: list[tuple[float, str, float]], left: dict[str, float]) -> Shown:
    """Take steps of (seconds, sort, amount) one after the other, and look at the estimate all the time."""
    shown, now, looked_at = Shown(), 0.0, 0.0
    estimate = Estimate(now, left)
    for seconds, sort, amount in steps:
        while looked_at < now + seconds:
            shown.looks += 1
            if (said := estimate.seconds_left(looked_at)) is not None:
                shown.estimates.append((looked_at, said))
            looked_at += LOOK_SECONDS
        now += seconds
        estimate.advance(now, sort, amount)
    shown.ended_at = now
    return shown


def test_steady_work_is_estimated_after_a_few_seconds() -> None:
    shown = watched([(0.1, "links", 1)] * 1_000, {"links": 1_000})
    shown.check()
    assert shown.share > 0.7


def test_work_of_another_sort_than_what_is_left_says_nothing() -> None:
    batches = [(2.0, "nodes", 1.0)] * 30
    shown = watched([*batches, *[(0.05, "links", 1.0)] * 2_000], {"nodes": 30, "links": 2_000})
    shown.check()
    assert [at for at, _ in shown.estimates if at < 60] == []
    assert shown.share > 0.3


def test_while_it_gets_faster_nothing_is_claimed() -> None:
    faster = [(1.0 / (1 + n / 20), "links", 1.0) for n in range(600)]
    watched(faster, {"links": 600}).check()


def test_while_nothing_is_done_nothing_is_claimed() -> None:
    steps = [*[(0.1, "links", 1.0)] * 200, (120.0, "links", 1.0), *[(0.1, "links", 1.0)] * 799]
    shown = watched(steps, {"links": 1_000})
    assert [at for at, _ in shown.estimates if 40 < at < 140] == []
    assert [at for at, _ in shown.estimates if at > 170]


def test_more_work_than_was_planned_ends_in_no_estimate() -> None:
    shown = watched([(0.1, "links", 1.0)] * 200, {"links": 100})
    assert [at for at, _ in shown.estimates if at > 10] == []


def test_files_count_by_their_bytes_and_by_what_each_takes_besides() -> None:
    """2,000 small files, then one large one: 20 ms each, and 10 MB a second."""
    clock, shown = HandClock(), Shown()
    meter = Meter(clock)
    meter.take(ObjectsPlanned(2_001, 0, 2_000 * 1_000 + 10**9, 0))

    def step(seconds: float, *reports: Report) -> None:
        clock.sleep(seconds)
        for report in reports:
            meter.take(report)
        if (said := meter.seconds_left) is not None:
            shown.estimates.append((clock(), said))

    for number in range(2_000):
        step(0.026, Sent(str(number), 1_000), ObjectStored(str(number), 1_000, sent=True))
    for _ in range(1_000):
        step(0.1, Sent("large", 10**6))
    step(0.0, ObjectStored("large", 10**9, sent=True))
    shown.ended_at = clock()
    shown.check()
    assert len(shown.estimates) > 1_000
