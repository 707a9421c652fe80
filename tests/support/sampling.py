"""How much of a long sweep is run: samples that a printed seed chooses, or everything with ROAR_TEST_EXHAUSTIVE=1."""

import os
import random
import secrets
from collections.abc import Callable, Hashable, Sequence
from itertools import product
from typing import TypeVar

T = TypeVar("T")
U = TypeVar("U")
EXHAUSTIVE = os.environ.get("ROAR_TEST_EXHAUSTIVE") == "1"
SEED = os.environ.setdefault("ROAR_TEST_SAMPLE", str(secrets.randbelow(1_000_000)))
"""The seed of this run's samples; the workers of pytest-xdist inherit it."""


def sample(sweep: str, cases: Sequence[T], size: int, *kinds: Callable[[T], Hashable]) -> list[T]:
    """Return at least `size` of the cases in their order, or every case in an exhaustive run.

    sweep: a name; the samples of different sweeps are independent. kinds: each value that one of them gives for a case
    is there at least once.
    """
    if EXHAUSTIVE or size >= len(cases):
        return list(cases)
    shuffled = random.Random(f"{SEED}/{sweep}").sample(range(len(cases)), len(cases))
    covered: set[tuple[int, Hashable]] = set()
    chosen = []
    for index in shuffled:
        has = {(number, kind(cases[index])) for number, kind in enumerate(kinds)}
        if not has <= covered:
            covered |= has
            chosen.append(index)
    chosen += [index for index in shuffled if index not in chosen][: max(0, size - len(chosen))]
    return [cases[index] for index in sorted(chosen)]


def pairs(sweep: str, first: Sequence[T], second: Sequence[U]) -> list[tuple[T, U]]:
    """Return pairs in which each case of both lists is there at least once, or every pair in an exhaustive run."""
    if EXHAUSTIVE:
        return list(product(first, second))
    rng = random.Random(f"{SEED}/{sweep}")
    one, other = rng.sample(first, len(first)), rng.sample(second, len(second))
    return [(one[index % len(one)], other[index % len(other)]) for index in range(max(len(one), len(other)))]


def chosen(what: str, cases: Sequence[T]) -> T:
    """Return the case that this run goes through, where going through each would take too long."""
    return random.Random(f"{SEED}/{what}").choice(cases)
