"""`docs/figures.md`, made from a table."""

from benchmark.page import page
from benchmark.table import Figure

from tests.unit.benchmark.tables import ratio_of, table_of

TABLE = table_of(
    ratio_of("publish to the bare loop", 1.25, 1.2, 1.3),
    Figure("modules that `roar publish` loads", "startup", (456.0,), "modules", "lower"),
    Figure("roar-cli to ours", "publish", (44.1,), "x", "higher", "roar-cli 126 s, ours 2.86 s"),
)


def test_it_names_the_machine_and_when_it_was_measured() -> None:
    text = page(TABLE)
    assert text.startswith("# Figures\n")
    assert "host (a processor, 4 cores, Linux, CPython 3.11.7) on 2026-01-02, at commit abc1234" in text


def test_each_group_has_its_section_with_its_command() -> None:
    sections = page(TABLE).split("\n## ")[1:]
    assert [section.splitlines()[0] for section in sections] == ["Publish", "Startup"]
    assert "`scripts/bench --publish`" in sections[0]
    assert "`scripts/bench --startup`" in sections[1]


def test_each_figure_has_a_row() -> None:
    publish, startup = page(TABLE).split("\n## ")[1:]
    assert publish.splitlines()[-2:] == [
        "| publish to the bare loop | **1.25 x** | 1.2 to 1.3 | lower |  |",
        "| roar-cli to ours | **44.1 x** | once | higher | roar-cli 126 s, ours 2.86 s |",
    ]
    assert startup.splitlines()[-1] == "| modules that `roar publish` loads | **456 modules** | once | lower |  |"
