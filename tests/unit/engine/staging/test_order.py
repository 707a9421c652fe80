"""Watermark and window against a naive model, over random plans."""

import random

import pytest

from roar_publisher.engine.staging.order import Watermark, Window
from roar_publisher.state.units import NODES, Kind, Unit


def unit(seq: int, kind: Kind, after: int, part: int = 0) -> Unit:
    return Unit(seq, kind, None, 2, after, b"[1,2]", part)


def random_plan(rng: random.Random) -> list[Unit]:
    """Nodes first, then links; every `after` lies before its unit and among the nodes."""
    nodes = rng.randint(1, 12)
    plan = [unit(seq, rng.choice(sorted(NODES)), rng.randint(0, seq - 1)) for seq in range(1, nodes + 1)]
    links = rng.randint(0, 20)
    return plan + [unit(nodes + n, Kind.INPUTS, rng.randint(0, nodes)) for n in range(1, links + 1)]


class Model:
    """The rule itself, with sets: a unit may go when every node part up to its `after` is acknowledged."""

    def __init__(self, plan: list[Unit]) -> None:
        self.missing = [(u.seq, u.part) for u in plan if u.kind in NODES]

    def may_go(self, unit: Unit) -> bool:
        return all(seq > unit.after for seq, _ in self.missing)


@pytest.mark.parametrize("seed", range(200))
def test_units_go_exactly_when_the_rule_lets_them(seed: int) -> None:
    rng = random.Random(seed)
    plan = random_plan(rng)
    model, window = Model(plan), Window()
    watermark = Watermark(seq for seq, _ in model.missing)
    fed = 0
    waiting: list[Unit] = []
    in_flight: list[Unit] = []
    next_part = 1000
    while fed < len(plan) or len(window) or in_flight:
        action = rng.random()
        if action < 0.3 and fed < len(plan):
            page = plan[fed : fed + rng.randint(1, 5)]
            window.extend(page)
            waiting += page
            fed += len(page)
        elif action < 0.7:
            ready = [u for u in waiting if model.may_go(u)]
            taken = window.take(watermark.level)
            assert taken == (ready[0] if ready else None)
            assert taken is not None or fed < len(plan) or in_flight or not waiting, "nothing would ever go on"
            if taken:
                in_flight.append(taken)
                waiting.remove(taken)
        elif in_flight:
            sent = in_flight.pop(rng.randrange(len(in_flight)))
            if rng.random() < 0.2:  # the server found it too large
                watermark.split(sent)
                half = unit(sent.seq, sent.kind, sent.after, next_part)
                next_part += 1
                in_flight += [sent, half]
                model.missing += [(half.seq, half.part)] if half.kind in NODES else []
            else:
                watermark.acknowledged(sent)
                model.missing = [pair for pair in model.missing if pair != (sent.seq, sent.part)]
    assert watermark.level == float("inf")


def test_a_window_keeps_the_order_of_what_it_holds() -> None:
    window = Window()
    window.extend([unit(1, Kind.JOBS, 0), unit(2, Kind.JOBS, 1), unit(3, Kind.JOBS, 0)])
    assert [u.seq for u in iter(lambda: window.take(0), None)] == [1, 3]
    window.extend([unit(4, Kind.JOBS, 0)])
    assert [u.seq for u in iter(lambda: window.take(9), None)] == [2, 4]
    assert len(window) == 0


def test_a_window_passes_over_what_does_not_suit_and_keeps_it() -> None:
    window = Window()
    kinds = [Kind.JOBS, Kind.ARTIFACTS, Kind.JOBS, Kind.JOBS, Kind.ARTIFACTS]
    window.extend([unit(seq, kind, 2 if seq == 3 else 0) for seq, kind in enumerate(kinds, 1)])
    jobs = iter(lambda: window.take(0, lambda unit: unit.kind is Kind.JOBS), None)
    assert [u.seq for u in jobs] == [1, 4]
    assert [u.seq for u in iter(lambda: window.take(9), None)] == [2, 3, 5]


def test_parts_of_earlier_runs_count_each() -> None:
    watermark = Watermark([1, 1, 3])
    assert watermark.level == 0
    watermark.acknowledged(unit(1, Kind.JOBS, 0, 0))
    assert watermark.level == 0
    watermark.acknowledged(unit(1, Kind.JOBS, 0, 4))
    assert watermark.level == 2
