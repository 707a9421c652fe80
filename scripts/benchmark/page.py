"""Makes `docs/figures.md` from a table of figures."""

from benchmark.table import Figure, Table, number

HEAD = """# Figures

Measured on {name} ({processor}, {cores} cores, {system}, CPython {python}) on {date}, at commit {commit}.
`scripts/bench --all --json TABLE.json` measures every figure, and `scripts/bench --from TABLE.json --page` generates
this page. `scripts/bench --compare TABLE.json` measures again and lists the figures that have regressed by more than
the spread of their repetitions.

Compared programs run in turn, each against a fresh server of the same kind on loopback, with a synthetic project of 10
links per job. Ratios are of wall times. A value is the median of the repetitions, and the range is from the smallest to
the largest. The bare loop sends the bodies of the same publish, 64 at a time, without a plan, a journal or retries.
"Ours" is roar-publisher.
"""


def page(table: Table) -> str:
    """The text of the page: a section for each group of figures, in the order of the table."""
    machine = table.machine
    parts = [
        HEAD.format(
            name=machine.name,
            processor=machine.processor,
            cores=machine.cores,
            system=machine.system,
            python=machine.python,
            date=machine.date,
            commit=machine.commit,
        )
    ]
    for group in dict.fromkeys(figure.group for figure in table.figures):
        rows = "\n".join(_row(figure) for figure in table.figures if figure.group == group)
        heading = f"\n## {group.capitalize()}\n\n`scripts/bench --{group}`\n"
        parts.append(
            f"{heading}\n| figure | value | range | better | times |\n| --- | --- | --- | --- | --- |\n{rows}\n"
        )
    return "".join(parts)


def _row(figure: Figure) -> str:
    bounds = f"{number(min(figure.values))} to {number(max(figure.values))}" if len(figure.values) > 1 else "once"
    cells = (figure.name, f"**{number(figure.median)} {figure.unit}**", bounds, figure.better, figure.detail)
    return f"| {' | '.join(cells)} |"
