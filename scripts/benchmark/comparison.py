"""Compares two tables of figures: which have regressed by more than the spread of their repetitions."""

from collections.abc import Sequence
from dataclasses import dataclass

from benchmark.table import Figure, Machine, Table, number


@dataclass(frozen=True, slots=True)
class Change:
    """A figure that both tables have."""

    old: Figure
    new: Figure

    @property
    def worsening(self) -> float:
        """By how much the median is worse, in the figure's unit; negative if it is better."""
        difference = self.new.median - self.old.median
        return difference if self.new.better == "lower" else -difference

    @property
    def spread(self) -> float:
        """The larger one of both tables."""
        return max(self.old.spread, self.new.spread)

    @property
    def verdict(self) -> str:
        """One word; a difference within the spread is none."""
        if abs(self.worsening) <= self.spread:
            return "same"
        return "REGRESSED" if self.worsening > 0 else "improved"


@dataclass(frozen=True, slots=True)
class Comparison:
    """What became of the figures of an older table. `missing` are measured no more, `added` only now."""

    changes: Sequence[Change]
    missing: Sequence[str]
    added: Sequence[str]
    old: Machine
    new: Machine

    @property
    def exit_code(self) -> int:
        """1 if a figure has regressed, 2 if the tables have no figure in common, else 0."""
        if not self.changes:
            return 2
        return int(any(change.verdict == "REGRESSED" for change in self.changes))

    def to_text(self) -> str:
        """As lines for people."""
        lines = [f"{'old':>12}{'new':>12}{'spread':>9}  {'':9}  figure"]
        for change in self.changes:
            old, new = (f"{number(figure.median)} {figure.unit}" for figure in (change.old, change.new))
            lines.append(f"{old:>12}{new:>12}{number(change.spread):>9}  {change.verdict:9}  {change.new.name}")
        lines += [f"only in the older table: {name}" for name in self.missing]
        lines += [f"only in the newer table: {name}" for name in self.added]
        if not self.changes:
            lines.append("The tables have no figure in common: were they measured with the same size?")
        if (self.old.processor, self.old.cores) != (self.new.processor, self.new.cores):
            lines.append(
                f"Measured on different machines: {self.old.processor}, {self.old.cores} cores;"
                f" {self.new.processor}, {self.new.cores} cores"
            )
        regressed = sum(change.verdict == "REGRESSED" for change in self.changes)
        lines.append(f"{regressed} of {len(self.changes)} figures regressed, {self.old.commit} to {self.new.commit}")
        return "\n".join(lines) + "\n"


def compare(old: Table, new: Table) -> Comparison:
    """Compare figures of the same name."""
    before = {figure.name: figure for figure in old.figures}
    after = {figure.name: figure for figure in new.figures}
    return Comparison(
        [Change(before[name], figure) for name, figure in after.items() if name in before],
        [name for name in before if name not in after],
        [name for name in after if name not in before],
        old.machine,
        new.machine,
    )
