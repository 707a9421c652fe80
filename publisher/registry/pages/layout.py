"""Layered layout of a small directed graph, left to right. It is deterministic, and knows nothing of HTML.

Each node gets a layer after those of its predecessors. Edges over several layers get a bend in each, the nodes of a
layer are sorted by the average place of their neighbours, and each is put as near to them as its size allows. Edges
that close a cycle run backwards. The work is bounded: `SWEEPS` passes over nodes, edges and at most `MAX_BENDS` bends.
"""

from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise

from msgspec import Struct, field

SWEEPS = 8
MAX_BENDS = 1000
"""Bends of all edges together. Edges beyond that run straight, the longest ones first."""
COLUMN_GAP, ROW_GAP, BEND_GAP, MARGIN = 56.0, 14.0, 10.0, 12.0

Edge = tuple[str, str]
Point = tuple[float, float]


class Size(Struct, frozen=True):
    """The size of a node, in pixels."""

    width: float
    height: float


class Box(Struct, frozen=True):
    """The place of a node: its upper left corner and its size."""

    x: float
    y: float
    width: float
    height: float


class Drawing(Struct, frozen=True):
    """Where to draw a graph. `routes` are the points of each edge, in the order of the edges."""

    width: float
    height: float
    places: dict[str, Box]
    routes: list[list[Point]]


class _Cell(Struct):
    """A node or a bend in its layer. `name` is empty for a bend. `y` is its centre."""

    name: str
    layer: int
    width: float
    height: float
    before: list["_Cell"] = field(default_factory=list)
    after: list["_Cell"] = field(default_factory=list)
    y: float = 0.0


def arrange(nodes: Mapping[str, Size], edges: Sequence[Edge]) -> Drawing:
    """Lay out a graph. Nodes that equal each other otherwise keep the given order. Edges name nodes of `nodes`."""
    ranks = _ranks(list(nodes), edges)
    cells = {name: _Cell(name, ranks[name], size.width, size.height) for name, size in nodes.items()}
    layers: list[list[_Cell]] = [[] for _ in range(max(ranks.values(), default=-1) + 1)]
    for cell in cells.values():
        layers[cell.layer].append(cell)
    chains = _chains(cells, edges, layers)
    _sort(layers)
    _align(layers)
    return _drawn(cells, chains, layers)


def _ranks(names: Sequence[str], edges: Iterable[Edge]) -> dict[str, int]:
    """Return a layer for each node. If all remaining nodes are in cycles, the first one is taken."""
    after: dict[str, list[str]] = {name: [] for name in names}
    missing = dict.fromkeys(names, 0)
    for source, target in dict.fromkeys(edges):
        if source != target:
            after[source].append(target)
            missing[target] += 1
    ranks = dict.fromkeys(names, 0)
    done: set[str] = set()
    ready = [name for name in names if not missing[name]]
    rest = iter(names)
    while len(done) < len(names):
        name = ready.pop() if ready else next(name for name in rest if name not in done)
        if name in done:
            continue
        done.add(name)
        for target in after[name]:
            if target not in done:
                ranks[target] = max(ranks[target], ranks[name] + 1)
                missing[target] -= 1
                if not missing[target]:
                    ready.append(target)
    with_predecessor = {target for targets in after.values() for target in targets}
    for name in names:  # what nothing precedes stands beside the first that follows it
        following = [ranks[target] for target in after[name]]
        if name not in with_predecessor and following:
            ranks[name] = max(0, min(following) - 1)
    return ranks


def _chains(cells: Mapping[str, _Cell], edges: Sequence[Edge], layers: list[list[_Cell]]) -> list[list[_Cell]]:
    """Return the cells of each edge: its ends, and a bend in every layer between. Connect them."""
    chains: list[list[_Cell]] = [[cells[source], cells[target]] for source, target in edges]
    left = MAX_BENDS
    for chain in sorted(chains, key=lambda ends: ends[1].layer - ends[0].layer):
        source, target = chain
        bends = target.layer - source.layer - 1
        if 0 <= bends <= left:
            left -= bends
            chain[1:1] = [_Cell("", layer, 0.0, 0.0) for layer in range(source.layer + 1, target.layer)]
            for bend in chain[1:-1]:
                layers[bend.layer].append(bend)
            for before, after in pairwise(chain):
                before.after.append(after)
                after.before.append(before)
    return chains


def _sort(layers: Sequence[list[_Cell]]) -> None:
    """Sort each layer by the average place of the neighbours, forwards and backwards in turn."""
    for layer in layers:
        _number(layer)
    for sweep in range(SWEEPS):
        forwards = sweep % 2 == 0
        for layer in layers if forwards else reversed(layers):
            layer.sort(key=_average_before if forwards else _average_after)
            _number(layer)


def _number(layer: Sequence[_Cell]) -> None:
    for number, cell in enumerate(layer):
        cell.y = (number + 0.5) / len(layer)


def _average_before(cell: _Cell) -> float:
    return sum(each.y for each in cell.before) / len(cell.before) if cell.before else cell.y


def _average_after(cell: _Cell) -> float:
    return sum(each.y for each in cell.after) / len(cell.after) if cell.after else cell.y


def _align(layers: Sequence[list[_Cell]]) -> None:
    """Give each cell a height near the average of its neighbours, without changing the order of its layer."""
    for layer in layers:
        offsets = _offsets(layer)
        for cell, offset in zip(layer, offsets, strict=True):
            cell.y = offset - offsets[-1] / 2
    for sweep in range(SWEEPS):
        forwards = sweep % 2 == 0
        for layer in layers if forwards else reversed(layers):
            wanted = map(_average_before if forwards else _average_after, layer)
            offsets = _offsets(layer)
            free = _nondecreasing([want - offset for want, offset in zip(wanted, offsets, strict=True)])
            for cell, start, offset in zip(layer, free, offsets, strict=True):
                cell.y = start + offset


def _offsets(layer: Sequence[_Cell]) -> list[float]:
    """Return the smallest distance of each cell's centre from that of the first one."""
    offsets = [0.0]
    for above, below in pairwise(layer):
        gap = ROW_GAP if above.name and below.name else BEND_GAP
        offsets.append(offsets[-1] + (above.height + below.height) / 2 + gap)
    return offsets


def _nondecreasing(values: Sequence[float]) -> list[float]:
    """Return the nondecreasing numbers that are nearest to `values` (least squares, pool adjacent violators)."""
    pools: list[tuple[float, int]] = []
    for value in values:
        total, count = value, 1
        while pools and pools[-1][0] * count >= total * pools[-1][1]:
            before = pools.pop()
            total, count = total + before[0], count + before[1]
        pools.append((total, count))
    return [total / count for total, count in pools for _ in range(count)]


def _drawn(cells: Mapping[str, _Cell], chains: Iterable[Sequence[_Cell]], layers: Sequence[list[_Cell]]) -> Drawing:
    top = min((cell.y - cell.height / 2 for layer in layers for cell in layer), default=0.0) - MARGIN
    lefts, widths, right = [], [], MARGIN
    for layer in layers:
        lefts.append(right)
        widths.append(max((cell.width for cell in layer), default=0.0))
        right += widths[-1] + COLUMN_GAP
    places = {
        name: Box(lefts[cell.layer], round(cell.y - cell.height / 2 - top, 1), cell.width, cell.height)
        for name, cell in cells.items()
    }
    routes = []
    for source, *bends, target in chains:
        # An edge that runs backwards leaves its source on the left, so that it never leaves the picture.
        forwards = source.layer <= target.layer
        route = [(lefts[source.layer] + (source.width if forwards else 0.0), round(source.y - top, 1))]
        for bend in bends:
            route += [(lefts[bend.layer] + share * widths[bend.layer], round(bend.y - top, 1)) for share in (0, 1)]
        end = lefts[target.layer] + (0.0 if forwards else target.width)
        routes.append([*route, (end, round(target.y - top, 1))])
    bottom = max((place.y + place.height for place in places.values()), default=0.0)
    bottom = max([bottom, *(y for route in routes for _, y in route)])
    return Drawing(max(right - COLUMN_GAP, 0) + MARGIN, bottom + MARGIN, places, routes)
