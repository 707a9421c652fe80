"""`scripts/bench` with tables that are there already: it measures nothing, compares, and makes the page."""

import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from benchmark import __main__ as bench
from benchmark.groups import FULL, GROUPS, QUICK, Group, Sizes
from benchmark.measure import Failed
from benchmark.page import page
from benchmark.publishing import Bench
from benchmark.table import Figure, Table

from tests.unit.benchmark.tables import ratio_of, table_of

OLD = table_of(ratio_of("a", 1.0), ratio_of("b", 1.0, group="startup"))
WORSE = table_of(ratio_of("a", 2.0), ratio_of("b", 1.0, group="startup"))


Run = Callable[..., int | str | None]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run the command line in a folder of tables; returns its exit code, or the text that it ends with."""
    for name, table in {"old": OLD, "worse": WORSE}.items():
        (tmp_path / f"{name}.json").write_text(table.to_json(), encoding="utf-8")
    monkeypatch.chdir(tmp_path)

    def started(*arguments: str) -> int | str | None:
        monkeypatch.setattr(sys, "argv", ["scripts/bench", *arguments])
        with pytest.raises(SystemExit) as ended:
            bench.main()
        return ended.value.code

    return started


def measured(figures: Mapping[str, str], monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Let each group give one made-up figure at once; returns the groups that are measured, as they are."""
    order: list[str] = []

    def group(name: str) -> Group:
        def measure(bench: Bench, sizes: Sizes) -> list[Figure]:
            order.append(name)
            if name not in figures:
                raise Failed("no server")
            return [ratio_of(figures[name], 1.0, group=name)]

        return Group(measure, name)

    monkeypatch.setattr(bench, "GROUPS", {name: group(name) for name in GROUPS})
    return order


def test_a_regression_between_two_tables_ends_with_1(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--from", "worse.json", "--compare", "old.json") == 1
    assert "1 of 2 figures regressed" in capsys.readouterr().out
    assert run("--from", "old.json", "--compare", "worse.json") == 0
    assert run("--from", "old.json", "--compare", "old.json") == 0


def test_the_page_is_made_of_a_table(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--from", "old.json", "--page") == 0
    assert capsys.readouterr().out == page(OLD)


def test_json_alone_goes_to_the_output(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--from", "worse.json", "--json", "--compare", "old.json") == 1
    output = capsys.readouterr()
    assert output.out == WORSE.to_json()
    assert "REGRESSED" in output.err


def test_a_file_that_is_no_table_is_refused(run: Run, tmp_path: Path) -> None:
    (tmp_path / "list.json").write_text("[]", encoding="utf-8")
    assert "list.json is not a table" in str(run("--compare", "list.json"))


@pytest.mark.parametrize(
    ("arguments", "groups"),
    [
        ([], ["publish"]),
        (["--all"], list(GROUPS)),
        (["--ingest", "--startup"], ["startup", "ingest"]),
        (["--compare", "old.json"], ["publish", "startup"]),
        (["--compare", "old.json", "--startup"], ["startup"]),
    ],
)
def test_what_is_measured(run: Run, monkeypatch: pytest.MonkeyPatch, arguments: list[str], groups: list[str]) -> None:
    order = measured({name: name for name in GROUPS} | {"publish": "a", "startup": "b"}, monkeypatch)
    assert run(*arguments) == 0
    assert order == groups


def test_a_group_that_fails_leaves_the_others_in_the_table(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    measured({"publish": "a", "ingest": "c"}, monkeypatch)
    assert run("--publish", "--startup", "--ingest", "--json", "new.json") == 1
    assert [figure.name for figure in Table.read(tmp_path / "new.json").figures] == ["a", "c"]
    assert "startup was not measured: no server" in capsys.readouterr().err


def test_quick_is_a_tenth() -> None:
    assert [FULL.jobs, FULL.small, FULL.resumed, FULL.large, FULL.large_bytes, FULL.small_files] == [
        pytest.approx(10 * size, rel=1e-6)
        for size in (QUICK.jobs, QUICK.small, QUICK.resumed, QUICK.large, QUICK.large_bytes, QUICK.small_files)
    ]
