"""The table of figures that `scripts/bench --all --json` writes.

A figure is a ratio of two programs that were measured in turn, an amount of memory, a share or a count: never a time
alone, which another machine or another hour would change.
"""

import os
import platform
import statistics
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import cycle
from pathlib import Path
from typing import Literal, Self

from pydantic import TypeAdapter, ValidationError

from benchmark.measure import Cost, Failed, median

Better = Literal["higher", "lower"]
Unit = Literal["x", "MiB", "%", "modules"]
CPU_FACTS = Path("/proc/cpuinfo")


@dataclass(frozen=True, slots=True)
class Figure:
    """One row of the table.

    `name` says what was measured, with its size; figures of two tables are the same if their names are. `group` is the
    option of `scripts/bench` that measures it. `values` has one value for each repetition. `detail` tells people the
    times behind a ratio; nothing compares them.
    """

    name: str
    group: str
    values: tuple[float, ...]
    unit: Unit
    better: Better
    detail: str = ""

    def __post_init__(self) -> None:
        if not self.values:
            raise ValueError(f"the figure {self.name!r} has no value")

    @property
    def median(self) -> float:
        """The value that counts."""
        return statistics.median(self.values)

    @property
    def spread(self) -> float:
        """The largest value minus the smallest."""
        return max(self.values) - min(self.values)


@dataclass(frozen=True, slots=True)
class Machine:
    """Where and when a table was measured. `date` is a day in UTC, `commit` the one that was checked out."""

    name: str
    processor: str
    cores: int
    system: str
    python: str
    date: str
    commit: str

    @classmethod
    def here(cls) -> Self:
        """This machine, today."""
        return cls(
            platform.node(),
            _processor(),
            os.cpu_count() or 1,
            platform.system(),
            platform.python_version(),
            datetime.now(UTC).date().isoformat(),
            _commit(),
        )


@dataclass(frozen=True, slots=True)
class Table:
    """Every figure of one sitting."""

    machine: Machine
    figures: tuple[Figure, ...]

    def __post_init__(self) -> None:
        if len({figure.name for figure in self.figures}) < len(self.figures):
            raise ValueError("two figures have the same name")

    @classmethod
    def read(cls, path: Path) -> Self:
        """Raises `Failed` if `path` holds no table."""
        try:
            return TypeAdapter(cls).validate_json(path.read_bytes(), strict=True)
        except OSError as error:
            raise Failed(f"{path} cannot be read: {error.strerror}") from error
        except ValidationError as error:
            raise Failed(f"{path} is not a table of figures: {error.errors()[0]['msg']}") from error

    def to_json(self) -> str:
        """As `read` takes it."""
        return TypeAdapter(Table).dump_json(self, indent=2).decode() + "\n"

    def to_text(self) -> str:
        """As lines for people."""
        lines = [f"{'median':>12}  {'spread':>8}  better  figure"]
        for figure in self.figures:
            value = f"{number(figure.median)} {figure.unit}"
            detail = f" ({figure.detail})" if figure.detail else ""
            lines.append(f"{value:>12}  {number(figure.spread):>8}  {figure.better:6}  {figure.name}{detail}")
        return "\n".join(lines) + "\n"


def number(value: float) -> str:
    """A number with three digits that matter, or more where it is a larger whole number."""
    return f"{value:.0f}" if abs(value) >= 100 or value == int(value) else f"{value:.3g}"


def ratio(name: str, group: str, over: Sequence[Cost], under: Sequence[Cost], better: Better, detail: str) -> Figure:
    """Wall time of `over` for that of `under`, run by run; the one that ran less often is used again.

    `detail` names both with `{over}` and `{under}`, where their times are put in.
    """
    runs = range(max(len(over), len(under)))
    values = tuple(above.wall / below.wall for _, above, below in zip(runs, cycle(over), cycle(under), strict=False))
    times = detail.format(over=_times(median(over)), under=_times(median(under)))
    return Figure(name, group, values, "x", better, times)


def _times(cost: Cost) -> str:
    return f"{cost.wall:.3g} s" + (f" (CPU {cost.cpu:.3g} s)" if cost.cpu else "")


def memory(name: str, group: str, costs: Sequence[Cost]) -> Figure:
    """The peak of a client's memory."""
    return Figure(name, group, tuple(cost.peak_mib for cost in costs), "MiB", "lower")


def _processor() -> str:
    if CPU_FACTS.exists():
        for line in CPU_FACTS.read_text("utf-8", "replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _commit() -> str:
    describe = ["git", "describe", "--always", "--dirty"]
    done = subprocess.run(describe, capture_output=True, text=True)
    return done.stdout.strip()
