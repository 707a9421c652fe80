"""Measures `roar publish` beside roar-cli and beside a bare client loop, and whatever else docs/figures.md shows.

What is compared runs in turn, each against a fresh server of the same kind. Without the name of a group, `--publish`
is measured; `--compare` measures the groups of the older table. Paths are relative to the checkout. Exits with 1 if a
figure has regressed or could not be measured, and with 2 if the tables have no figure in common.
"""

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from benchmark.comparison import compare
from benchmark.groups import FULL, GROUPS, QUICK, Sizes
from benchmark.measure import Failed
from benchmark.page import page
from benchmark.publishing import Bench
from benchmark.table import Figure, Machine, Table
from benchmark.upload import SERVERS

STDOUT = "-"


def main() -> None:
    try:
        sys.exit(_run(_arguments()))
    except Failed as failure:
        sys.exit(str(failure))


def _run(arguments: argparse.Namespace) -> int:
    old = Table.read(arguments.compare) if arguments.compare else None
    failures: list[str] = []
    if arguments.read:
        table = Table.read(arguments.read)
    else:
        table, failures = _measure(_groups(arguments, old), _sizes(arguments))
    _write(table, arguments)
    code = 0
    if old:
        comparison = compare(old, table)
        (sys.stderr if arguments.json == STDOUT else sys.stdout).write(comparison.to_text())
        code = comparison.exit_code
    sys.stderr.writelines(f"{failure}\n" for failure in failures)
    return 1 if failures else code


def _measure(groups: Sequence[str], sizes: Sizes) -> tuple[Table, list[str]]:
    """The table, and what could not be measured: the other groups may have taken half an hour."""
    machine = Machine.here()
    figures: list[Figure] = []
    failures = []
    with tempfile.TemporaryDirectory(prefix="roar-bench-") as folder:
        bench = Bench(Path(folder), _say)
        for group in groups:
            try:
                figures += GROUPS[group].measure(bench, sizes)
            except (Failed, OSError, subprocess.SubprocessError) as failure:
                failures.append(f"{group} was not measured: {failure}")
    return Table(machine, tuple(figures)), failures


def _groups(arguments: argparse.Namespace, old: Table | None) -> list[str]:
    if arguments.groups:
        wanted = set(arguments.groups)
    else:
        wanted = {figure.group for figure in old.figures} if old else {"publish"}
    return [group for group in GROUPS if group in wanted]


def _sizes(arguments: argparse.Namespace) -> Sizes:
    sizes = replace(QUICK if arguments.quick else FULL, store=arguments.store)
    return replace(sizes, jobs=arguments.jobs) if arguments.jobs else sizes


def _write(table: Table, arguments: argparse.Namespace) -> None:
    if arguments.json and arguments.json != STDOUT:
        Path(arguments.json).write_text(table.to_json(), encoding="utf-8")
    if arguments.json == STDOUT:
        sys.stdout.write(table.to_json())
    elif arguments.page:
        sys.stdout.write(page(table))
    else:
        sys.stdout.write(table.to_text())


def _say(text: str) -> None:
    sys.stderr.write(f"... {text}\n")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="scripts/bench", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    what = parser.add_argument_group("what is measured")
    for group, measured in GROUPS.items():
        what.add_argument(f"--{group}", action="append_const", dest="groups", const=group, help=measured.help)
    what.add_argument("--all", action="store_const", dest="groups", const=list(GROUPS), help="every group")
    what.add_argument("--from", dest="read", type=Path, metavar="TABLE", help="nothing: take the figures from a file")
    size = parser.add_mutually_exclusive_group()
    size.add_argument("--jobs", type=int, help=f"jobs of the project of most groups ({FULL.jobs})")
    size.add_argument("--quick", action="store_true", help="a tenth of the jobs and of the bytes")
    parser.add_argument("--store", choices=SERVERS, default=FULL.store, help="the object store of --upload (rclone)")
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", nargs="?", const=STDOUT, metavar="FILE", help="write the table as JSON")
    form.add_argument("--page", action="store_true", help="print the figures as docs/figures.md shows them")
    parser.add_argument("--compare", type=Path, metavar="OLD", help="name what has regressed since an older table")
    return parser.parse_args()


if __name__ == "__main__":
    main()
