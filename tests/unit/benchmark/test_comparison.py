"""Comparing two tables: what counts as a regression, and what is only noise."""

from dataclasses import replace

import pytest
from benchmark.comparison import Comparison, compare
from benchmark.table import Figure

from tests.unit.benchmark.tables import MACHINE, rate_of, ratio_of, table_of


def verdict(old: Figure, new: Figure) -> str:
    (change,) = compare(table_of(old), table_of(new)).changes
    return change.verdict


def regressed(comparison: Comparison) -> list[str]:
    return [change.new.name for change in comparison.changes if change.verdict == "REGRESSED"]


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ((1.0, 1.1, 1.2), (1.0, 1.1, 1.2), "same"),
        ((10.0, 11.0, 12.0), (12.0, 13.0, 14.0), "same"),  # by exactly the spread
        ((1.0, 1.1, 1.2), (1.3, 1.4, 1.5), "REGRESSED"),
        ((1.3, 1.4, 1.5), (1.0, 1.1, 1.2), "improved"),
        ((1.0, 1.1, 1.2), (1.0, 1.4, 1.9), "same"),  # the new runs differ by more
        ((1.0, 1.4, 1.9), (2.0, 2.1, 2.2), "same"),  # the old ones did
        ((300.0,), (301.0,), "REGRESSED"),  # a count has no spread
    ],
)
def test_a_difference_counts_beyond_the_spread(old: tuple[float, ...], new: tuple[float, ...], expected: str) -> None:
    assert verdict(ratio_of("a", *old), ratio_of("a", *new)) == expected


def test_of_a_rate_the_lower_one_is_worse() -> None:
    assert verdict(rate_of("a", 44.0), rate_of("a", 29.0)) == "REGRESSED"
    assert verdict(rate_of("a", 44.0), rate_of("a", 150.0)) == "improved"


def test_what_regressed_is_named_and_sets_the_exit_code() -> None:
    old = table_of(ratio_of("steady", 1.0), ratio_of("worse", 1.0), rate_of("better", 1.0))
    new = table_of(ratio_of("steady", 1.0), ratio_of("worse", 2.0), rate_of("better", 2.0))
    comparison = compare(old, new)
    assert regressed(comparison) == ["worse"]
    assert comparison.exit_code == 1
    assert "1 of 3 figures regressed, abc1234 to abc1234" in comparison.to_text()
    assert [line.split()[-1] for line in comparison.to_text().splitlines() if "REGRESSED" in line] == ["worse"]


def test_without_a_regression_the_exit_code_is_0() -> None:
    assert compare(table_of(ratio_of("a", 2.0)), table_of(ratio_of("a", 1.0))).exit_code == 0


def test_figures_of_one_table_alone_are_listed_and_are_no_regression() -> None:
    comparison = compare(
        table_of(ratio_of("a", 1.0), ratio_of("gone", 1.0)), table_of(ratio_of("a", 1.0), ratio_of("new", 9.0))
    )
    assert (comparison.missing, comparison.added, comparison.exit_code) == (["gone"], ["new"], 0)
    assert "only in the older table: gone" in comparison.to_text()
    assert "only in the newer table: new" in comparison.to_text()


def test_tables_of_different_sizes_have_nothing_to_compare() -> None:
    comparison = compare(table_of(ratio_of("100 jobs", 1.0)), table_of(ratio_of("1,000 jobs", 1.0)))
    assert comparison.exit_code == 2
    assert "no figure in common" in comparison.to_text()


def test_another_machine_is_pointed_out() -> None:
    other = table_of(ratio_of("a", 1.0), machine=replace(MACHINE, cores=2))
    assert "a processor, 4 cores; a processor, 2 cores" in compare(table_of(ratio_of("a", 1.0)), other).to_text()
    assert "different machines" not in compare(other, other).to_text()
