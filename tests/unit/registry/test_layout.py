"""The layout of a picture: nothing overlaps, edges run from left to right, and the work is bounded."""

import random
import sys
from itertools import combinations, pairwise

import pytest

from roar_publisher.registry.pages.layout import Drawing, Edge, Size, arrange

WIDE, HIGH = 200.0, 40.0
SEEDS = range(12)


def graph(seed: int, nodes: int, edges: int, span: int = 40) -> tuple[dict[str, Size], list[Edge]]:
    """A random graph without cycles. Its nodes have two sizes."""
    chance = random.Random(seed)
    found: set[Edge] = set()
    while len(found) < edges:
        first, second = sorted(chance.sample(range(nodes), 2))
        if second - first <= span:
            found.add((f"n{first}", f"n{second}"))
    sizes = {f"n{number}": Size(WIDE, HIGH) if number % 2 else Size(WIDE / 2, HIGH / 2) for number in range(nodes)}
    return sizes, sorted(found)


def overlaps(drawing: Drawing) -> list[tuple[str, str]]:
    return [
        (one, other)
        for (one, a), (other, b) in combinations(drawing.places.items(), 2)
        if a.x < b.x + b.width and b.x < a.x + a.width and a.y < b.y + b.height and b.y < a.y + a.height
    ]


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(("nodes", "edges"), [(12, 14), (60, 90), (200, 199), (200, 900)])
def test_nodes_do_not_overlap_and_edges_run_from_left_to_right(seed: int, nodes: int, edges: int) -> None:
    sizes, pairs = graph(seed, nodes, edges)
    drawing = arrange(sizes, pairs)
    assert overlaps(drawing) == []
    for (source, target), route in zip(pairs, drawing.routes, strict=True):
        start, end = drawing.places[source], drawing.places[target]
        assert start.x + start.width < end.x
        assert route[0] == pytest.approx((start.x + start.width, start.y + start.height / 2), abs=0.2)
        assert route[-1] == pytest.approx((end.x, end.y + end.height / 2), abs=0.2)
        assert [x for x, _ in route] == sorted(x for x, _ in route)


@pytest.mark.parametrize("seed", SEEDS)
def test_all_of_it_is_inside_the_picture(seed: int) -> None:
    drawing = arrange(*graph(seed, 80, 120))
    points = [point for route in drawing.routes for point in route]
    points += [(place.x + place.width, place.y + place.height) for place in drawing.places.values()]
    points += [(place.x, place.y) for place in drawing.places.values()]
    assert all(0 < x < drawing.width and 0 < y < drawing.height for x, y in points)


def test_it_is_deterministic_whatever_the_order_of_the_edges() -> None:
    sizes, pairs = graph(1, 100, 200)
    assert arrange(sizes, pairs) == arrange(dict(sizes), list(pairs))
    assert arrange(sizes, pairs).places.keys() == arrange(sizes, pairs[::-1]).places.keys()


@pytest.mark.parametrize("seed", SEEDS)
def test_cycles_are_drawn_too(seed: int) -> None:
    chance = random.Random(seed)
    names = [f"n{number}" for number in range(30)]
    pairs = sorted({(chance.choice(names), chance.choice(names)) for _ in range(80)})
    drawing = arrange(dict.fromkeys(names, Size(WIDE, HIGH)), pairs)
    assert overlaps(drawing) == []
    assert len(drawing.routes) == len(pairs)


def test_an_edge_that_closes_a_cycle_runs_between_its_columns() -> None:
    drawing = arrange(dict.fromkeys("ab", Size(WIDE, HIGH)), [("a", "b"), ("b", "a")])
    a, b = drawing.places["a"], drawing.places["b"]
    forwards, backwards = ([x for x, _ in route] for route in drawing.routes)
    assert forwards == [a.x + WIDE, b.x]
    assert backwards == [b.x, a.x + WIDE]


def test_nothing_and_a_node_alone_are_laid_out() -> None:
    assert arrange({}, []).places == {}
    assert arrange({"a": Size(WIDE, HIGH)}, [("a", "a")]).places["a"].width == WIDE


def test_a_chain_is_straight() -> None:
    names = [f"n{number}" for number in range(9)]
    drawing = arrange(dict.fromkeys(names, Size(WIDE, HIGH)), list(pairwise(names)))
    assert len({place.y for place in drawing.places.values()}) == 1


def test_an_input_that_comes_from_outside_stands_beside_its_reader() -> None:
    sizes = dict.fromkeys(("a", "b", "c", "outside"), Size(WIDE, HIGH))
    drawing = arrange(sizes, [("a", "b"), ("b", "c"), ("outside", "c")])
    assert drawing.places["outside"].x == drawing.places["b"].x


def calls(nodes: int, edges: int) -> int:
    """How many calls a layout makes."""
    sizes, pairs = graph(7, nodes, edges, span=nodes)
    count = 0

    def count_call(frame: object, event: str, argument: object) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    sys.setprofile(count_call)
    try:
        arrange(sizes, pairs)
    finally:
        sys.setprofile(None)
    return count


def test_the_work_grows_with_the_graph_and_no_faster() -> None:
    most = 200, 2000
    assert calls(*most) < 250_000
    assert calls(most[0], 2 * most[1]) < 3 * calls(*most)
