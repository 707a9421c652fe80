"""The numbered cases of a fuzz test: how many, in which slices, and what a failure says."""

import os
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from tests.support.sampling import EXHAUSTIVE, sample

SEED = os.environ.get("ROAR_FUZZ_SEED", "1")
"""Any text; the same text makes the same cases."""
ONE_CASE = os.environ.get("ROAR_FUZZ_CASE")
"""The number of the only case to run."""
SLICES = range(20 if EXHAUSTIVE else 4)
"""Parametrized: pytest-xdist spreads them."""
SCALE = 200
"""How many times as many cases there are as in a sample."""


@dataclass
class Case:
    """One case.  attacks: what it does, in words, in the order in which that was chosen."""

    kind: str
    number: int
    rng: random.Random
    attacks: list[str] = field(default_factory=list)

    def note(self, attack: str) -> None:
        """Add to the description of the case."""
        self.attacks.append(attack if len(attack) <= 200 else f"{attack[:200]}… ({len(attack)} characters)")


def cases(kind: str, usual: int, part: int) -> Iterator[Case]:
    """The cases of slice `part`: of a sample of `usual` cases, or of all of them."""
    if ONE_CASE is not None:
        numbers = [int(ONE_CASE)] if int(ONE_CASE) % len(SLICES) == part else []
    else:
        numbers = sample(kind, range(usual * SCALE), usual)[part :: len(SLICES)]
    for number in numbers:
        yield Case(kind, number, random.Random(f"{SEED}/{kind}/{number}"))


def run_all(kind: str, usual: int, part: int, attack: Callable[[Case], None]) -> None:
    """Run the cases of a slice; every failure is reported with its case, and the others still run."""
    failures: list[Exception] = []
    for case in cases(kind, usual, part):
        try:
            with named(case):
                attack(case)
        except Exception as failure:
            failures.append(failure)
            if len(failures) == 5:
                break
    if failures:
        raise ExceptionGroup(f"{len(failures)} or more of the {kind} cases failed (seed {SEED})", failures)


@contextmanager
def named(case: Case) -> Iterator[None]:
    """Add to whatever is raised which case it is, and how to run it alone."""
    try:
        yield
    except Exception as failure:
        failure.add_note(f"case {case.number} of {case.kind}, seed {SEED}: " + "; ".join(case.attacks))
        command = f"pytest tests/e2e/fuzz/test_{case.kind}.py"
        failure.add_note(f"ROAR_FUZZ_SEED={SEED} ROAR_FUZZ_CASE={case.number} {command}")
        raise
