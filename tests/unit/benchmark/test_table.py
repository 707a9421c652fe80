"""The table of figures: what a figure is worth, and the file that it is written to."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from benchmark.measure import Cost, Failed
from benchmark.table import Figure, Machine, Table, memory, number, ratio

from tests.unit.benchmark.tables import rate_of, ratio_of, table_of


def cost(wall: float, *, cpu: float = 0.0, peak: float = 0.0) -> Cost:
    return Cost(wall, cpu, peak)


def test_the_median_counts_and_the_spread_is_the_whole_range() -> None:
    figure = ratio_of("a", 1.0, 4.0, 2.0)
    assert (figure.median, figure.spread) == (2.0, 3.0)
    assert ratio_of("once", 7.0).spread == 0.0


def test_a_ratio_is_taken_run_by_run() -> None:
    figure = ratio("a", "publish", [cost(2.0), cost(9.0)], [cost(1.0), cost(3.0)], "lower", "{over} to {under}")
    assert figure.values == (2.0, 3.0)


def test_a_program_that_ran_once_is_set_beside_every_run_of_the_other() -> None:
    slow, quick = [cost(60.0)], [cost(2.0), cost(3.0), cost(4.0)]
    assert ratio("a", "publish", slow, quick, "higher", "").values == (30.0, 20.0, 15.0)
    assert ratio("a", "publish", quick, slow, "lower", "").values == (2 / 60, 3 / 60, 4 / 60)


def test_a_ratio_tells_the_times_behind_it() -> None:
    figure = ratio("a", "publish", [cost(126.2, cpu=22.0)], [cost(2.871)], "higher", "theirs {over}, ours {under}")
    assert figure.detail == "theirs 126 s (CPU 22 s), ours 2.87 s"


def test_memory_is_the_peak_of_each_run() -> None:
    figure = memory("a", "large", [cost(1.0, peak=90.5), cost(1.0, peak=91.0)])
    assert (figure.values, figure.unit, figure.better) == ((90.5, 91.0), "MiB", "lower")


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0, "0"), (0.0613, "0.0613"), (1.2345, "1.23"), (44.04, "44"), (456.0, "456"), (1e5, "100000")],
)
def test_a_number_has_three_digits_that_matter(value: float, text: str) -> None:
    assert number(value) == text


def test_a_table_is_read_as_it_was_written(tmp_path: Path) -> None:
    table = Table(
        Machine.here(), (ratio_of("a", 1.0, 1.1), rate_of("b", 44.0), Figure("c", "d", (5.0,), "MiB", "lower"))
    )
    (tmp_path / "table.json").write_text(table.to_json(), encoding="utf-8")
    assert Table.read(tmp_path / "table.json") == table


def test_a_table_names_the_machine_and_the_day() -> None:
    machine = json.loads(table_of().to_json())["machine"]
    assert set(machine) == {"name", "processor", "cores", "system", "python", "date", "commit"}
    here = Machine.here()
    assert here.cores >= 1
    assert here.processor
    assert len(here.date.split("-")) == 3


def _without(field: str) -> Callable[[dict[str, Any]], object]:
    return lambda table: table.pop(field)


@pytest.mark.parametrize(
    "damage",
    [
        _without("machine"),
        _without("figures"),
        lambda table: table["figures"][0].update(values=[]),
        lambda table: table["figures"][0].update(values=["fast"]),
        lambda table: table["figures"][0].update(better="faster"),
        lambda table: table["figures"].append(table["figures"][0]),
    ],
)
def test_a_damaged_table_is_refused(tmp_path: Path, damage: Callable[[dict[str, Any]], object]) -> None:
    table = json.loads(table_of(ratio_of("a", 1.0)).to_json())
    damage(table)
    (tmp_path / "table.json").write_text(json.dumps(table), encoding="utf-8")
    with pytest.raises(Failed, match=r"table\.json"):
        Table.read(tmp_path / "table.json")


def test_a_missing_table_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Failed, match="cannot be read"):
        Table.read(tmp_path / "table.json")


def test_people_read_one_line_for_each_figure() -> None:
    lines = table_of(ratio_of("start", 1.0, 1.5, 2.0)).to_text().splitlines()
    assert lines[1].split() == ["1.5", "x", "1", "lower", "start"]
